//! `user:erased`: no data of the user is left in any table, in whatever order messages arrive.

use chrono::{DateTime, TimeDelta, Utc};
use contract::{Channel, EventType};
use serde_json::json;
use support::wait_until;

use crate::test_service::{DueOccurrence, LIMIT, TestService, erasure_message};

const BOTH: [Channel; 2] = [Channel::Email, Channel::Push];
const USER: &str = "ada-lovelace";

/// Returns the columns that contain a text, as `table.column`.
async fn columns_containing(service: &TestService, text: &str) -> Vec<String> {
    let columns: Vec<(String, String, String)> = sqlx::query_as(
        "select table_name, column_name, data_type from information_schema.columns
         where table_schema = current_schema()
             and data_type in ('text', 'jsonb', 'json', 'bytea', 'character varying')",
    )
    .fetch_all(&service.pool)
    .await
    .expect("the columns");
    assert!(columns.len() > 30, "the tables exist");
    let mut places = Vec::new();
    for (table, column, kind) in columns {
        let needle = if kind == "bytea" { "convert_to($1, 'UTF8')" } else { "$1" };
        let value =
            if kind == "bytea" { format!("\"{column}\"") } else { format!("\"{column}\"::text") };
        let query = format!(
            "select exists(select from \"{table}\" where position({needle} in {value}) > 0)"
        );
        let query = sqlx::query_scalar::<_, bool>(sqlx::AssertSqlSafe(query)).bind(text);
        if query.fetch_one(&service.pool).await.expect("asked") {
            places.push(format!("{table}.{column}"));
        }
    }
    places
}

/// Stores all kinds of data about the user.
async fn use_every_feature(service: &TestService) {
    let ada = service.user(USER).with_header("Idempotency-Key", "k-1");
    ada.post("/device/register", &json!({"fcmToken": "token-1", "type": "web", "name": USER}))
        .await
        .expect(201);
    service.register_device(USER, "unavailable-1").await;
    let due = service.publish_due(USER, &BOTH).await;
    service.wait_for_state(&due, Channel::Email, "sent").await;
    service.start_quiet_hours(USER).await;
    let deferred = service.publish_due(USER, &BOTH).await;
    service.wait_for_state(&deferred, Channel::Email, "deferred").await;
    let ahead = DueOccurrence::now(USER, &BOTH);
    let mut content = ahead.send.content.clone();
    content.message = format!("{USER} waters them");
    service.publish(&[ahead.updated(4, content)]).await;
    service.wait_until_consumed().await;
}

async fn completed(service: &TestService) {
    wait_until(LIMIT, async || {
        let completed = sqlx::query_scalar::<_, bool>(
            "select bool_and(completed_at is not null) from erasures",
        );
        completed.fetch_optional(&service.pool).await.ok().flatten().unwrap_or(false)
    })
    .await;
}

#[tokio::test]
async fn erases_all_data_of_user() {
    let service = TestService::start().await;
    use_every_feature(&service).await;
    // A message that the topic has not acknowledged yet.
    sqlx::query(
        "insert into outbox (event_id, body, attributes, lease_until)
         values (gen_random_uuid(), $1, $2, now() + interval '1 h')",
    )
    .bind(json!({"userId": USER, "eventData": {}}).to_string())
    .bind(json!({"userId": USER, "occurredAt": "2026-01-01T00:00:00.000Z"}))
    .execute(&service.pool)
    .await
    .expect("written");
    let before = columns_containing(&service, USER).await;
    for table in [
        "devices",
        "deliveries",
        "dispatches",
        "preferences",
        "idempotency_keys",
        "revisions",
        "outbox",
    ] {
        assert!(
            before.iter().any(|place| place.starts_with(table)),
            "{table} holds something: {before:?}"
        );
    }
    service.publish(&[erasure_message(USER, Utc::now())]).await;
    completed(&service).await;

    assert_eq!(columns_containing(&service, USER).await, Vec::<String>::new());
    assert_eq!(
        columns_containing(&service, &format!("{USER}@example.com")).await,
        Vec::<String>::new()
    );
    assert_eq!(columns_containing(&service, "token-1").await, Vec::<String>::new());
    let kept: i64 = sqlx::query_scalar(
        "select count(*) from erasures where user_digest = sha256(convert_to($1, 'UTF8'))",
    )
    .bind(USER)
    .fetch_one(&service.pool)
    .await
    .expect("counted");
    assert_eq!(kept, 1);
}

#[tokio::test]
async fn erases_many_rows_of_each_kind_in_chunks() {
    let service = TestService::start().await;
    // More than one chunk of each kind. The outbox is not relayed, as while the bus is unreachable.
    sqlx::raw_sql(
        r#"insert into revisions
               select gen_random_uuid(), 'ada-lovelace', 1, null, '2026-01-01'
               from generate_series(1, 2500);
           insert into idempotency_keys (user_id, key, request_hash, created_at)
               select 'ada-lovelace', number::text, '', '2026-01-01'
               from generate_series(1, 2500) as number;
           insert into inbox_readings
               select 'ada-lovelace', timestamptz '2026-01-01' + number * interval '1 s',
                   '2026-01-01'
               from generate_series(1, 2500) as number;
           insert into outbox (event_id, body, attributes, lease_until)
               select gen_random_uuid(), '{"eventData": {}}',
                   '{"userId": "ada-lovelace", "occurredAt": "2026-01-01T00:00:00.000Z"}',
                   'infinity'
               from generate_series(1, 2500);
           insert into outbox (event_id, body, attributes, lease_until)
               values (gen_random_uuid(), '{"eventData": {}}',
                   '{"userId": "bob", "occurredAt": "2026-01-01T00:00:00.000Z"}', 'infinity');"#,
    )
    .execute(&service.pool)
    .await
    .expect("written");
    service.publish(&[erasure_message(USER, Utc::now())]).await;
    completed(&service).await;

    assert_eq!(columns_containing(&service, USER).await, Vec::<String>::new());
    let others: i64 =
        sqlx::query_scalar("select count(*) from outbox where attributes ->> 'userId' = 'bob'")
            .fetch_one(&service.pool)
            .await
            .expect("counted");
    assert_eq!(others, 1);
}

#[tokio::test]
async fn keeps_data_of_other_users() {
    let service = TestService::start().await;
    use_every_feature(&service).await;
    service.register_device("bob", "token-2").await;
    let due = service.publish_due("bob", &[Channel::Push]).await;
    service.wait_for_state(&due, Channel::Push, "sent").await;
    service.publish(&[erasure_message(USER, Utc::now())]).await;
    completed(&service).await;

    let bob = service.user("bob");
    assert_eq!(bob.get("/device").await.body["devices"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        bob.get("/notifications").await.body["notifications"].as_array().map(Vec::len),
        Some(1)
    );
}

#[tokio::test]
async fn stores_nothing_of_erased_user_that_comes_late() {
    let service = TestService::start().await;
    let late = DueOccurrence::now(USER, &BOTH);
    service.publish(&[erasure_message(USER, Utc::now())]).await;
    completed(&service).await;
    service.publish(&[late.message(), late.updated(4, late.send.content.clone())]).await;
    service.wait_until_consumed().await;

    // The revision was made after the erasure, by a returning user, for an unknown occurrence.
    assert_eq!(columns_containing(&service, USER).await, ["revisions.user_id"]);
    assert!(service.sandbox.captured().is_empty());
    assert_eq!(service.bus.dead_letters("notification-queue", 10).await.expect("asked").len(), 0);
}

#[tokio::test]
async fn sends_to_others_during_slow_erasure() {
    let service = TestService::start().await;
    use_every_feature(&service).await;
    service.register_device("bob", "token-2").await;
    let mut slow = service.pool.begin().await.expect("begun");
    sqlx::query("select from deliveries where user_id = $1 for update")
        .bind(USER)
        .execute(&mut *slow)
        .await
        .expect("locked");
    let due = DueOccurrence::now("bob", &[Channel::Push]);
    service.publish(&[erasure_message(USER, Utc::now()), due.message()]).await;

    service.wait_for_state(&due, Channel::Push, "sent").await;
    let noted = "select count(*) from erasures where completed_at is null";
    let noted: i64 = sqlx::query_scalar(noted).fetch_one(&service.pool).await.expect("counted");
    assert_eq!(noted, 1, "the erasure is recorded before the rest of the batch is applied");
    slow.rollback().await.expect("released");
    completed(&service).await;
    assert_eq!(columns_containing(&service, USER).await, Vec::<String>::new());
}

#[tokio::test]
async fn erases_all_when_sends_run_concurrently() {
    let service = TestService::start().await;
    service.register_device(USER, "token-1").await;
    service.start_quiet_hours(USER).await;
    let now = Utc::now();
    let dues =
        (0..150).map(|second| DueOccurrence::at(USER, &BOTH, now - TimeDelta::seconds(second)));
    let mut messages: Vec<_> = dues.map(|due| due.message()).collect();
    messages.extend((0..5).map(|_| erasure_message(USER, now)));
    messages.sort_by_cached_key(|_| rand::random::<u64>());
    for part in messages.chunks(5) {
        service.publish(part).await;
    }
    service.wait_until_consumed().await;
    completed(&service).await;

    wait_until(LIMIT, async || {
        let places = columns_containing(&service, USER).await;
        if places.is_empty() { Ok(()) } else { Err(places) }
    })
    .await;
}

#[tokio::test]
async fn stores_no_outcome_after_erasure() {
    let mut service = TestService::start().await;
    service.register_device(USER, "token-1").await;
    service.receive_events().await;
    service.set_provider_mode(|mode| mode.fcm.latency_ms = 1_500);
    let due = service.publish_due(USER, &[Channel::Push]).await;
    service.wait_for_state(&due, Channel::Push, "pending").await;
    service.publish(&[erasure_message(USER, Utc::now())]).await;
    completed(&service).await;
    wait_until(LIMIT, async || service.pushes("token-1").len() == 1).await;
    service.stop().await;

    assert_eq!(columns_containing(&service, USER).await, Vec::<String>::new());
    service.receive_events().await;
    assert!(
        service.received_events().iter().all(|fact| fact.event_type != EventType::NotificationSent)
    );
}

#[tokio::test]
async fn treats_returning_user_as_new() {
    let service = TestService::start().await;
    use_every_feature(&service).await;
    let erased_at = Utc::now();
    service.publish(&[erasure_message(USER, erased_at)]).await;
    completed(&service).await;
    service.register_device(USER, "token-3").await;
    let due = service.publish_due(USER, &[Channel::Push]).await;
    service.wait_for_state(&due, Channel::Push, "sent").await;
    // The queue delivers the erasure again.
    service
        .publish(&[
            erasure_message(USER, erased_at),
            erasure_message(USER, erased_at - TimeDelta::hours(1)),
        ])
        .await;
    service.wait_until_consumed().await;

    let user = service.user(USER);
    assert_eq!(user.get("/device").await.body["devices"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        user.get("/notifications").await.body["notifications"].as_array().map(Vec::len),
        Some(1)
    );
    assert_eq!(user.get("/preferences").await.body["quietHours"], json!(null));
}

#[tokio::test]
async fn completes_interrupted_erasure() {
    let service = TestService::start().await;
    use_every_feature(&service).await;
    let erased_at: DateTime<Utc> = Utc::now();
    sqlx::query(
        "insert into erasures (user_digest, erased_at, receipt_id)
         values (sha256(convert_to($1, 'UTF8')), $2, 'r')",
    )
    .bind(USER)
    .bind(erased_at)
    .execute(&service.pool)
    .await
    .expect("begun");
    service.publish(&[erasure_message(USER, erased_at)]).await;
    completed(&service).await;

    assert_eq!(columns_containing(&service, USER).await, Vec::<String>::new());
}

#[tokio::test]
async fn erases_occurrence_requested_before_and_due_after() {
    let service = TestService::start().await;
    let asked_at = Utc::now() - TimeDelta::minutes(1);
    let asked = || {
        let mut due = DueOccurrence::now(USER, &[Channel::Email]);
        due.send.item_changed_at = Some(asked_at);
        due
    };
    let due = asked();
    service.publish(&[due.message()]).await;
    service.wait_for_state(&due, Channel::Email, "sent").await;
    service.publish(&[erasure_message(USER, asked_at + TimeDelta::seconds(1))]).await;
    completed(&service).await;
    wait_until(LIMIT, async || columns_containing(&service, USER).await.is_empty()).await;

    service.publish(&[asked().message()]).await;
    service.wait_until_consumed().await;
    assert!(columns_containing(&service, USER).await.is_empty());
    let mut back = asked();
    back.send.item_changed_at = Some(Utc::now());
    service.publish(&[back.message()]).await;
    service.wait_for_state(&back, Channel::Email, "sent").await;
}
