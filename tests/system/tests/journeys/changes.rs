//! What was changed or taken back before its time is not sent as it was.

use chrono::{TimeDelta, Utc};
use serde_json::json;
use system::{Bus, House, written};

crate::on_both_buses!(
    an_edited_reminder_arrives_at_its_new_time_with_its_new_text,
    a_deleted_reminder_does_not_arrive,
    a_removed_device_is_not_written_to,
);

async fn an_edited_reminder_arrives_at_its_new_time_with_its_new_text(bus: Bus) {
    let house = House::start(bus).await;
    let ada = house.person("ada");
    ada.registers("token-1", "ios").await;
    let (id, _) = ada.is_reminded_in(600, &["push"], "Later").await;
    let sooner = Utc::now() + TimeDelta::seconds(3);
    let edited = ada
        .reminders
        .patch(&format!("/reminders/{id}"), &json!({"date": written(sooner), "title": "Sooner"}))
        .await
        .expect(200);
    assert_eq!((&edited.body["title"], &edited.body["version"]), (&json!("Sooner"), &json!(2)));

    ada.sees("sent", 1).await;
    let captured = house.sandbox.captured();
    assert_eq!(captured.len(), 1);
    assert_eq!(captured[0].push().and_then(|push| push.title.as_deref()), Some("Sooner"));
    assert!(captured[0].at.timestamp_millis() >= sooner.timestamp_millis());
}

async fn a_deleted_reminder_does_not_arrive(bus: Bus) {
    let house = House::start(bus).await;
    let ada = house.person("ada");
    ada.registers("token-1", "android").await;
    let (deleted, _) = ada.is_reminded_in(4, &["push", "email"], "Never").await;
    ada.is_reminded_in(6, &["push"], "After it").await;
    ada.reminders.delete(&format!("/reminders/{deleted}")).await.expect(200);
    let gone = ada.reminders.get(&format!("/reminders/{deleted}")).await.expect(404);
    assert_eq!(gone.reason(), Some("MISSING_REMINDER"));

    // The later one shows that the earlier one's time has passed.
    ada.sees("sent", 1).await;
    let titles: Vec<_> =
        house.sandbox.captured().iter().filter_map(|it| it.push()?.title.clone()).collect();
    assert_eq!(titles, ["After it"]);
    assert!(house.mailbox(&ada.email).await.is_empty());
}

async fn a_removed_device_is_not_written_to(bus: Bus) {
    let house = House::start(bus).await;
    let (ada, bob) = (house.person("ada"), house.person("bob"));
    let device = ada.registers("token-1", "android").await;
    ada.registers("token-2", "web").await;
    let refused = bob.notifications.delete(&format!("/device/remove/{device}")).await.expect(422);
    assert_eq!(refused.reason(), Some("DEVICE_NOT_ASSOCIATED"));
    ada.notifications.delete(&format!("/device/remove/{device}")).await.expect(200);
    ada.is_reminded_in(2, &["push"], "Tablets").await;

    ada.sees("sent", 1).await;
    let tokens: Vec<_> =
        house.sandbox.captured().iter().filter_map(|it| Some(it.push()?.token.clone())).collect();
    assert_eq!(tokens, ["token-2"]);
}
