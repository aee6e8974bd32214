//! What is changed or taken back after its time, while a provider or the ledger is away.

use sandbox::{FcmMode, Mode};
use serde_json::json;
use support::eventually;
use system::{Bus, House, LIMIT, Service};

crate::on_both_buses!(
    what_is_deleted_meanwhile_is_not_sent,
    what_is_edited_meanwhile_is_sent_as_it_is_now,
    what_is_changed_on_its_way_to_the_ledger_is_changed_there,
);

fn fcm_is_away(house: &House) {
    let fcm = FcmMode { status: Some(503), retry_after: Some(1), ..FcmMode::default() };
    house.sandbox.set_mode(Mode { fcm, ..Mode::default() });
}

/// Waits until so many sends to a token were refused.
async fn refused(house: &House, token: &str, times: usize) {
    let count =
        || house.sandbox.attempts(token).iter().filter(|it| it.answer.starts_with("503")).count();
    eventually(LIMIT, async || count() >= times).await;
}

async fn what_is_deleted_meanwhile_is_not_sent(bus: Bus) {
    let house = House::start(bus).await;
    let ada = house.person("ada");
    ada.registers("token-1", "android").await;
    fcm_is_away(&house);
    let (id, _) = ada.is_reminded_in(2, &["push"], "Never").await;
    refused(&house, "token-1", 1).await;
    house.stands(&id, &["released"]).await;
    ada.deletes(&id).await;
    let suppressed = ada.sees("suppressed", 1).await;
    assert_eq!(suppressed[0]["reason"], "CANCELLED");

    house.sandbox.set_mode(Mode::default());
    // The later one shows that the time of a retry has passed.
    ada.is_reminded_in(3, &["push"], "After it").await;
    ada.sees("sent", 1).await;
    let titles: Vec<_> =
        house.sandbox.captured().iter().filter_map(|it| it.push()?.title.clone()).collect();
    assert_eq!(titles, ["After it"]);
    let occurrences = house.stands(&id, &["suppressed"]).await;
    assert_eq!(occurrences[0]["reason"], "CANCELLED");
}

async fn what_is_edited_meanwhile_is_sent_as_it_is_now(bus: Bus) {
    let house = House::start(bus).await;
    let ada = house.person("ada");
    ada.registers("token-1", "ios").await;
    fcm_is_away(&house);
    let (id, _) = ada.is_reminded_in(2, &["push"], "Platform 4").await;
    refused(&house, "token-1", 1).await;
    house.stands(&id, &["released"]).await;
    ada.edits(&id, &json!({"title": "Platform 5", "message": "it was moved"})).await;
    ada.reads("Platform 5").await;
    // One that was claimed before may still have been under way: it is refused as well.
    refused(&house, "token-1", house.sandbox.attempts("token-1").len() + 1).await;

    house.sandbox.set_mode(Mode::default());
    ada.sees("sent", 1).await;
    let captured = house.sandbox.captured();
    assert_eq!(captured.len(), 1);
    let push = captured[0].push().expect("a push");
    assert_eq!(
        (push.title.as_deref(), push.body.as_deref()),
        (Some("Platform 5"), Some("it was moved"))
    );
    house.stands(&id, &["sent"]).await;
}

async fn what_is_changed_on_its_way_to_the_ledger_is_changed_there(bus: Bus) {
    let mut house = House::start(bus).await;
    let ada = house.person("ada");
    ada.registers("token-1", "web").await;
    // So nothing is sent at once, in whatever order the queue brings the messages.
    let clock =
        |hours| (chrono::Utc::now() + chrono::TimeDelta::hours(hours)).format("%H:%M").to_string();
    let quiet = json!({"quietHours": {"start": clock(-2), "end": clock(2)}});
    ada.notifications.put("/preferences", &quiet).await.expect(200);
    house.kill(Service::Notifications).await;
    let (deleted, _) = ada.is_reminded_in(2, &["push"], "Never").await;
    let (edited, _) = ada.is_reminded_in(2, &["push"], "Platform 4").await;
    let (urgent, _) = ada.is_reminded_in(2, &["push"], "Now after all").await;
    for id in [&deleted, &edited, &urgent] {
        house.stands(id, &["released"]).await;
    }
    ada.deletes(&deleted).await;
    ada.edits(&edited, &json!({"title": "Platform 5"})).await;
    ada.edits(&urgent, &json!({"priority": "high"})).await;

    house.add(Service::Notifications).await;
    house.ready().await;
    let ada = house.person("ada");
    assert_eq!(ada.sees("suppressed", 1).await[0]["reason"], "CANCELLED");
    assert_eq!(ada.sees("sent", 1).await[0]["title"], "Now after all");
    ada.reads("Platform 5").await;
    ada.notifications.put("/preferences", &json!({})).await.expect(200);
    ada.sees("sent", 2).await;
    let titles: Vec<_> =
        house.sandbox.captured().iter().filter_map(|it| it.push()?.title.clone()).collect();
    assert_eq!(titles, ["Now after all", "Platform 5"]);
}
