//! FCM: each error body, each validation, both HTTP versions.

use std::time::{Duration, Instant};

use reqwest::Version;
use serde_json::{Value, json};

use crate::client::Sender;

#[tokio::test]
async fn captures_push_as_device_would_show_it() {
    let sender = Sender::new().await;
    let message = json!({
        "token": "device-1",
        "notification": {"title": "Tea", "body": "is ready"},
        "data": {"reminder": "7"},
        "android": {"collapseKey": "occurrence-1", "ttl": "3600s", "priority": "HIGH"},
        "apns": {
            "headers": {"apns-collapse-id": "occurrence-1"},
            "payload": {"aps": {"sound": "default"}},
        },
        "webpush": {
            "headers": {"Topic": "occurrence-1"},
            "fcm_options": {"link": "https://example.com/tea"},
        },
    });

    let answer = sender.push(message).await;

    let name = answer.json()["name"].as_str().unwrap().to_owned();
    assert!(name.starts_with("projects/demo/messages/"), "{name}");
    let captured = sender.sandbox.captured();
    let push = captured[0].push().unwrap();
    assert_eq!(captured[0].message_id, name);
    assert_eq!((push.title.as_deref(), push.body.as_deref()), (Some("Tea"), Some("is ready")));
    assert_eq!(push.link.as_deref(), Some("https://example.com/tea"));
    assert_eq!(push.collapse_key.as_deref(), Some("occurrence-1"));
    assert_eq!(push.data["reminder"], "7");
    assert_eq!(push.android.as_ref().unwrap()["collapse_key"], "occurrence-1");
}

#[tokio::test]
async fn answers_error_that_token_selects() {
    let sender = Sender::new().await;
    let cases = [
        ("unregistered-1", 404, "NOT_FOUND", "UNREGISTERED"),
        ("gone-1", 404, "NOT_FOUND", "UNREGISTERED"),
        ("invalid-token-1", 400, "INVALID_ARGUMENT", "INVALID_ARGUMENT"),
        ("turned-invalid-1", 400, "INVALID_ARGUMENT", "INVALID_ARGUMENT"),
        ("bad-payload-1", 400, "INVALID_ARGUMENT", "INVALID_ARGUMENT"),
        ("sender-mismatch-1", 403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"),
        ("third-party-1", 401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"),
        ("quota-1", 429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"),
        ("unavailable-1", 503, "UNAVAILABLE", "UNAVAILABLE"),
        ("internal-1", 500, "INTERNAL", "INTERNAL"),
    ];
    for (token, status, code, error_code) in cases {
        let answer = sender.push_to(token).await;

        assert_eq!(answer.status, status, "{token}");
        assert_eq!(answer.json()["error"]["code"], status, "{token}");
        assert_eq!(answer.json()["error"]["status"], code, "{token}");
        assert_eq!(answer.error_code(), error_code, "{token}");
    }
    assert!(sender.sandbox.captured().is_empty());
}

#[tokio::test]
async fn names_field_of_bad_token_only() {
    let sender = Sender::new().await;

    assert_eq!(
        sender.push_to("invalid-token-1").await.violated().as_deref(),
        Some("message.token")
    );
    assert_eq!(
        sender.push_to("turned-invalid-1").await.violated().as_deref(),
        Some("message.token")
    );
    assert_eq!(sender.push_to("bad-payload-1").await.violated(), None);
}

#[tokio::test]
async fn sends_retry_after_header() {
    let sender = Sender::new().await;

    assert_eq!(sender.push_to("quota-after-7-x").await.retry_after.as_deref(), Some("7"));
    assert_eq!(sender.push_to("quota-x").await.retry_after, None);
    assert_eq!(sender.push_to("unavailable-after-3-x").await.retry_after.as_deref(), Some("3"));
}

#[tokio::test]
async fn answers_bad_gateway_with_html() {
    let sender = Sender::new().await;

    let answer = sender.push_to("html-502-x").await;

    assert_eq!(answer.status, 502);
    assert!(answer.text.starts_with("<!DOCTYPE html>"));
}

#[tokio::test]
async fn captures_slow_message_before_its_answer() {
    let sender = Sender::new().await;
    let begun = Instant::now();

    let answer = sender.push_to("slow-80-x").await;

    assert_eq!(answer.status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(80));
    assert_eq!(sender.sandbox.captured().len(), 1);
}

#[tokio::test]
async fn accepts_message_without_an_answer() {
    let sender = Sender::new().await;
    let url = format!("{}/v1/projects/demo/messages:send", sender.sandbox.url());
    let request = json!({"message": {"token": "timeout-after-accept-x"}});
    let request = sender.http.post(url).bearer_auth(&sender.access_token).json(&request);

    let answer = request.timeout(Duration::from_millis(200)).send().await;

    assert!(answer.unwrap_err().is_timeout());
    assert_eq!(sender.sandbox.captured().len(), 1);
}

#[tokio::test]
async fn changes_answer_after_number_of_sends() {
    let sender = Sender::new().await;
    for (token, wanted) in [("flaky-2-x", [503, 503, 200]), ("gone-after-2-x", [200, 200, 404])] {
        for status in wanted {
            assert_eq!(sender.push_to(token).await.status, status, "{token}");
        }
    }
}

#[tokio::test]
async fn validates_token_without_sending() {
    let sender = Sender::new().await;
    for (token, status) in [
        ("device-1", 200),
        ("gone-1", 200),
        ("bad-payload-1", 200),
        ("quota-1", 200),
        ("unregistered-1", 404),
        ("invalid-token-1", 400),
    ] {
        let answer =
            sender.request(json!({"validate_only": true, "message": {"token": token}})).await;
        assert_eq!(answer.status, status, "{token}");
    }
    assert!(sender.sandbox.captured().is_empty());
}

#[tokio::test]
async fn names_field_of_refused_message() {
    let sender = Sender::new().await;
    let long = "x".repeat(4_097);
    let cases: Vec<(Value, Option<&str>)> = vec![
        (json!({}), Some("message")),
        (json!({"data": {"a": "b"}}), Some("message")),
        (json!({"token": "a", "topic": "b"}), Some("message")),
        (json!({"token": "a b"}), Some("message.token")),
        (json!({"token": "a", "title": "b"}), Some("message")),
        (json!({"token": "a", "notification": {"titel": "b"}}), Some("message.notification")),
        (json!({"token": "a", "data": {"n": 12}}), Some("message.data[0].value")),
        (json!({"token": "a", "data": {"google.x": "1"}}), Some("message.data")),
        (json!({"token": "a", "android": {"ttl": "1 h"}}), Some("message.android.ttl")),
        (json!({"token": "a", "android": {"ttl": "2419201s"}}), Some("message.android.ttl")),
        (
            json!({"token": "a", "android": {"priority": "URGENT"}}),
            Some("message.android.priority"),
        ),
        (
            json!({"token": "a", "apns": {"headers": {"apns-collapse-id": "x".repeat(65)}}}),
            Some("message.apns.headers"),
        ),
        (
            json!({"token": "a", "webpush": {"headers": {"Topic": "x".repeat(33)}}}),
            Some("message.webpush.headers"),
        ),
        (
            json!({"token": "a", "webpush": {"fcm_options": {"link": "http://example.com"}}}),
            Some("message.webpush.fcm_options.link"),
        ),
        (json!({"token": "a", "data": {"text": long}}), None),
    ];
    for (message, field) in cases {
        let answer = sender.push(message.clone()).await;

        assert_eq!(answer.status, 400, "{message}");
        assert_eq!(answer.json()["error"]["status"], "INVALID_ARGUMENT", "{message}");
        assert_eq!(answer.violated().as_deref(), field, "{message}: {}", answer.text);
    }
    assert_eq!(
        sender.request(json!({"message": {"token": "a"}, "dry_run": true})).await.status,
        400
    );
}

#[tokio::test]
async fn accepts_payload_at_the_limit() {
    let sender = Sender::new().await;
    let text = "x".repeat(4_096 - "text".len());

    let answer = sender.push(json!({"token": "a", "data": {"text": text}})).await;

    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn refuses_sends_without_access_token() {
    let mut sender = Sender::new().await;
    sender.access_token = "ya29.invented".to_owned();

    let answer = sender.push_to("device-1").await;

    assert_eq!(answer.status, 401);
    assert_eq!(answer.json()["error"]["status"], "UNAUTHENTICATED");
    assert_eq!(answer.error_code(), "");
    assert_eq!(sender.sandbox.stats().unauthenticated, 1);
}

#[tokio::test]
async fn serves_both_http_versions_on_one_port() {
    let sender = Sender::new().await;
    let url = format!("{}/v1/projects/demo/messages:send", sender.sandbox.url());
    let h2c = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let http1 = reqwest::Client::builder().http1_only().build().unwrap();
    for (client, version) in [(h2c, Version::HTTP_2), (http1, Version::HTTP_11)] {
        let request = client
            .post(&url)
            .bearer_auth(&sender.access_token)
            .json(&json!({"message": {"token": "a"}}));

        let response = request.send().await.unwrap();

        assert_eq!((response.status().as_u16(), response.version()), (200, version));
    }
}

#[tokio::test]
async fn accepts_connections_after_graceful_close() {
    let sender = Sender::new().await;
    let h2c = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let health = format!("{}/healthz", sender.sandbox.url());
    for _ in 0..3 {
        assert_eq!(h2c.get(&health).send().await.unwrap().status(), 200);
        sender.sandbox.go_away();
    }
}
