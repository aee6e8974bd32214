//! `GET /me/export`.

use std::collections::HashSet;

use contract::Channel;
use serde_json::{Value, json};

use crate::test_service::TestService;

#[tokio::test]
async fn exports_all_data_of_user_without_token() {
    let service = TestService::start().await;
    let device = service.register_device("ada", "token-1").await;
    let due = service.publish_due("ada", &[Channel::Email, Channel::Push]).await;
    for channel in [Channel::Email, Channel::Push] {
        service.wait_for_state(&due, channel, "sent").await;
    }
    service.user("ada").put("/preferences", &json!({"locale": "de"})).await.expect(200);
    let answer = service.user("ada").get("/me/export").await.expect(200);

    assert_eq!(answer.header("content-type"), Some("application/json"));
    let export = answer.body;
    assert_eq!(
        (&export["devices"][0]["id"], &export["preferences"]["locale"]),
        (&json!(device), &json!("de"))
    );
    assert_eq!(export["truncated"], json!(false));
    let notifications = export["notifications"].as_array().expect("a list");
    assert_eq!(notifications.len(), 2);
    for notification in notifications {
        assert_eq!(
            (&notification["message"], &notification["title"]),
            (&json!("Water them"), &json!("Plants"))
        );
        let to = if notification["channel"] == json!("email") {
            json!("ada@example.com")
        } else {
            Value::Null
        };
        assert_eq!((&notification["email"], &notification["state"]), (&to, &json!("sent")));
    }
    assert!(!export.to_string().contains("token-1"));
    let empty = service.user("bob").get("/me/export").await.expect(200).body;
    assert_eq!((&empty["devices"], &empty["notifications"]), (&json!([]), &json!([])));
    service.anonymous().get("/me/export").await.expect(401);
}

#[tokio::test]
async fn exports_long_history_once() {
    let service = TestService::start().await;
    let due = service.publish_due("ada", &[Channel::Email]).await;
    service.wait_for_state(&due, Channel::Email, "sent").await;
    for statement in [
        "insert into dispatches (occurrence_id, source, item_id, user_id, version, due_at,
         expires_at, payload, deliveries)
         select gen_random_uuid(), source, item_id, user_id, version, due_at, expires_at, payload, 1
         from dispatches, generate_series(1, 1200)",
        "insert into deliveries (occurrence_id, channel, device_id, id, user_id, state)
         select occurrence_id, 'push', gen_random_uuid(), gen_random_uuid(), user_id, 'sent'
             from dispatches",
    ] {
        sqlx::query(statement).execute(&service.pool).await.expect("written");
    }
    let export = service.user("ada").get("/me/export").await.expect(200).body;

    let ids = export["notifications"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|delivery| delivery["id"].as_str().expect("an id"));
    let (all, once): (Vec<_>, HashSet<_>) = (ids.clone().collect(), ids.collect());
    assert_eq!((all.len(), once.len(), &export["truncated"]), (1_202, 1_202, &json!(false)));
}
