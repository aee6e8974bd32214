//! The description of the API: committed, served, and with valid examples.

use contract::Channel;
use serde_json::Value;

use crate::test_service::TestService;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

fn described() -> String {
    notification_service::routes::openapi().expect("JSON") + "\n"
}

#[test]
fn matches_committed_openapi() {
    let current = described();
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(FILE, &current).expect("openapi.json is written");
    }
    let committed = std::fs::read_to_string(FILE).unwrap_or_default();
    assert!(
        committed == current,
        "openapi.json is behind: `make openapi` writes it (this test with UPDATE_OPENAPI=1)"
    );
}

#[tokio::test]
async fn serves_openapi_and_docs_page() {
    let service = TestService::start().await;
    let served = service.anonymous().get("/openapi.json").await.expect(200).body;
    assert_eq!(served, serde_json::from_str::<Value>(&described()).expect("JSON"));
    service.anonymous().get("/docs").await.expect(200);
}

#[tokio::test]
async fn accepts_example_of_registration() {
    let service = TestService::start().await;
    let description: Value = serde_json::from_str(&described()).expect("JSON");
    let example = &description["components"]["schemas"]["Registration"]["example"];
    service.user("ada").post("/device/register", example).await.expect(201);
}

#[tokio::test]
async fn accepts_examples_of_read_marks() {
    let service = TestService::start().await;
    let due = service.publish_due("ada", &[Channel::Email]).await;
    service.wait_for_state(&due, Channel::Email, "sent").await;
    let description: Value = serde_json::from_str(&described()).expect("JSON");
    let schemas = &description["components"]["schemas"];
    let fields =
        |value: &Value| value.as_object().map(|object| object.keys().cloned().collect::<Vec<_>>());

    let listed = service.user("ada").get("/notifications").await.expect(200).body;
    assert_eq!(fields(&listed), fields(&schemas["Deliveries"]["example"]));
    assert_eq!(fields(&listed["notifications"][0]), fields(&schemas["Delivery"]["example"]));
    let answer = service
        .user("ada")
        .post("/notifications/read", &schemas["ReadAll"]["example"])
        .await
        .expect(200)
        .body;
    assert_eq!(fields(&answer), fields(&schemas["Unread"]["example"]));
}

#[tokio::test]
async fn accepts_example_of_preferences() {
    let service = TestService::start().await;
    let description: Value = serde_json::from_str(&described()).expect("JSON");
    let example = &description["components"]["schemas"]["Preferences"]["example"];
    assert_eq!(&service.user("ada").put("/preferences", example).await.expect(200).body, example);
}

#[tokio::test]
async fn matches_fields_of_export_example() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    let due = service.publish_due("ada", &[Channel::Push]).await;
    service.wait_for_state(&due, Channel::Push, "sent").await;
    let export = service.user("ada").get("/me/export").await.expect(200).body;
    let description: Value = serde_json::from_str(&described()).expect("JSON");
    let example = &description["components"]["schemas"]["Export"]["example"];

    let fields =
        |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(fields(example), fields(&export));
    for list in ["devices", "notifications"] {
        assert_eq!(fields(&example[list][0]), fields(&export[list][0]), "{list}");
    }
}
