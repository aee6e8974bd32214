//! What is held of a user belongs to the user.

use sandbox::{FcmMode, Mode};
use serde_json::{Value, json};
use support::eventually;
use system::{Bus, House, LIMIT, Person};

crate::on_both_buses!(
    everything_can_be_taken_along_and_nothing_is_left_after_an_erasure,
    what_waits_for_a_provider_is_erased_and_not_sent,
);

/// Nothing else in a database is named like this.
const ID: &str = "somebody-to-be-erased";

async fn everything_can_be_taken_along_and_nothing_is_left_after_an_erasure(bus: Bus) {
    let house = House::start(bus).await;
    let (ada, bob) = (house.person(ID), house.person("bob"));
    bob.registers("token-bob", "web").await;
    lives_here(&house, &ada).await;
    let kept = ada.reminders.get("/me/export").await.expect(200).body;
    let count = |part: &Value| part.as_array().map(Vec::len);
    assert_eq!(
        (&kept["complete"], &kept["missing"], count(&kept["reminders"])),
        (&json!(true), &json!([]), Some(2))
    );
    let (devices, events) = (&kept["notificationService"], &kept["eventService"]);
    assert_eq!(
        (count(&devices["devices"]), count(&devices["notifications"])),
        (Some(1), Some(2)),
        "{devices}"
    );
    assert_eq!(devices["preferences"]["locale"], "de");
    assert_eq!(count(&events["notifications"]), Some(2), "{events}");
    assert!(count(&events["events"]) >= Some(4), "{events}");

    let tables = house.tables_that_say(ID).await.join(" ");
    for table in [
        "reminders",
        "idempotency_keys",
        "notifications",
        "events",
        "deliveries",
        "preferences",
        "inbox_marks",
    ] {
        assert!(tables.contains(&format!("public.{table}")), "{table} is not searched: {tables}");
    }
    let receipt = ada.reminders.delete("/me").await.expect(200).body;
    assert!(receipt["receiptId"].is_string() && receipt["erasedAt"].is_string(), "{receipt}");
    is_forgotten(&house).await;

    ada.registers("token-again", "ios").await;
    let (id, _) = ada.is_reminded_in(2, &["push", "email"], "Again").await;
    house.stands(&id, &["sent"]).await;
    ada.sees("sent", 2).await;
}

/// Leaves something in every table: a delivery on each channel, a reminder to come, and what is
/// preferred and read.
async fn lives_here(house: &House, ada: &Person) {
    ada.registers("token-erased", "android").await;
    ada.notifications.put("/preferences", &json!({"locale": "de"})).await.expect(200);
    let keyed =
        Person { reminders: ada.reminders.with_header("Idempotency-Key", "key-1"), ..ada.clone() };
    let (id, _) = keyed.is_reminded_in(2, &["push", "email"], "A secret").await;
    ada.is_reminded_in(600, &["push"], "A secret to come").await;
    let sent = ada.sees("sent", 2).await;
    let read = format!("/notifications/{}/read", sent[0]["id"].as_str().expect("an id"));
    ada.notifications.post(&read, &json!({})).await.expect(200);
    house.stands(&id, &["sent"]).await;
}

/// Waits until nothing says who lived here, on what device, and what they kept.
async fn is_forgotten(house: &House) {
    for name in [ID, "token-erased", "A secret"] {
        eventually(LIMIT, async || {
            let tables = house.tables_that_say(name).await;
            if tables.is_empty() { Ok(()) } else { Err(format!("{name} is in {tables:?}")) }
        })
        .await;
    }
}

async fn what_waits_for_a_provider_is_erased_and_not_sent(bus: Bus) {
    let house = House::start(bus).await;
    let (ada, bob) = (house.person(ID), house.person("bob"));
    ada.registers("token-erased", "android").await;
    bob.registers("token-bob", "web").await;
    let fcm = FcmMode { status: Some(503), retry_after: Some(1), ..FcmMode::default() };
    house.sandbox.set_mode(Mode { fcm, ..Mode::default() });
    let (id, _) = ada.is_reminded_in(2, &["push"], "A secret").await;
    house.stands(&id, &["released"]).await;
    // Of this one a revision is on its way when the erasure comes.
    ada.edits(&id, &json!({"message": "A secret, changed"})).await;
    ada.reminders.delete("/me").await.expect(200);
    is_forgotten(&house).await;

    house.sandbox.set_mode(Mode::default());
    // Somebody else's shows that the time of a retry has passed.
    bob.is_reminded_in(3, &["push"], "After it").await;
    bob.sees("sent", 1).await;
    let titles: Vec<_> =
        house.sandbox.captured().iter().filter_map(|it| it.push()?.title.clone()).collect();
    assert_eq!(titles, ["After it"]);
    is_forgotten(&house).await;
}
