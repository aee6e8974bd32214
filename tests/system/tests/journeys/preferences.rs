//! How a user wants to be reached.

use chrono::{TimeDelta, Utc};
use serde_json::json;
use support::eventually;
use system::{Bus, House, LIMIT, written};

crate::on_both_buses!(
    an_unwanted_channel_is_left_out_and_the_other_speaks_the_readers_language,
    quiet_hours_put_off_what_can_wait,
);

async fn an_unwanted_channel_is_left_out_and_the_other_speaks_the_readers_language(bus: Bus) {
    let house = House::start(bus).await;
    let ada = house.person("ada");
    ada.registers("token-1", "android").await;
    ada.notifications
        .put("/preferences", &json!({"channels": {"push": false}, "locale": "fr"}))
        .await
        .expect(200);
    let date = written(Utc::now() + TimeDelta::seconds(3));
    let body =
        json!({"date": date, "message": "Zahnarzt", "channels": ["push", "email"], "locale": "de"});
    ada.makes(&body).await;

    let suppressed = ada.sees("suppressed", 1).await;
    assert_eq!(
        (&suppressed[0]["channel"], &suppressed[0]["reason"]),
        (&json!("push"), &json!("OPTED_OUT"))
    );
    assert_eq!(ada.sees("sent", 1).await[0]["channel"], "email");
    eventually(LIMIT, async || house.mailbox(&ada.email).await == ["Erinnerung"]).await;
    let captured = house.sandbox.captured();
    assert!(captured.iter().all(|it| it.push().is_none()));
    if bus == Bus::Postgres {
        let mail = captured[0].email().expect("a mail");
        let text = mail.text.as_deref().unwrap_or_default();
        assert!(
            text.contains("Zahnarzt") && text.contains("Sie erhalten diese Nachricht"),
            "{text}"
        );
    }
}

async fn quiet_hours_put_off_what_can_wait(bus: Bus) {
    let house = House::start(bus).await;
    let ada = house.person("ada");
    ada.registers("token-1", "ios").await;
    let clock = |hours| (Utc::now() + TimeDelta::hours(hours)).format("%H:%M").to_string();
    let quiet = json!({"quietHours": {"start": clock(-2), "end": clock(2)}});
    ada.notifications.put("/preferences", &quiet).await.expect(200);
    let (can_wait, due) = ada.is_reminded_in(3, &["push"], "Can wait").await;
    let urgent = json!({"date": written(due), "title": "Urgent", "message": "now", "channels": ["push"], "priority": "high"});
    ada.makes(&urgent).await;

    assert_eq!(ada.sees("sent", 1).await[0]["title"], "Urgent");
    assert_eq!(ada.sees("deferred", 1).await[0]["reason"], "QUIET_HOURS");
    house.tells(&can_wait, "notification:deferred").await;
    ada.edits(&can_wait, &json!({"title": "Has waited"})).await;
    ada.reads("Has waited").await;
    ada.notifications.put("/preferences", &json!({})).await.expect(200);
    ada.sees("sent", 2).await;
    house.stands(&can_wait, &["sent"]).await;
    let titles: Vec<_> =
        house.sandbox.captured().iter().filter_map(|it| it.push()?.title.clone()).collect();
    assert_eq!(titles, ["Urgent", "Has waited"]);
}
