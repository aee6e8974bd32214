//! `GET /me/export` and `DELETE /me`.

use serde_json::{Value, json};
use support::wait_until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::service::{Service, bus, least, least_with};

#[tokio::test]
async fn exports_all_reminders_and_names_missing_parts() {
    let service = Service::start().await;
    for _ in 0..3 {
        service.make(&least()).await;
    }
    let export = service.ada.get("/me/export").await.expect(200).body;
    assert_eq!(export["reminders"].as_array().map(Vec::len), Some(3));
    assert_eq!((&export["userId"], &export["complete"]), (&json!("ada"), &json!(false)));
    assert!(export["missing"].to_string().contains("NOTIFICATION_SERVICE_URL"), "{export}");
    let other = service
        .anonymous
        .as_user("bob", "bob@example.com")
        .get("/me/export")
        .await
        .expect(200)
        .body;
    assert_eq!(other["reminders"], json!([]));
}

#[tokio::test]
async fn refuses_export_when_service_is_unreachable() {
    let database = Service::start().await.stop().await;
    let service =
        Service::start_on(database, &[("EVENT_SERVICE_URL", "http://127.0.0.1:9/")]).await;
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
async fn erases_user_from_every_table() {
    let service = Service::start().await;
    let ada = service.ada.with_header("Idempotency-Key", "key-1");
    ada.post("/reminders", &least_with(json!({"channels": ["email"]}))).await.expect(201);
    let bob = service.anonymous.as_user("bob", "bob@example.com");
    let kept = bob.post("/reminders", &least()).await.expect(201).id();

    let receipt = service.ada.delete("/me").await.expect(200).body;

    assert!(receipt["receiptId"].as_str().is_some_and(|id| id.len() == 32), "{receipt}");
    bob.get(&format!("/reminders/{kept}")).await.expect(200);
    assert_eq!(service.ada.get("/reminders").await.expect(200).body["reminders"]["total"], 0);
    // Once the event of the erasure is published, no table has the user.
    let tables = ["reminders", "outbox", "idempotency_keys"];
    wait_until(std::time::Duration::from_secs(20), async || {
        let mut found: Vec<Value> = Vec::new();
        for table in tables {
            let sql = sqlx::AssertSqlSafe(format!(
                "select to_jsonb(t) from {table} as t where t::text ~* 'ada'"
            ));
            found.extend(
                sqlx::query_scalar::<_, Value>(sql)
                    .fetch_all(&service.database.pool().await)
                    .await
                    .expect("rows"),
            );
        }
        if found.is_empty() { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
    let bus = bus(service.database.url()).await.expect("a bus");
    let received = bus
        .receive(
            crate::service::LISTENER,
            10,
            std::time::Duration::from_secs(30),
            std::time::Duration::ZERO,
        )
        .await;
    let received = received.expect("messages");
    assert!(
        received.iter().any(|message| {
            message.attributes.get("eventType").is_some_and(|word| word == "user:erased")
        }),
        "{received:?}"
    );
}

const LIMIT: std::time::Duration = std::time::Duration::from_secs(20);

/// Waits until a session of the service's database waits for a lock.
async fn until_something_waits(service: &Service) {
    let waiting =
        "pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    wait_until(LIMIT, async || service.count(waiting).await > 0).await;
}

fn time(value: &Value) -> chrono::DateTime<chrono::Utc> {
    value.as_str().expect("a text").parse().expect("a time")
}

#[tokio::test]
async fn creates_after_erasure_in_progress() {
    let service = Service::start().await;
    // The lock of an erasure.
    let pool = service.database.pool().await;
    let mut erasure = pool.begin().await.expect("begun");
    let lock = "select pg_advisory_xact_lock(hashtextextended('ada', 0))";
    sqlx::query(lock).execute(&mut *erasure).await.expect("locked");
    let ada = service.anonymous.as_user("ada", "ada@example.com");
    let creating = tokio::spawn(async move { ada.post("/reminders", &least()).await });
    until_something_waits(&service).await;
    let bob = service.anonymous.as_user("bob", "bob@example.com");
    bob.post("/reminders", &least()).await.expect(201);

    let now = "select clock_timestamp()";
    let erased_at: chrono::DateTime<chrono::Utc> =
        sqlx::query_scalar(now).fetch_one(&mut *erasure).await.expect("a time");
    erasure.commit().await.expect("committed");

    let id = creating.await.expect("no panic").expect(201).id();
    let made = service.ada.get(&format!("/reminders/{id}")).await.expect(200).body;
    assert!(time(&made["createdAt"]).timestamp_millis() >= erased_at.timestamp_millis(), "{made}");
}

#[tokio::test]
async fn creates_bulk_after_erasure_in_progress() {
    let service = Service::start().await;
    let pool = service.database.pool().await;
    let mut holder = pool.begin().await.expect("begun");
    let hold =
        "insert into idempotency_keys (user_id, key, request_hash) values ('ada', 'key-1', 'x')";
    sqlx::query(hold).execute(&mut *holder).await.expect("held");
    let ada =
        service.anonymous.as_user("ada", "ada@example.com").with_header("Idempotency-Key", "key-1");
    let creating = tokio::spawn(async move {
        ada.post("/reminders/bulk", &json!({"reminders": [least(), least()]})).await
    });
    until_something_waits(&service).await;

    let receipt = service.ada.delete("/me").await.expect(200).body;
    holder.rollback().await.expect("let go");
    creating.await.expect("no panic").expect(200);

    let kept = service.ada.get("/reminders").await.expect(200).body;
    let items = kept["reminders"]["items"].as_array().expect("a list");
    assert_eq!(items.len(), 2);
    // Consumers drop events up to the erasure, so the reminder must be later.
    assert!(
        items.iter().all(|item| time(&item["createdAt"]) > time(&receipt["erasedAt"])),
        "{kept} {receipt}"
    );
}

/// A peer service that answers every request with these bytes, and then closes the connection or
/// keeps it open.
async fn peer(answer: &'static str, stays: bool) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            if stays {
                open.push(stream);
            }
        }
    });
    format!("http://{address}/")
}

/// An answer with a chunked body without its last chunk.
const BEGUN: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n";
/// A complete answer with an incomplete part.
const CUT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n{\"a\":1";
const WHOLE: &str =
    "HTTP/1.1 200 OK\r\ncontent-length: 36\r\n\r\n{\"notifications\":1,\"truncated\":true}";

async fn exporting(peer: &str) -> Service {
    let database = Service::start().await.stop().await;
    let service = Service::start_on(database, &[("EVENT_SERVICE_URL", peer)]).await;
    service.ready().await;
    service
}

/// The answer to an export, with an unread body.
async fn export_of(service: &Service) -> reqwest::Response {
    let request = support::http::plain().get(format!("{}/me/export", service.base));
    let request = request
        .header("X-Authenticated-Userid", "ada")
        .header("X-Consumer-Username", "ada@example.com");
    request.send().await.expect("an answer")
}

#[tokio::test]
async fn copies_parts_unchanged() {
    let service = exporting(&peer(WHOLE, false).await).await;
    for _ in 0..230 {
        service.make(&least()).await;
    }
    let export = service.ada.get("/me/export").await.expect(200).body;
    assert_eq!(export["eventService"], json!({"notifications": 1, "truncated": true}));
    assert_eq!(export["reminders"].as_array().map(Vec::len), Some(230));
    assert_eq!(
        (&export["notificationService"], &export["complete"]),
        (&Value::Null, &json!(false))
    );
    assert!(export["missing"].to_string().contains("oldest entries"), "{}", export["missing"]);
}

#[tokio::test]
async fn aborts_export_when_a_part_fails() {
    for answer in [BEGUN, CUT] {
        let service = exporting(&peer(answer, false).await).await;
        let response = export_of(&service).await;
        assert_eq!(response.status(), 200);
        assert!(response.bytes().await.is_err(), "{answer}: the client sees that it is incomplete");
    }
}

#[tokio::test]
async fn refuses_concurrent_export() {
    let service = exporting(&peer(BEGUN, true).await).await;
    let first = export_of(&service).await;
    assert_eq!(first.status(), 200);
    let second = export_of(&service).await;
    assert_eq!(
        (second.status().as_u16(), second.headers().contains_key("retry-after")),
        (429, true)
    );
    drop(first);
}
