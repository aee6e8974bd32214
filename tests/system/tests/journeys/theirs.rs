//! What is held of a user belongs to the user.

use serde_json::{Value, json};
use support::eventually;
use system::{Bus, House, LIMIT, Person};

crate::on_both_buses!(everything_can_be_taken_along_and_nothing_is_left_after_an_erasure);

/// Nothing else in a database is named like this.
const ID: &str = "somebody-to-be-erased";

async fn everything_can_be_taken_along_and_nothing_is_left_after_an_erasure(bus: Bus) {
    let house = House::start(bus).await;
    let (ada, bob) = (house.person(ID), house.person("bob"));
    bob.registers("token-bob", "web").await;
    lives_here(&house, &ada).await;
    let kept = ada.reminders.get("/me/export").await.expect(200).body;
    let count = |part: &Value| part.as_array().map(Vec::len);
    assert_eq!((&kept["complete"], &kept["missing"], count(&kept["reminders"])), (&json!(true), &json!([]), Some(2)));
    let (devices, events) = (&kept["notificationService"], &kept["eventService"]);
    assert_eq!((count(&devices["devices"]), count(&devices["notifications"])), (Some(1), Some(2)), "{devices}");
    assert_eq!(devices["preferences"]["locale"], "de");
    assert_eq!(count(&events["notifications"]), Some(2), "{events}");
    assert!(count(&events["events"]) >= Some(4), "{events}");

    let receipt = ada.reminders.delete("/me").await.expect(200).body;
    assert!(receipt["receiptId"].is_string() && receipt["erasedAt"].is_string(), "{receipt}");
    for name in [ID, "token-erased", "A secret"] {
        eventually(LIMIT, async || {
            let tables = house.tables_that_say(name).await;
            if tables.is_empty() { Ok(()) } else { Err(format!("{name} is in {tables:?}")) }
        })
        .await;
    }
    assert!(!house.tables_that_say("token-bob").await.is_empty(), "the search finds what is there");

    ada.registers("token-again", "ios").await;
    let (id, _) = ada.is_reminded_in(2, &["push", "email"], "Again").await;
    house.stands(&id, &["sent"]).await;
    ada.sees("sent", 2).await;
}

/// Leaves something in every table: a delivery on each channel, a reminder to come, and what is preferred and read.
async fn lives_here(house: &House, ada: &Person) {
    ada.registers("token-erased", "android").await;
    ada.notifications.put("/preferences", &json!({"locale": "de"})).await.expect(200);
    let keyed = Person { reminders: ada.reminders.with_header("Idempotency-Key", "key-1"), ..ada.clone() };
    let (id, _) = keyed.is_reminded_in(2, &["push", "email"], "A secret").await;
    ada.is_reminded_in(600, &["push"], "A secret to come").await;
    let sent = ada.sees("sent", 2).await;
    let read = format!("/notifications/{}/read", sent[0]["id"].as_str().expect("an id"));
    ada.notifications.post(&read, &json!({})).await.expect(200);
    house.stands(&id, &["sent"]).await;
}
