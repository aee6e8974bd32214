//! The catalogue's partitions.

use chrono::{DateTime, Utc};
use contract::EventType;
use event_service::usecases::{
    create_partitions::create_partitions,
    purge_old_rows::{CHUNK, Kind, Purged, purge_chunk, purge_kind},
};
use serde_json::json;
use uuid::Uuid;

use crate::fixture::{TestService, event, hours, now, received, test_service};

async fn partition_of_all(service: &TestService) -> Vec<String> {
    sqlx::query_scalar("select tableoid::regclass::text from events order by occurred_at")
        .fetch_all(&service.pool)
        .await
        .expect("names")
}

fn at(time: DateTime<Utc>) -> bus::Received {
    received(&event(EventType::DeviceRegistered, "d", 1, time, json!({})))
}

#[tokio::test]
async fn creates_partitions_ahead_once() {
    let service = test_service().await;
    assert_eq!(create_partitions(&service.pool).await.expect("made"), 6);
    assert_eq!(create_partitions(&service.pool).await.expect("there"), 0);
}

#[tokio::test]
async fn moves_rows_of_default_partition_into_week() {
    let service = test_service().await;
    service.apply(&[at(now() - hours(24 * 400)), at(now()), at(now() + hours(24 * 20))]).await;
    assert_eq!(partition_of_all(&service).await, ["events_default"; 3]);
    create_partitions(&service.pool).await.expect("made");
    let partitions = partition_of_all(&service).await;
    assert_eq!(partitions[0], "events_default");
    assert!(partitions[1..].iter().all(|name| name != "events_default"), "{partitions:?}");
}

#[tokio::test]
async fn recognises_repeat_after_partition_is_created() {
    let service = test_service().await;
    let message = at(now());
    service.apply(std::slice::from_ref(&message)).await;
    create_partitions(&service.pool).await.expect("made");
    service.apply(&[message]).await;
    assert_eq!(service.count("events").await, 1);
}

#[tokio::test]
async fn purges_old_rows_and_keeps_pending_ones() {
    let service = test_service().await;
    let old = now() - hours(24 * 40);
    sqlx::query("select create_events_partition($1)")
        .bind(old)
        .execute(&service.pool)
        .await
        .expect("made");
    create_partitions(&service.pool).await.expect("made");
    service.apply(&[at(old), at(old - hours(24 * 400)), at(now())]).await;
    let make = "with made as (
            insert into notifications (id, source, item_id, user_id, version, state, date,
                notify_offsets, content, occurred_at, updated_at)
            select gen_random_uuid(), 'reminder', item, 'user-1', 1, 'active', $1, '{0}', '{}', $1,
                $1 from unnest(array['ended', 'waiting']) as item
            returning id, item_id
        )
        insert into occurrences (id, notification_id, due_at, date, expires_at, state)
        select gen_random_uuid(), id, $1, $1, $1, case item_id when 'ended' then 'sent'
            else 'pending' end::occurrence_state from made";
    sqlx::query(make).bind(old).execute(&service.pool).await.expect("made");

    let gone = purged(&service).await;

    assert_eq!(
        (gone.partitions, gone.stray_events, gone.occurrences, gone.notifications),
        (1, 1, 1, 1)
    );
    assert_eq!((service.count("events").await, service.count("occurrences").await), (1, 1));
    assert!(service.notification("waiting").await.is_some());
    assert_eq!(purged(&service).await, Purged::default());
}

/// Purges what is older than 30 days; returns what that was.
async fn purged(service: &TestService) -> Purged {
    let (mut total, mut walked) = (Purged::default(), Uuid::nil());
    for kind in Kind::all(walked) {
        purge_kind(&service.pool, kind, now() - hours(24 * 30), &mut total, &mut walked)
            .await
            .expect("purged");
    }
    total
}

/// Makes notifications that were last changed 40 days ago, with one occurrence each, as SQL gives
/// its state and due time.
async fn old(service: &TestService, count: i64, state: &str, occurrence: &str, due: &str) {
    let sql = format!(
        "with made as (
            insert into notifications (id, source, item_id, user_id, version, state, date,
                notify_offsets, content, occurred_at, updated_at)
            select gen_random_uuid(), 'reminder', gen_random_uuid(), 'user-1', 1, '{state}', now(),
                '{{0}}', '{{}}', now() - interval '40 days',
                now() - interval '40 days' from generate_series(1, $1) returning id
        )
        insert into occurrences (id, notification_id, due_at, date, expires_at, state)
        select gen_random_uuid(), id, now() + interval '{due}', now(),
            now() + interval '{due} 1 hour', '{occurrence}' from made"
    );
    sqlx::query(sqlx::AssertSqlSafe(sql)).bind(count).execute(&service.pool).await.expect("made");
}

#[tokio::test]
async fn purges_in_chunks_found_by_an_index() {
    let service = test_service().await;
    old(&service, 2 * CHUNK + 500, "active", "sent", "-40 days").await;
    old(&service, 20_000, "active", "sent", "-1 day").await;
    sqlx::query("analyze occurrences").execute(&service.pool).await.expect("analyzed");
    let plan = "explain select id from occurrences
        where not pending and due_at < now() - interval '30 days'
          and (state <> 'released' or coalesce(expires_at, due_at) < now())
        order by due_at limit 1000 for update skip locked";
    let plan: Vec<String> =
        sqlx::query_scalar(plan).fetch_all(&service.pool).await.expect("a plan");
    assert!(plan.iter().any(|line| line.contains("occurrences_ended")), "{plan:?}");

    let before = now() - hours(24 * 30);
    let (first, next) =
        purge_chunk(&service.pool, Kind::Occurrences, before).await.expect("a chunk");
    assert_eq!((first.occurrences, first.notifications), (1_000, 1_000));
    assert_eq!(next, Some(Kind::Occurrences));
    let total = purged(&service).await;
    assert_eq!((total.occurrences, total.notifications), (1_500, 1_500));
    assert_eq!(service.count("notifications").await, 20_000);
}

#[tokio::test]
async fn purges_cancelled_occurrences_with_tombstone() {
    let service = test_service().await;
    old(&service, 3, "deleted", "cancelled", "20 years").await;
    let total = purged(&service).await;
    assert_eq!((total.occurrences, total.notifications), (3, 3));
}

#[tokio::test]
async fn keeps_released_occurrence_until_expiry_is_old() {
    let service = test_service().await;
    old(&service, 1, "active", "released", "-40 days").await;
    let extend = "update occurrences set expires_at = now() + interval '1 day'";
    sqlx::query(extend).execute(&service.pool).await.expect("extended");
    old(&service, 2, "active", "released", "-41 days").await;
    let total = purged(&service).await;
    assert_eq!(
        (total.occurrences, total.notifications),
        (2, 2),
        "what is never heard of again goes as well"
    );
}

#[tokio::test]
async fn purges_on_one_replica_at_a_time() {
    let service = test_service().await;
    old(&service, 3, "active", "sent", "-40 days").await;
    let mut other = service.pool.begin().await.expect("begun");
    let lock = "select pg_advisory_xact_lock(x'726574656e74696f'::bigint)";
    sqlx::query(lock).execute(&mut *other).await.expect("locked");
    assert_eq!(purged(&service).await, Purged::default());
    other.rollback().await.expect("ended");
    assert_eq!(purged(&service).await.occurrences, 3);
}

#[tokio::test]
async fn purges_notification_without_occurrences() {
    let service = test_service().await;
    old(&service, 3, "active", "sent", "-40 days").await;
    sqlx::query("delete from occurrences").execute(&service.pool).await.expect("deleted");
    assert_eq!(purged(&service).await.notifications, 3);
}
