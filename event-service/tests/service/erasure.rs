//! A user who is erased is in no table any more, and stays away; nobody else waits for it.

use std::time::Duration;

use bus::{Message, QueueSpec, Received, Settlement, SharedBus, Topology};
use chrono::{DateTime, Utc};
use contract::{DeliveryState, Envelope, Event, EventType, OutcomeData, new_id};
use event_service::{
    store::erasures,
    usecases::erase_user::{CHUNK, DeadLetters, Pass, Progress, claim, erase_chunk, erase_next},
};
use serde_json::{Value, json};
use service::consumer::Handler;
use sqlx::AssertSqlSafe;
use support::wait_until;
use tokio_util::sync::CancellationToken;

use crate::fixture::{
    TestService, created, data, event, hours, minutes, now, outcome, received, test_service,
};

const LIMIT: Duration = Duration::from_secs(20);

const USER: &str = "user-1";

fn erased(at: DateTime<Utc>) -> Received {
    received(&event(EventType::UserErased, "receipt-1", 1, at, json!({"receiptId": "receipt-1"})))
}

/// The dead letters of queues, of which that of events is made on a bus in the same database.
async fn dead_letters(service: &TestService) -> DeadLetters {
    let bus = crate::fixture::bus(service.database.url()).await;
    make(&bus, "event-queue").await;
    letters_of(bus)
}

fn letters_of(bus: SharedBus) -> DeadLetters {
    DeadLetters {
        bus,
        event_queue: "event-queue".to_owned(),
        notification_queue: "notification-queue".to_owned(),
    }
}

async fn make(bus: &SharedBus, queue: &str) {
    let queue =
        QueueSpec { queue: queue.to_owned(), max_receive_count: 3, subscriptions: Vec::new() };
    bus.ensure(&Topology { topics: Vec::new(), queues: vec![queue] }).await.expect("a queue");
}

#[tokio::test]
async fn removes_dead_letters_beside_the_batches() {
    let service = test_service().await;
    let DeadLetters { bus, event_queue, notification_queue } = dead_letters(&service).await;
    make(&bus, &notification_queue).await;
    let queues = [event_queue, notification_queue];
    let letter =
        |user: &str| Message { body: json!({ "userId": user }).to_string(), attributes: [].into() };
    for queue in &queues {
        let letters = [letter(USER), letter("another")];
        bus.send(&format!("{queue}-dlq"), &letters, Duration::ZERO).await.expect("dead letters");
    }
    let erasure = erased(now());

    assert_eq!(
        service.handler.handle(&vec![erasure.clone(); 60]).await,
        vec![Settlement::Done; 60]
    );
    for queue in &queues {
        assert_eq!(
            bus.dead_letters(queue, 10).await.expect("dead letters").len(),
            2,
            "no batch looks at them"
        );
    }
    finish(&service).await;

    for queue in &queues {
        let left = bus.dead_letters(queue, 10).await.expect("dead letters");
        assert_eq!(left.len(), 1);
        assert!(left[0].body.contains("another"));
    }
    service.apply(&[erasure]).await;
    assert_eq!(service.count("pending_erasures").await, 0, "a repeat looks for nothing");
}

#[tokio::test]
async fn applies_events_when_dead_letters_unreachable() {
    let service = test_service().await;
    let away = crate::fixture::bus("postgres://nobody@127.0.0.1:9/none").await;
    let away = letters_of(away);
    service
        .apply(&[erased(now()), of_user("another", &created("b", 1, now() + hours(1), &[0]))])
        .await;

    wait_until(3 * LIMIT, async || {
        sqlx::query("update pending_erasures set lease_until = '-infinity'")
            .execute(&service.pool)
            .await
            .expect("free");
        erase_next(&service.pool, &away, &CancellationToken::new()).await.is_err()
    })
    .await;
    assert_eq!(
        (service.count("pending_erasures").await, service.count("notifications").await),
        (1, 1)
    );

    sqlx::query("update pending_erasures set lease_until = '-infinity'")
        .execute(&service.pool)
        .await
        .expect("free");
    finish(&service).await;
}

/// Every row of every table that names the user or the user's address; commands aside, of which one
/// carries the erasure on.
async fn traces(service: &TestService) -> Vec<(String, Value)> {
    let tables = "select quote_ident(table_name) from information_schema.tables
        where table_schema = 'public' and table_type = 'BASE TABLE'
            and table_name not in ('_sqlx_migrations', 'commands')";
    let tables: Vec<String> =
        sqlx::query_scalar(tables).fetch_all(&service.pool).await.expect("tables");
    let mut found = Vec::new();
    for table in tables {
        let sql = format!("select to_jsonb(t) from {table} as t where t::text like '%{USER}%'");
        let rows: Vec<Value> =
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&service.pool).await.expect("rows");
        found.extend(rows.into_iter().map(|row| (table.clone(), row)));
    }
    found
}

/// Erases until nothing is left to erase: once the transactions of other tests on the same cluster
/// have ended as well.
async fn finish(service: &TestService) {
    let (letters, shutdown) = (dead_letters(service).await, CancellationToken::new());
    wait_until(3 * LIMIT, async || {
        erase_next(&service.pool, &letters, &shutdown).await.expect("erased") == Progress::Idle
            && service.count("pending_erasures").await == 0
    })
    .await;
}

/// The same event of another user.
fn of_user(user_id: &str, message: &Received) -> Received {
    let Envelope { event_type, item_id, version, occurred_at, data, .. } =
        Envelope::decode(message).expect("readable");
    let event = event(event_type, item_id.as_str(), version, occurred_at, data);
    received(&Event { user_id: user_id.to_owned(), user_email: None, ..event })
}

/// An outcome of a delivery that was asked for then.
fn outcome_of(asked_for: DateTime<Utc>, due_at: DateTime<Utc>) -> Received {
    let message = Envelope::decode(&outcome("a", due_at, DeliveryState::Sent, None, 1));
    let message = message.expect("readable");
    let data =
        OutcomeData { item_changed_at: Some(asked_for), ..message.outcome().expect("an outcome") };
    received(&event(EventType::NotificationSent, "a", 1, due_at, data))
}

#[tokio::test]
async fn deletes_user_from_every_table() {
    let service = test_service().await;
    let due = now() + hours(1);
    service
        .apply(&[created("a", 1, due, &[0, 10]), outcome("a", due, DeliveryState::Sent, None, 2)])
        .await;
    assert!(!traces(&service).await.is_empty());

    service.apply(&[erased(now())]).await;
    finish(&service).await;

    assert_eq!(traces(&service).await, []);
    assert_eq!(service.count("occurrences").await, 0);
    let onwards: Vec<(String, Value)> =
        sqlx::query_as("select attributes->>'eventType', body::jsonb from commands")
            .fetch_all(&service.pool)
            .await
            .expect("rows");
    assert_eq!(onwards.len(), 1);
    assert_eq!((onwards[0].0.as_str(), &onwards[0].1["userId"]), ("user:erased", &json!(USER)));
}

#[tokio::test]
async fn drops_late_events_of_erased_user() {
    let service = test_service().await;
    let erased_at = now();
    let late = created("a", 1, erased_at + hours(1), &[0]);
    let late_outcome = outcome("a", erased_at - minutes(5), DeliveryState::Sent, None, 1);
    service.apply(&[erased(erased_at)]).await;
    finish(&service).await;
    let (before, after) = (erased_at - minutes(1), erased_at + minutes(1));
    let at = |time| {
        received(&event(EventType::ReminderCreated, "b", 1, time, data(erased_at + hours(1), &[0])))
    };
    service.apply(&[at(before), late_outcome]).await;
    assert_eq!(traces(&service).await, []);
    drop(late);

    service.apply(&[at(after)]).await;
    assert!(service.notification("b").await.is_some());
    service.apply(&[erased(erased_at)]).await;
    finish(&service).await;
    assert!(
        service.notification("b").await.is_some(),
        "the same erasure again takes nothing of what came after it"
    );
}

#[tokio::test]
async fn erases_whole_batch_in_any_order() {
    let service = test_service().await;
    let made = now() - minutes(1);
    let created =
        received(&event(EventType::ReminderCreated, "a", 1, made, data(now() + hours(1), &[0])));
    service.apply(&[created.clone(), erased(now()), created]).await;
    finish(&service).await;
    assert_eq!(traces(&service).await, []);
}

/// Rows of a heavy user, made by SQL: events, and notifications with two occurrences each.
async fn heavy(service: &TestService, events: i32, notifications: i32) {
    let made = "insert into events (occurred_at, event_id, event_type, item_id, user_id, version,
        data)
        select now() - interval '1 day' + n * interval '1 ms', gen_random_uuid(),
            'device:registered', 'd', 'user-1', n, '{}'
        from generate_series(1, $1) as n";
    sqlx::query(made).bind(events).execute(&service.pool).await.expect("events");
    let made = "with made as (
            insert into notifications (id, source, item_id, user_id, version, state, date,
                notify_offsets, content, occurred_at)
            select gen_random_uuid(), 'reminder', 'n-' || n, 'user-1', 1, 'active', now(), '{0}',
                '{}', now() - interval '1 day'
            from generate_series(1, $1) as n returning id
        )
        insert into occurrences (id, notification_id, due_at, date, expires_at)
        select gen_random_uuid(), id, now() + n * interval '1 day', now(), now() from made,
            generate_series(1, 2) as n";
    sqlx::query(made).bind(notifications).execute(&service.pool).await.expect("notifications");
    sqlx::query("analyze").execute(&service.pool).await.expect("analyzed");
}

#[tokio::test]
async fn erases_in_chunks_while_events_of_others_flow() {
    let service = test_service().await;
    heavy(&service, 200_000, 2_000).await;
    // A batch of another replica that is not over yet: an erasure used to wait for it, and the rest
    // for the erasure.
    let mut open = service.pool.begin().await.expect("begun");
    sqlx::query("select pg_advisory_xact_lock_shared(42)")
        .execute(&mut *open)
        .await
        .expect("locked");
    sqlx::query("select pg_current_xact_id()").execute(&mut *open).await.expect("a number");
    service.apply(&[erased(now())]).await;

    let erasure = claim(&service.pool).await.expect("asked").expect("noted");
    let (mut pass, mut chunks) = (Pass::Notifications, 0);
    while pass != Pass::Done {
        pass = erase_chunk(&service.pool, &erasure, pass).await.expect("a chunk");
        chunks += 1;
        if chunks == 3 {
            let is_final = erasures::is_final(&service.pool, &erasure).await.expect("asked");
            assert!(!is_final, "a batch of before is open");
        }
        if chunks % 50 == 1 {
            let item = format!("other-{chunks}");
            let message = of_user("user-2", &created(&item, 1, now() + hours(1), &[0]));
            service.apply(&[message]).await;
            assert!(service.notification(&item).await.is_some());
        }
    }

    let least = 200_000 / CHUNK;
    assert!((least..least + 50).contains(&chunks), "{chunks} chunks of {CHUNK} rows");
    assert_eq!(service.count("events where user_id = 'user-1'").await, 0);
    open.rollback().await.expect("ended");
    erasures::set_lease(&service.pool, &erasure, Duration::ZERO).await.expect("returned");
    finish(&service).await;
    assert_eq!(traces(&service).await, []);
}

#[tokio::test]
async fn erases_rows_of_a_batch_that_began_before() {
    let service = test_service().await;
    // As a batch does: it takes its number, does not see the erasure, and writes after it.
    let mut batch = service.pool.begin().await.expect("begun");
    sqlx::query("select pg_current_xact_id()").execute(&mut *batch).await.expect("a number");
    service.apply(&[erased(now())]).await;
    let late =
        "insert into events (occurred_at, event_id, event_type, item_id, user_id, version, data)
        values (now() - interval '1 minute', $1, 'reminder:created', 'a', 'user-1', 1, '{}')";
    sqlx::query(late).bind(new_id()).execute(&mut *batch).await.expect("written");
    let shutdown = CancellationToken::new();
    let letters = dead_letters(&service).await;
    let progress = erase_next(&service.pool, &letters, &shutdown).await.expect("erased");
    assert_eq!(progress, Progress::Settling);
    batch.commit().await.expect("committed");

    finish(&service).await;

    assert_eq!(traces(&service).await, []);
}

#[tokio::test]
async fn resumes_erasure_of_crashed_replica() {
    let service = test_service().await;
    heavy(&service, 3_000, 10).await;
    service.apply(&[erased(now())]).await;
    let crashed = claim(&service.pool).await.expect("asked").expect("noted");
    erase_chunk(&service.pool, &crashed, Pass::Notifications).await.expect("a chunk");
    assert!(claim(&service.pool).await.expect("asked").is_none(), "it is leased");
    let expire = "update pending_erasures set lease_until = now() - interval '1 second'";
    sqlx::query(expire).execute(&service.pool).await.expect("expired");

    finish(&service).await;

    assert_eq!(traces(&service).await, []);
}

#[tokio::test]
async fn erases_occurrence_created_meanwhile() {
    let service = test_service().await;
    service.apply(&[created("a", 1, now() + hours(1), &[0])]).await;
    // As the scheduler goes on with a series: it holds the notification and makes the next
    // occurrence.
    let mut scheduler = service.pool.begin().await.expect("begun");
    let lock = "select id from notifications for update";
    sqlx::query(lock).execute(&mut *scheduler).await.expect("locked");
    let made = "insert into occurrences (id, notification_id, due_at, date, expires_at)
        select gen_random_uuid(), id, now() + interval '1 minute', now(), now() from notifications";
    sqlx::query(made).execute(&mut *scheduler).await.expect("made");
    service.apply(&[erased(now())]).await;
    let erasing = tokio::spawn({
        let (pool, letters) = (service.pool.clone(), dead_letters(&service).await);
        async move { erase_next(&pool, &letters, &CancellationToken::new()).await }
    });
    let waiting =
        "pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    wait_until(LIMIT, async || service.count(waiting).await > 0).await;
    scheduler.commit().await.expect("committed");

    erasing.await.expect("no panic").expect("erased");
    finish(&service).await;

    assert_eq!((service.count("occurrences").await, service.count("notifications").await), (0, 0));
}

#[tokio::test]
async fn erases_outcomes_by_time_of_request() {
    let service = test_service().await;
    let (asked_for, erased_at) = (now() - hours(1), now());
    let (sent, late) = (erased_at + minutes(1), erased_at + minutes(2));
    // One was applied before the erasure, one comes after it; both fell due after it.
    service.apply(&[outcome_of(asked_for, sent)]).await;
    service.apply(&[erased(erased_at)]).await;
    finish(&service).await;
    service.apply(&[outcome_of(asked_for, late)]).await;
    assert_eq!(traces(&service).await, []);

    service.apply(&[outcome_of(erased_at + minutes(1), late)]).await;
    assert_eq!(service.count("events").await, 1, "of a reminder of afterwards");
}

#[tokio::test]
async fn keeps_newer_messages_when_delivered_twice() {
    let service = test_service().await;
    let erased_at = now();
    service.apply(&[erased(erased_at)]).await;
    finish(&service).await;
    sqlx::query("delete from commands").execute(&service.pool).await.expect("published");
    for table in [
        "outbox (event_id, body, attributes, lease_until)",
        "commands (event_id, body, attributes, lease_until)",
    ] {
        let sql = format!(
            "insert into {table} values ($1, '{{\"userId\":\"user-1\"}}',
                jsonb_build_object('userId', 'user-1', 'eventType', 'notification:delete',
                'occurredAt', wire_time($2)), now())"
        );
        let newer = sqlx::query(AssertSqlSafe(sql)).bind(new_id()).bind(erased_at + minutes(1));
        newer.execute(&service.pool).await.expect("written");
    }

    service.apply(&[erased(erased_at)]).await;
    finish(&service).await;

    assert_eq!((service.count("outbox").await, service.count("commands").await), (1, 1));
}
