//! Stream of deliveries, and read marks.

use serde_json::json;
use system::{Bus, Service, Stream, TestSuite};

crate::on_both_buses!(streams_deliveries_and_counts_unread, resumes_stream_in_another_process,);

async fn streams_deliveries_and_counts_unread(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "web").await;
    let mut stream = Stream::open(&suite, &ada, None).await;
    ada.create_reminder_due_in(2, &["push", "email"], "Tablets").await;
    let received = stream
        .until(|received| deliveries(received) == 2 && received.contains("{\"unread\":1}"))
        .await;
    assert_eq!(received.matches("\"state\":\"sent\"").count(), 2, "{received}");

    // Two deliveries of one occurrence, which counts once as unread.
    let sent = ada.wait_for_deliveries("sent", 2).await;
    assert!(
        sent.iter().all(|delivery| delivery["occurrenceId"] == sent[0]["occurrenceId"]
            && delivery["readAt"].is_null()),
        "{sent:?}"
    );
    let unread =
        async || ada.notifications.get("/notifications/unread-count").await.expect(200).body;
    assert_eq!(unread().await, json!({"unread": 1}));
    let path = format!("/notifications/{}", sent[0]["id"].as_str().expect("an id"));
    let mark = async |state: &str| {
        ada.notifications.post(&format!("{path}/{state}"), &json!({})).await.expect(200).body
    };
    assert_eq!((mark("read").await, unread().await), (json!({"unread": 0}), json!({"unread": 0})));
    let read = ada.wait_for_deliveries("sent", 2).await;
    assert!(read.iter().all(|delivery| delivery["readAt"].is_string()), "{read:?}");
    assert_eq!(
        (mark("unread").await, unread().await),
        (json!({"unread": 1}), json!({"unread": 1}))
    );
    let bob = suite.user("bob");
    bob.notifications.post(&format!("{path}/read"), &json!({})).await.expect(404);
}

async fn resumes_stream_in_another_process(bus: Bus) {
    let mut suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "android").await;
    let mut stream = Stream::open(&suite, &ada, None).await;
    ada.create_reminder_due_in(2, &["push"], "First").await;
    let received =
        stream.until(|received| deliveries(received) == 1 && received.ends_with("\n\n")).await;
    let last = received
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("id: "))
        .expect("an event has an id")
        .to_owned();
    suite.kill(Service::Notifications).await;
    ada.create_reminder_due_in(1, &["push"], "Second").await;
    suite.start_process(Service::Notifications).await;
    suite.wait_until_ready().await;
    let ada = suite.user("ada");
    ada.wait_for_deliveries("sent", 2).await;

    let mut stream = Stream::open(&suite, &ada, Some(&last)).await;
    let received = stream
        .until(|received| deliveries(received) == 1 && received.contains("{\"unread\":2}"))
        .await;
    assert!(received.contains("Second") && !received.contains("First"), "{received}");
}

/// Number of deliveries in the events of a stream.
fn deliveries(received: &str) -> usize {
    received.matches("event: delivery").count()
}
