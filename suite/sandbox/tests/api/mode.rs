//! Whole providers in another mode, changed over HTTP.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::http::Client;

use crate::client::Sender;

async fn set(sender: &Sender, mode: Value) {
    let answer = Client::new(sender.sandbox.url()).put("/_sandbox/mode", &mode).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[tokio::test]
async fn answers_every_send_with_error_of_mode() {
    let sender = Sender::new().await;
    for (status, code) in [
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (429, "RESOURCE_EXHAUSTED"),
        (500, "INTERNAL"),
        (503, "UNAVAILABLE"),
    ] {
        set(&sender, json!({"fcm": {"status": status, "retryAfter": 2}})).await;

        let answer = sender.push_to("device-1").await;

        assert_eq!(
            (answer.status.as_u16(), answer.json()["error"]["status"].as_str()),
            (status, Some(code))
        );
        assert_eq!(answer.retry_after.as_deref(), Some("2"));
    }
    set(&sender, json!({})).await;
    assert_eq!(sender.push_to("device-1").await.status, 200);
}

#[tokio::test]
async fn delays_every_answer_in_slow_mode() {
    let sender = Sender::new().await;
    set(&sender, json!({"fcm": {"latencyMs": 60}})).await;
    let begun = Instant::now();

    assert_eq!(sender.push_to("device-1").await.status, 200);

    assert!(begun.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn breaks_or_holds_connections_when_down() {
    let sender = Sender::new().await;
    let url = format!("{}/v1/projects/demo/messages:send", sender.sandbox.url());
    let post =
        || sender.http.post(&url).json(&json!({})).timeout(Duration::from_millis(200)).send();

    set(&sender, json!({"fcm": {"down": true}})).await;
    assert!(!post().await.unwrap_err().is_timeout());

    set(&sender, json!({"fcm": {"hang": true}})).await;
    assert!(post().await.unwrap_err().is_timeout());
}

#[tokio::test]
async fn refuses_unknown_mode() {
    let sender = Sender::new().await;

    let answer = Client::new(sender.sandbox.url())
        .put("/_sandbox/mode", &json!({"fcm": {"speed": 1}}))
        .await;

    assert_eq!(answer.status, 422);
}
