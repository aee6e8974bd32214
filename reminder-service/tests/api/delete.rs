//! `DELETE /reminders/{id}`.

use serde_json::json;

use crate::service::{Service, least};

#[tokio::test]
async fn deletes_reminder() {
    let service = Service::start().await;
    let path = format!("/reminders/{}", service.make(&least()).await);

    let answer = service.ada.delete(&path).await.expect(200);

    assert_eq!(answer.body, json!(""), "the answer is empty");
    for answer in [
        service.ada.get(&path).await,
        service.ada.delete(&path).await,
        service.ada.patch(&path, &json!({"title": "x"})).await,
    ] {
        assert_eq!(answer.expect(404).reason(), Some("MISSING_REMINDER"));
    }
    assert_eq!(service.count("reminders").await, 0);
}

#[tokio::test]
async fn keeps_reminder_of_another_user() {
    let service = Service::start().await;
    let path = format!("/reminders/{}", service.make(&least()).await);
    let other = service.anonymous.as_user("bob", "bob@example.com");

    assert_eq!(other.delete(&path).await.expect(404).reason(), Some("MISSING_REMINDER"));

    service.ada.get(&path).await.expect(200);
}
