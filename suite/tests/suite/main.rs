//! The binary of the suite as a child process: deliveries, restart, and several instances.

mod instance;

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use instance::{Instance, data_folder};
use serde_json::{Value, json};

/// Longest time from a reminder to its messages, on a machine that is busy with other tests.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(20);
/// Largest lateness on such a machine; the benchmark measures it on an idle one.
const LATENESS_LIMIT: Duration = Duration::from_secs(5);

fn reminder(title: &str, due: DateTime<Utc>) -> Value {
    json!({
        "date": due.to_rfc3339_opts(SecondsFormat::Millis, true),
        "channels": ["email", "push"],
        "title": title,
        "message": "The tea is ready",
        "url": "https://example.com/tea",
    })
}

fn device(kind: &str) -> Value {
    json!({"fcmToken": "a-phone", "type": kind, "name": "My phone"})
}

/// Lateness of a message.
fn lateness(message: &Value, due: DateTime<Utc>) -> Duration {
    let at = message["at"]
        .as_str()
        .and_then(|at| at.parse::<DateTime<Utc>>().ok())
        .expect("the time of arrival");
    (at - due).to_std().expect("nothing arrives before it is due")
}

#[tokio::test]
async fn delivers_reminder_that_console_created() {
    let data = data_folder();
    let suite = Instance::start(data.path()).await;
    let device_id =
        suite.console.post("/api/device/register", &device("android")).await.expect(201).id();
    let due = Utc::now() + Duration::from_secs(2);
    suite.console.post("/api/reminders", &reminder("Tea", due)).await.expect(201);

    let push = suite.message("push", "Tea", ARRIVAL_LIMIT).await;
    let email = suite.message("email", "Tea", ARRIVAL_LIMIT).await;
    for message in [&push, &email] {
        let late = lateness(message, due);
        assert!(late < LATENESS_LIMIT, "{late:?} late: {message}");
    }
    assert_eq!(push["link"], "https://example.com/tea");
    assert_eq!(email["to"], json!(["demo@example.com"]));
    // From this event the page learns the device and the due time of a push.
    let event = suite.sent_event(&push, ARRIVAL_LIMIT).await;
    assert_eq!(event["deviceId"], device_id);
    assert_eq!(suite.stop().await, Some(0));
}

#[tokio::test]
async fn sends_missed_reminder_after_restart() {
    let data = data_folder();
    let first = Instance::start(data.path()).await;
    first.console.post("/api/device/register", &device("ios")).await.expect(201);
    let far = Utc::now() + Duration::from_secs(3_600);
    let far = first.console.post("/api/reminders", &reminder("Far", far)).await.expect(201).id();
    let due = Utc::now() + Duration::from_secs(5);
    first.console.post("/api/reminders", &reminder("Missed", due)).await.expect(201);
    assert_eq!(first.stop().await, Some(0));

    let second = Instance::start(data.path()).await;
    assert_eq!(
        second.console.get(&format!("/api/reminders/{far}")).await.expect(200).body["title"],
        "Far"
    );
    assert_eq!(
        second.console.get("/api/device").await.expect(200).body["devices"][0]["name"],
        "My phone"
    );
    let missed = second.message("push", "Missed", ARRIVAL_LIMIT).await;
    assert!(lateness(&missed, due) > Duration::ZERO);
    assert_eq!(second.stop().await, Some(0));
}

#[tokio::test]
async fn runs_two_instances_on_different_folders_only() {
    let (one_data, other_data) = (data_folder(), data_folder());
    let usual = async |data| Instance::start_with(data, &[]).await;
    let (one, other) = tokio::join!(usual(one_data.path()), usual(other_data.path()));
    assert_ne!(one.url, other.url);
    for suite in [&one, &other] {
        suite.console.get("/").await.expect(200);
        suite.console.get("/api/reminders").await.expect(200);
    }

    let (code, output) = instance::command(one_data.path()).run().await;
    assert_eq!(code, Some(1));
    assert!(output.contains("another suite uses") && output.contains(&one.url), "{output}");

    assert_eq!(one.stop().await, Some(0));
    assert_eq!(other.stop().await, Some(0));
}
