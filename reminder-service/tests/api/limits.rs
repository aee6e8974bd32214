//! Limits of the reminders and requests of one user.

use serde_json::{Value, json};
use support::postgres;

use crate::service::{Service, in_minutes, least};

async fn with(more: &[(&str, &str)]) -> Service {
    let variables = [&[("APP_ENV", "local")], more].concat();
    let service = Service::start_on(postgres::database("reminders").await, &variables).await;
    service.ready().await;
    service
}

#[tokio::test]
async fn refuses_reminders_beyond_the_quota_of_a_user() {
    let service = with(&[("MAX_REMINDERS_PER_USER", "3")]).await;
    let mut last = String::new();
    for _ in 0..3 {
        last = service.make(&least()).await;
    }
    let (keyed, body) = (service.ada.with_header("Idempotency-Key", "one-more"), least());
    let refused = keyed.post("/reminders", &body).await.expect(429);
    assert_eq!(refused.reason(), Some("RATE_LIMITED"));
    assert!(refused.header("retry-after").is_some());
    service
        .anonymous
        .as_user("bob", "bob@example.com")
        .post("/reminders", &least())
        .await
        .expect(201);

    service.ada.delete(&format!("/reminders/{last}")).await.expect(200);
    let made = keyed.post("/reminders", &body).await.expect(201);
    assert_eq!(keyed.post("/reminders", &body).await.expect(201).body, made.body);
    service.ada.post("/reminders", &least()).await.expect(429);
    assert_eq!(service.count("reminders").await, 4);
}

#[tokio::test]
async fn creates_bulk_entries_up_to_the_quota() {
    let service = with(&[("MAX_REMINDERS_PER_USER", "3")]).await;
    service.make(&least()).await;
    let entries =
        json!([{"date": in_minutes(-5), "message": "late"}, least(), least(), least(), least()]);
    let results = service.ada.post("/reminders/bulk", &entries).await.expect(200).body;
    let statuses: Vec<_> =
        results["results"].as_array().expect("results").iter().map(|one| &one["status"]).collect();
    assert_eq!(statuses, [422, 201, 201, 429, 429]);
    assert_eq!(service.count("reminders").await, 3);
}

#[tokio::test]
async fn counts_calls_and_entries_of_each_user() {
    let service = with(&[("RATE_LIMIT_PER_SECOND", "1"), ("RATE_LIMIT_BURST", "60")]).await;
    // 1,000 entries count as 51 calls; the limit restores fewer than the missing calls meanwhile.
    service.ada.post("/reminders/bulk", &Value::Array(vec![least(); 1_000])).await.expect(200);
    let refused =
        service.ada.post("/reminders/bulk", &Value::Array(vec![least(); 1_000])).await.expect(429);
    assert_eq!(refused.reason(), Some("RATE_LIMITED"));
    assert!(refused.header("retry-after").is_some());
    service.anonymous.as_user("bob", "bob@example.com").get("/reminders").await.expect(200);
    assert_eq!(service.count("reminders").await, 1_000);
}

#[tokio::test]
async fn refuses_crowded_and_deep_bulk_bodies() {
    let service = Service::start().await;
    let crowded = Value::Array(vec![json!([[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]); 90_000]);
    let refused = service.ada.post("/reminders/bulk", &crowded).await.expect(400);
    assert_eq!(refused.body["error"]["message"], "reminders: must be a list of 1 to 1000");
    let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    let request =
        support::http::plain().post(format!("{}/reminders/bulk", service.base)).body(deep);
    let request = request
        .header("X-Authenticated-Userid", "ada")
        .header("X-Consumer-Username", "ada@example.com");
    assert_eq!(request.send().await.expect("an answer").status(), 400);
    let large = json!([{"date": in_minutes(5), "message": "x".repeat(600_000)}]);
    let result = service.ada.post("/reminders/bulk", &large).await.expect(200).body;
    assert_eq!(result["results"][0]["status"], 413);
}
