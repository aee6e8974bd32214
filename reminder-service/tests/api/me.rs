//! `GET /me/export` and `DELETE /me`.

use serde_json::{Value, json};
use support::eventually;

use crate::service::{Service, bus, least, least_with};

#[tokio::test]
async fn an_export_has_all_reminders_and_says_what_is_missing() {
    let service = Service::start().await;
    for _ in 0..3 {
        service.make(&least()).await;
    }
    let export = service.ada.get("/me/export").await.expect(200).body;
    assert_eq!(export["reminders"].as_array().map(Vec::len), Some(3));
    assert_eq!((&export["userId"], &export["complete"]), (&json!("ada"), &json!(false)));
    assert!(export["missing"].to_string().contains("NOTIFICATION_SERVICE_URL"), "{export}");
    let other = service.anonymous.as_user("bob", "bob@example.com").get("/me/export").await.expect(200).body;
    assert_eq!(other["reminders"], json!([]));
}

#[tokio::test]
async fn an_export_is_refused_as_a_whole_while_a_service_does_not_answer() {
    let database = Service::start().await.stop().await;
    let service = Service::start_on(database, &[("EVENT_SERVICE_URL", "http://127.0.0.1:9/")]).await;
    service.ready().await;
    let answer = service.ada.get("/me/export").await.expect(503);
    assert_eq!(answer.reason(), Some("UPSTREAM_UNAVAILABLE"));
}

#[tokio::test]
async fn exports_without_events_when_no_operator_token() {
    let database = Service::start().await.stop().await;
    let more = [("APP_ENV", "development"), ("EVENT_SERVICE_URL", "http://127.0.0.1:9/")];
    let service = Service::start_on(database, &more).await;
    service.ready().await;
    let export = service.ada.get("/me/export").await.expect(200).body;
    assert!(export["missing"].to_string().contains("OPERATOR_TOKEN"), "{export}");
}

#[tokio::test]
async fn an_erased_user_is_in_no_table_and_another_stays() {
    let service = Service::start().await;
    let ada = service.ada.with_header("Idempotency-Key", "key-1");
    ada.post("/reminders", &least_with(json!({"channels": ["email"]}))).await.expect(201);
    let bob = service.anonymous.as_user("bob", "bob@example.com");
    let kept = bob.post("/reminders", &least()).await.expect(201).id();

    let receipt = service.ada.delete("/me").await.expect(200).body;

    assert!(receipt["receiptId"].as_str().is_some_and(|id| id.len() == 32), "{receipt}");
    bob.get(&format!("/reminders/{kept}")).await.expect(200);
    assert_eq!(service.ada.get("/reminders").await.expect(200).body["reminders"]["total"], 0);
    // Once the erasure itself is told, nothing here knows the user any more.
    let tables = ["reminders", "outbox", "idempotency_keys"];
    eventually(std::time::Duration::from_secs(20), async || {
        let mut found: Vec<Value> = Vec::new();
        for table in tables {
            let sql = sqlx::AssertSqlSafe(format!("select to_jsonb(t) from {table} as t where t::text ~* 'ada'"));
            found.extend(
                sqlx::query_scalar::<_, Value>(sql).fetch_all(&service.database.pool().await).await.expect("rows"),
            );
        }
        if found.is_empty() { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
    let bus = bus(service.database.url()).await.expect("a bus");
    let told =
        bus.receive(crate::service::LISTENER, 10, std::time::Duration::from_secs(30), std::time::Duration::ZERO).await;
    let told = told.expect("messages");
    assert!(told.iter().any(|it| it.attributes.get("eventType").is_some_and(|it| it == "user:erased")), "{told:?}");
}
