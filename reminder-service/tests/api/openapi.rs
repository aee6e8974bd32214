//! OpenAPI description: the committed file matches the code and the answer of the service.

use serde_json::Value;

use crate::service::{Service, least};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

fn described() -> String {
    reminder_service::routes::openapi().expect("JSON") + "\n"
}

#[test]
fn matches_committed_openapi_file() {
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
async fn serves_openapi_without_authentication() {
    let service = Service::start().await;
    let served = service.anonymous.get("/openapi.json").await.expect(200).body;
    assert_eq!(served, serde_json::from_str::<Value>(&described()).expect("JSON"));
    assert!(
        service
            .anonymous
            .get("/docs")
            .await
            .expect(200)
            .body
            .as_str()
            .is_some_and(|page| page.contains("<html"))
    );
}

#[tokio::test]
async fn accepts_example_bodies_of_openapi() {
    let service = Service::start().await;
    let description: Value = serde_json::from_str(&described()).expect("JSON");
    let example = |schema: &str| description["components"]["schemas"][schema]["example"].clone();
    service.ada.post("/reminders", &example("NewReminder")).await.expect(201);
    let id = service.make(&least()).await;
    service.ada.patch(&format!("/reminders/{id}"), &example("ReminderChange")).await.expect(200);
}
