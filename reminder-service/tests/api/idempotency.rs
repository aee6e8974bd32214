//! `Idempotency-Key`: repeats return the first answer and have no further effect.

use serde_json::json;

use crate::service::{Service, least, least_with};

#[tokio::test]
async fn creates_one_reminder_for_concurrent_repeats() {
    let service = Service::start().await;
    let (client, body) = (service.ada.with_header("Idempotency-Key", "k1"), least());

    let requests = (0..20).map(|_| {
        let (client, body) = (client.clone(), body.clone());
        tokio::spawn(async move { client.post("/reminders", &body).await.expect(201) })
    });
    let mut answers = Vec::new();
    for request in requests.collect::<Vec<_>>() {
        answers.push(request.await.expect("an answer"));
    }

    assert!(answers.iter().all(|answer| answer.id() == answers[0].id()));
    let replays = answers
        .iter()
        .filter(|answer| answer.header("idempotent-replayed") == Some("true"))
        .count();
    assert_eq!((replays, service.count("reminders").await), (19, 1));
}

#[tokio::test]
async fn binds_key_to_body_and_user() {
    let service = Service::start().await;
    let keyed = service.ada.with_header("Idempotency-Key", "k1");
    let (body, other_body) = (least(), least_with(json!({"title": "Other"})));
    let id = keyed.post("/reminders", &body).await.expect(201).id();

    let reused = keyed.post("/reminders", &other_body).await.expect(422);
    assert_eq!(reused.reason(), Some("IDEMPOTENCY_KEY_REUSED"));
    let elsewhere =
        keyed.post(&format!("/reminders/{id}"), &json!({"title": "x"})).await.expect(422);
    assert_eq!(elsewhere.reason(), Some("IDEMPOTENCY_KEY_REUSED"));
    let bob = keyed.as_user("bob", "bob@example.com").post("/reminders", &body).await.expect(201);
    assert_ne!(bob.id(), id);
}

#[tokio::test]
async fn keeps_key_unused_after_refusal() {
    let service = Service::start().await;
    let keyed = service.ada.with_header("Idempotency-Key", "k1");

    keyed
        .post("/reminders", &least_with(json!({"date": "2020-01-01T00:00:00Z"})))
        .await
        .expect(422);

    keyed.post("/reminders", &least()).await.expect(201);
}

#[tokio::test]
async fn replays_answer_after_date_has_passed() {
    let service = Service::start().await;
    let keyed = service.ada.with_header("Idempotency-Key", "k1");
    let date = chrono::Utc::now() + chrono::TimeDelta::milliseconds(900);
    let body = least_with(json!({"date": crate::service::wire(date)}));
    let id = keyed.post("/reminders", &body).await.expect(201).id();
    let passed =
        async || service.ada.get(&format!("/reminders/{id}")).await.body["status"] == "completed";
    support::wait_until(std::time::Duration::from_secs(5), passed).await;

    assert_eq!(keyed.post("/reminders", &body).await.expect(201).id(), id);
}

#[tokio::test]
async fn accepts_key_again_after_a_day() {
    let service = Service::start().await;
    let keyed = service.ada.with_header("Idempotency-Key", "k1");
    let first = keyed.post("/reminders", &least()).await.expect(201).id();
    let sql = "update idempotency_keys set created_at = now() - interval '25 hours'";
    sqlx::query(sql).execute(&service.database.pool().await).await.expect("the key is aged");

    let second = keyed.post("/reminders", &least()).await.expect(201);

    assert_ne!(second.id(), first);
    assert_eq!(second.header("idempotent-replayed"), None);
}

#[tokio::test]
async fn changes_once_per_key() {
    let service = Service::start().await;
    let path = format!("/reminders/{}", service.make(&least()).await);
    let keyed = service.ada.with_header("Idempotency-Key", "k2");

    let first = keyed.post(&path, &json!({"title": "New"})).await.expect(200);
    service.ada.patch(&path, &json!({"title": "Newer"})).await.expect(200);
    let again = keyed.post(&path, &json!({"title": "New"})).await.expect(200);

    assert_eq!(
        (again.body, again.headers["idempotent-replayed"].as_bytes()),
        (first.body, b"true".as_slice())
    );
    assert_eq!(service.ada.get(&path).await.expect(200).body["title"], "Newer");
}

#[tokio::test]
async fn refuses_malformed_key() {
    let service = Service::start().await;
    for key in ["", "two words", &"k".repeat(256)] {
        let answer = service
            .ada
            .with_header("Idempotency-Key", key)
            .post("/reminders", &least())
            .await
            .expect(400);
        assert_eq!(answer.reason(), Some("INVALID_REQUEST"), "{key}");
    }
}
