//! `Idempotency-Key`: repeats return the first answer and have no further effect.

use serde_json::json;
use sha2::{Digest, Sha256};

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

#[tokio::test]
async fn replays_same_values_in_another_form() {
    let service = Service::start().await;
    let send = async |path: &str, key: &str, body: &str| {
        let keyed = service.ada.with_header("Idempotency-Key", key);
        keyed.post_text(path, "application/json", body.to_owned()).await
    };
    let forms = [
        r#"{"date":"2096-05-01T10:00:00Z","message":"a/é","data":{"x":"1","y":"2"},"notifyOffset":10}"#,
        r#" { "notifyOffset" : 1.0e1, "data": {"y":"2", "x":"1"},
             "message":"\u0061\/\u00e9", "date":"2096-05-01T10:00:00Z" } "#,
    ];
    let others = [
        r#"{"date":"2096-05-01T10:00:00Z","message":"a/é","data":{"x":"1","y":"3"},"notifyOffset":10}"#,
        r#"{"date":"2096-05-01T10:00:00Z","message":"a/e\u0301","data":{"x":"1","y":"2"},"notifyOffset":10}"#,
    ];
    let id = send("/reminders", "one", forms[0]).await.expect(201).id();
    let bulk = |form: &str| format!("[{form}]");
    send("/reminders/bulk", "many", &bulk(forms[0])).await.expect(200);
    let change = format!("/reminders/{id}");
    send(&change, "change", r#"{"title":"A","message":"B"}"#).await.expect(200);

    let replays = [
        send("/reminders", "one", forms[1]).await.expect(201),
        send("/reminders/bulk", "many", &bulk(forms[1])).await.expect(200),
        send(&change, "change", r#"{"message":"B", "title":"\u0041"}"#).await.expect(200),
    ];
    for replay in replays {
        assert_eq!(replay.header("idempotent-replayed"), Some("true"));
    }
    for other in others {
        send("/reminders", "one", other).await.expect(422);
        send("/reminders/bulk", "many", &bulk(other)).await.expect(422);
    }
    assert_eq!(service.count("reminders").await, 2);
}

#[tokio::test]
async fn replays_key_that_is_stored_by_bytes() {
    let service = Service::start().await;
    let keyed = service.ada.with_header("Idempotency-Key", "k1");
    let body = least().to_string();
    let send = async || keyed.post_text("/reminders", "application/json", body.clone()).await;
    let id = send().await.expect(201).id();
    let mut hash = Sha256::new();
    for part in ["POST", "/reminders", &body] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let stored = sqlx::query("update idempotency_keys set request_hash = $1")
        .bind(hash.finalize().to_vec())
        .execute(&service.database.pool().await)
        .await;
    assert_eq!(stored.expect("updated").rows_affected(), 1);

    let replay = send().await.expect(201);

    assert_eq!((replay.id(), replay.header("idempotent-replayed")), (id, Some("true")));
}

#[tokio::test]
async fn tells_calendars_apart_by_bytes() {
    let service = Service::start().await;
    let keyed = service.ada.with_header("Idempotency-Key", "k1");
    let file = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART:20960507T090000Z\r\nSUMMARY:A\r\n\
                END:VEVENT\r\nEND:VCALENDAR\r\n";
    let send =
        async |file: String| keyed.post_text("/reminders/import", "text/calendar", file).await;

    send(file.to_owned()).await.expect(200);
    let again = send(file.to_owned()).await.expect(200);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    send(file.replace("\r\n", "\n")).await.expect(422);
}
