//! What was sent, and what of it was read.

use serde_json::json;
use system::{Bus, House, Service, Stream};

crate::on_both_buses!(
    what_arrives_is_told_live_and_is_unread_until_it_is_read,
    a_stream_goes_on_in_another_process_where_it_ended,
);

async fn what_arrives_is_told_live_and_is_unread_until_it_is_read(bus: Bus) {
    let house = House::start(bus).await;
    let ada = house.person("ada");
    ada.registers("token-1", "web").await;
    let mut stream = Stream::open(&house, &ada, None).await;
    ada.is_reminded_in(2, &["push", "email"], "Tablets").await;
    let told = stream.until(|told| deliveries(told) == 2 && told.contains("{\"unread\":1}")).await;
    assert_eq!(told.matches("\"state\":\"sent\"").count(), 2, "{told}");

    // On two ways, and one thing to read.
    let sent = ada.sees("sent", 2).await;
    assert!(
        sent.iter()
            .all(|it| it["occurrenceId"] == sent[0]["occurrenceId"] && it["readAt"].is_null()),
        "{sent:?}"
    );
    let unread =
        async || ada.notifications.get("/notifications/unread-count").await.expect(200).body;
    assert_eq!(unread().await, json!({"unread": 1}));
    let one = format!("/notifications/{}", sent[0]["id"].as_str().expect("an id"));
    let marks = async |mark: &str| {
        ada.notifications.post(&format!("{one}/{mark}"), &json!({})).await.expect(200).body
    };
    assert_eq!((marks("read").await, unread().await), (json!({"unread": 0}), json!({"unread": 0})));
    assert!(ada.sees("sent", 2).await.iter().all(|it| it["readAt"].is_string()));
    assert_eq!(
        (marks("unread").await, unread().await),
        (json!({"unread": 1}), json!({"unread": 1}))
    );
    let bob = house.person("bob");
    bob.notifications.post(&format!("{one}/read"), &json!({})).await.expect(404);
}

async fn a_stream_goes_on_in_another_process_where_it_ended(bus: Bus) {
    let mut house = House::start(bus).await;
    let ada = house.person("ada");
    ada.registers("token-1", "android").await;
    let mut stream = Stream::open(&house, &ada, None).await;
    ada.is_reminded_in(2, &["push"], "First").await;
    let told = stream.until(|told| deliveries(told) == 1 && told.ends_with("\n\n")).await;
    let last = told
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("id: "))
        .expect("an event has an id")
        .to_owned();
    house.kill(Service::Notifications).await;
    ada.is_reminded_in(1, &["push"], "Second").await;
    house.add(Service::Notifications).await;
    house.ready().await;
    let ada = house.person("ada");
    ada.sees("sent", 2).await;

    let mut stream = Stream::open(&house, &ada, Some(&last)).await;
    let told = stream.until(|told| deliveries(told) == 1 && told.contains("{\"unread\":2}")).await;
    assert!(told.contains("Second") && !told.contains("First"), "{told}");
}

/// How many deliveries a stream told of.
fn deliveries(told: &str) -> usize {
    told.matches("event: delivery").count()
}
