//! The header `If-Match` of changes.

use serde_json::{Value, json};
use support::http::{Answer, Client};

use crate::service::{Service, least};

/// Every call that changes a reminder.
async fn changes(client: &Client, path: &str) -> [Answer; 7] {
    let change = json!({"title": "Tea"});
    [
        client.patch(path, &change).await,
        client.post(path, &change).await,
        client.post(&format!("{path}/snooze"), &json!({"minutes": 5})).await,
        client.post(&format!("{path}/acknowledge"), &json!({})).await,
        client.post(&format!("{path}/pause"), &json!({})).await,
        client.post(&format!("{path}/resume"), &json!({})).await,
        client.delete(path).await,
    ]
}

#[tokio::test]
async fn refuses_changes_of_another_version() {
    let service = Service::start().await;
    let path = format!("/reminders/{}", service.make(&least()).await);
    service.ada.patch(&path, &json!({"title": "Coffee"})).await.expect(200);
    let before = service.ada.get(&path).await.expect(200).body;
    for tags in [r#""1""#, r#""3", "4""#, r#"W/"2""#, r#""02""#, r#""x""#] {
        for answer in changes(&service.ada.with_header("If-Match", tags), &path).await {
            let answer = answer.expect(412);
            assert_eq!(answer.reason(), Some("PRECONDITION_FAILED"), "{tags}");
            let message = answer.body["error"]["message"].as_str().expect("a message");
            assert!(message.contains("version 2"), "{message}");
        }
    }
    assert_eq!(service.ada.get(&path).await.expect(200).body, before);
}

#[tokio::test]
async fn changes_expected_version() {
    let service = Service::start().await;
    let path = format!("/reminders/{}", service.make(&least()).await);
    let mut tag = service.ada.get(&path).await.expect(200).header("etag").map(str::to_owned);
    for (version, title) in ["One", "Two", "Three"].into_iter().enumerate() {
        let expected = tag.take().expect("an entity tag");
        assert_eq!(expected, format!("\"{}\"", version + 1));
        let client = service.ada.with_header("If-Match", &expected);
        let answer = client.patch(&path, &json!({"title": title})).await.expect(200);
        assert_eq!(answer.body["version"], json!(version + 2));
        tag = answer.header("etag").map(str::to_owned);
    }
    for tags in ["*", r#""9", "5""#] {
        let client = service.ada.with_header("If-Match", tags);
        client.patch(&path, &json!({"title": "Four"})).await.expect(200);
    }
    service.ada.with_header("If-Match", r#""6""#).delete(&path).await.expect(200);
    let gone = changes(&service.ada.with_header("If-Match", "*"), &path).await;
    assert!(gone.iter().all(|answer| answer.reason() == Some("MISSING_REMINDER")));
}

#[tokio::test]
async fn names_malformed_if_match() {
    let service = Service::start().await;
    let path = format!("/reminders/{}", service.make(&least()).await);
    for answer in changes(&service.ada.with_header("If-Match", "5"), &path).await {
        let answer = answer.expect(400);
        assert_eq!(answer.reason(), Some("INVALID_REQUEST"));
        let message: &Value = &answer.body["error"]["message"];
        assert!(message.as_str().is_some_and(|text| text.starts_with("If-Match: ")), "{message}");
    }
}
