//! REST API of devices.

use contract::{Channel, EventType};
use serde_json::{Value, json};
use support::wait_until;

use crate::test_service::{LIMIT, TestService};

fn body(token: &str) -> Value {
    json!({"fcmToken": token, "type": "web", "name": "Browser"})
}

#[tokio::test]
async fn registers_lists_and_removes_device_with_events() {
    let service = TestService::start().await;
    let ada = service.user("ada");
    let id = ada.post("/device/register", &body("token-1")).await.expect(201).id();

    let devices = ada.get("/device").await.expect(200).body["devices"].clone();
    assert_eq!(
        (&devices[0]["id"], &devices[0]["type"], &devices[0]["name"]),
        (&json!(id), &json!("web"), &json!("Browser"))
    );
    assert!(!devices.to_string().contains("token-1"));
    let fact = service.wait_for_event(EventType::DeviceRegistered, &id).await;
    assert_eq!((fact.user_id.as_str(), &fact.data["type"]), ("ada", &json!("web")));
    assert!(!fact.data.to_string().contains("token-1"));

    ada.delete(&format!("/device/remove/{id}")).await.expect(200);
    assert_eq!(ada.get("/device").await.body["devices"], json!([]));
    service.wait_for_event(EventType::DeviceRemoved, &id).await;
}

#[tokio::test]
async fn refreshes_device_when_token_is_own() {
    let service = TestService::start().await;
    let ada = service.user("ada");
    let first = ada.post("/device/register", &body("token-1")).await.expect(201).id();
    let again = ada
        .post("/device/register", &json!({"fcmToken": "token-1", "type": "ios"}))
        .await
        .expect(201)
        .id();
    let devices = ada.get("/device").await.body["devices"].clone();

    assert_eq!(first, again);
    assert_eq!(devices.as_array().map(Vec::len), Some(1));
    assert_eq!((&devices[0]["type"], &devices[0]["name"]), (&json!("ios"), &json!("Browser")));
}

#[tokio::test]
async fn moves_token_to_new_user() {
    let service = TestService::start().await;
    let old = service.register_device("ada", "token-1").await;
    let new = service.register_device("bob", "token-1").await;

    assert_ne!(old, new);
    assert_eq!(service.user("ada").get("/device").await.body["devices"], json!([]));
    assert_eq!(service.user("bob").get("/device").await.body["devices"][0]["id"], json!(new));
    assert_eq!(service.wait_for_event(EventType::DeviceRemoved, &old).await.user_id, "ada");
}

#[tokio::test]
async fn rejects_token_unknown_to_fcm() {
    let service = TestService::start().await;
    for token in ["invalid-token-1", "unregistered-1"] {
        let answer = service.user("ada").post("/device/register", &body(token)).await.expect(422);
        assert_eq!(answer.reason(), Some("INVALID_TOKEN"), "{token}");
    }
    assert_eq!(service.user("ada").get("/device").await.body["devices"], json!([]));
}

#[tokio::test]
async fn stores_nothing_when_fcm_is_unreachable() {
    let service = TestService::start().await;
    for change in [
        (|mode| mode.fcm.status = Some(503)) as fn(&mut sandbox::Mode),
        |mode| mode.fcm.down = true,
        |mode| mode.oauth.status = Some(401),
    ] {
        service.sandbox.revoke_tokens();
        service.set_provider_mode(change);
        let answer =
            service.user("ada").post("/device/register", &body("token-1")).await.expect(503);
        assert_eq!(answer.reason(), Some("UPSTREAM_UNAVAILABLE"));
        assert!(answer.header("retry-after").is_some());
        service.set_provider_mode(|_| {});
    }
    assert_eq!(service.user("ada").get("/device").await.body["devices"], json!([]));
}

#[tokio::test]
async fn returns_first_response_for_idempotency_key() {
    let service = TestService::start().await;
    let ada = service.user("ada").with_header("Idempotency-Key", "k-1");
    let first = ada.post("/device/register", &body("token-1")).await.expect(201);
    ada.delete(&format!("/device/remove/{}", first.id())).await.expect(200);
    let again = ada.post("/device/register", &body("token-1")).await.expect(201);

    assert_eq!((again.id(), again.header("idempotent-replayed")), (first.id(), Some("true")));
    assert_eq!(ada.get("/device").await.body["devices"], json!([]));
    let reused = ada.post("/device/register", &body("token-2")).await.expect(422);
    assert_eq!(reused.reason(), Some("IDEMPOTENCY_KEY_REUSED"));
}

#[tokio::test]
async fn names_malformed_field_of_registration() {
    let service = TestService::start().await;
    for (body, field) in [
        (json!({"type": "web"}), "fcmToken"),
        (json!({"fcmToken": "", "type": "web"}), "fcmToken"),
        (json!({"fcmToken": "a b", "type": "web"}), "fcmToken"),
        (json!({"fcmToken": "x".repeat(4097), "type": "web"}), "fcmToken"),
        (json!({"fcmToken": "a", "type": "fridge"}), "type"),
        (json!({"fcmToken": "a"}), "type"),
        (json!({"fcmToken": "a", "type": "web", "name": "x".repeat(101)}), "name"),
        (json!({"fcmToken": "a", "type": "web", "colour": "red"}), "colour"),
    ] {
        let answer = service.user("ada").post("/device/register", &body).await.expect(400);
        assert_eq!(answer.reason(), Some("INVALID_REQUEST"));
        assert!(
            answer.body["error"]["message"].as_str().is_some_and(|text| text.contains(field)),
            "{}",
            answer.body
        );
    }
}

#[tokio::test]
async fn refuses_removal_of_device_of_another_user() {
    let service = TestService::start().await;
    let id = service.register_device("ada", "token-1").await;
    for id in [id.as_str(), "00000000000000000000000000000000", "nonsense"] {
        let answer = service.user("bob").delete(&format!("/device/remove/{id}")).await.expect(422);
        assert_eq!(answer.reason(), Some("DEVICE_NOT_ASSOCIATED"));
    }
    assert_eq!(service.user("ada").get("/device").await.body["devices"][0]["id"], json!(id));
}

#[tokio::test]
async fn requires_identity() {
    let service = TestService::start().await;
    let nobody = service.anonymous();
    for answer in [
        nobody.get("/device").await,
        nobody.get("/notifications").await,
        nobody.post("/device/register", &body("t")).await,
    ] {
        assert_eq!((answer.status, answer.reason()), (401, Some("UNAUTHENTICATED")));
    }
}

#[tokio::test]
async fn sends_nothing_to_token_moved_while_in_memory() {
    let service = TestService::start_with(&[("PUSH_MAX_IN_FLIGHT", "1")]).await;
    service.register_device("ada", "token-1").await;
    service.register_device("bob", "slow-6000-x").await;
    // The only permit is taken for a while, so the push to Ada's phone waits in memory.
    service.publish_due("bob", &[Channel::Push]).await;
    wait_until(LIMIT, async || !service.pushes("slow-6000-x").is_empty()).await;
    let due = service.publish_due("ada", &[Channel::Push]).await;
    service.wait_until_consumed().await;
    service.register_device("eve", "token-1").await;

    let outcome = service.wait_for_outcome(&due, EventType::NotificationSuppressed).await;
    assert_eq!(outcome.reason.as_deref(), Some("DEVICE_GONE"));
    assert!(service.pushes("token-1").is_empty());
}
