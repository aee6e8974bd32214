//! What was sent, and what of it was read.

use serde_json::json;
use system::{Bus, House, LIMIT, Service};
use tokio::time::timeout;

crate::on_both_buses!(what_arrives_is_told_live_and_is_unread_until_it_is_read);

async fn what_arrives_is_told_live_and_is_unread_until_it_is_read(bus: Bus) {
    let house = House::start(bus).await;
    let ada = house.person("ada");
    ada.registers("token-1", "web").await;
    let url = format!("{}/notifications/stream", house.processes(Service::Notifications)[0].rest_url());
    let stream = support::http::plain().get(url).header("X-Authenticated-Userid", &ada.id);
    let stream = stream.header("X-Consumer-Username", &ada.email).send().await.expect("the stream opens");
    let mut stream = stream.error_for_status().expect("a stream");
    ada.is_reminded_in(2, &["push", "email"], "Tablets").await;
    let mut told = String::new();
    while told.matches("event: delivery").count() < 2 || !told.contains("{\"unread\":1}") {
        let part = timeout(LIMIT, stream.chunk()).await.unwrap_or_else(|_| panic!("told so far: {told}"));
        told.push_str(&String::from_utf8_lossy(&part.expect("the stream holds").expect("the stream goes on")));
    }
    assert_eq!(told.matches("\"state\":\"sent\"").count(), 2, "{told}");

    // On two ways, and one thing to read.
    let sent = ada.sees("sent", 2).await;
    assert!(sent.iter().all(|it| it["occurrenceId"] == sent[0]["occurrenceId"] && it["readAt"].is_null()), "{sent:?}");
    let unread = async || ada.notifications.get("/notifications/unread-count").await.expect(200).body;
    assert_eq!(unread().await, json!({"unread": 1}));
    let one = format!("/notifications/{}", sent[0]["id"].as_str().expect("an id"));
    let marks = async |mark: &str| ada.notifications.post(&format!("{one}/{mark}"), &json!({})).await.expect(200).body;
    assert_eq!((marks("read").await, unread().await), (json!({"unread": 0}), json!({"unread": 0})));
    assert!(ada.sees("sent", 2).await.iter().all(|it| it["readAt"].is_string()));
    assert_eq!((marks("unread").await, unread().await), (json!({"unread": 1}), json!({"unread": 1})));
    let bob = house.person("bob");
    bob.notifications.post(&format!("{one}/read"), &json!({})).await.expect(404);
}
