//! What a claim takes, and what becomes of leases.

use std::{collections::HashSet, time::Duration};

use notification_scheduler::{
    events::{self, UnpublishedOutcome},
    store::{Claimed, PublishStatus, Store, UserKey},
};
use serde_json::Value;
use sqlx::PgPool;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::fixture::world;

fn keys(claims: &[Claimed]) -> Vec<(Uuid, i32)> {
    claims.iter().map(|claimed| (claimed.id, claimed.fence)).collect()
}

#[tokio::test]
async fn claims_nothing_early() {
    let world = world().await;
    world.make(20, "200 milliseconds").await;
    let mut claimed = 0;
    while claimed < 20 {
        let batch = world.store.claim(500, None).await.expect("asked");
        assert!(batch.claimed.iter().all(|claimed| claimed.lateness >= 0.0), "{:?}", batch.claimed);
        claimed += batch.claimed.len();
    }
}

#[tokio::test]
async fn claims_in_order_and_reports_expired() {
    let world = world().await;
    world.make(2, "-1 minute").await;
    world.make(2, "-2 hours").await;
    world.make(2, "1 hour").await;
    let claimed = world.store.claim(3, None).await.expect("claimed").claimed;
    assert_eq!(
        claimed.iter().map(|claimed| claimed.expired).collect::<Vec<_>>(),
        [true, true, false]
    );
    assert!(claimed.is_sorted_by_key(|claimed| claimed.due_at));
}

#[tokio::test]
async fn skips_occurrences_before_hint() {
    let world = world().await;
    world.make(1, "-10 minutes").await;
    world.make(1, "-1 minute").await;
    let hint = chrono::Utc::now() - chrono::TimeDelta::minutes(5);
    assert_eq!(world.store.claim(10, Some(hint)).await.expect("claimed").claimed.len(), 1);
    assert_eq!(world.store.claim(10, None).await.expect("claimed").claimed.len(), 1);
}

#[tokio::test]
async fn ends_occurrences_of_deleted_notifications() {
    let world = world().await;
    world.make(2, "-1 minute").await;
    world
        .run(
            "update occurrences set state = 'cancelled'
            where id = (select min(id::text)::uuid from occurrences)",
        )
        .await;
    world
        .run(
            "update notifications set state = 'deleted'
        where id = (select notification_id from occurrences where pending)",
        )
        .await;
    let batch = world.store.claim(10, None).await.expect("asked");
    assert_eq!((batch.claimed.len(), batch.orphans.len()), (0, 1));
    assert_eq!(world.store.end_orphans(&batch.orphans).await.expect("ended"), 1);
    assert_eq!(world.count("pending").await, 0);
}

#[tokio::test]
async fn claims_others_beside_orphans() {
    let world = world().await;
    world.make(5, "-2 minutes").await;
    world.run("delete from notifications").await;
    world.make(1, "-1 minute").await;
    let batch = world.store.claim(5, None).await.expect("claimed");
    assert_eq!(batch.orphans.len(), 5);
    world.store.end_orphans(&batch.orphans).await.expect("ended");
    assert_eq!(world.store.claim(5, None).await.expect("claimed").claimed.len(), 1);
}

#[tokio::test]
async fn claims_readable_rows_beside_unreadable_ones() {
    let world = world().await;
    world.make(3, "-1 minute").await;
    world
        .run(
            "update notifications set content = content || '{\"channels\": [\"pigeon\"]}'
        where id = (select min(id::text)::uuid from notifications)",
        )
        .await;
    let batch = world.store.claim(10, None).await.expect("claimed");
    assert_eq!((batch.claimed.len(), batch.unreadable.len()), (2, 1));
    let unreadable: Vec<_> = batch.unreadable.iter().map(|(id, fence, _)| (*id, *fence)).collect();
    world.store.quarantine(&unreadable).await.expect("set aside");
    assert_eq!(world.count("pending and reason = 'UNREADABLE' and lease_until > now()").await, 1);
}

#[tokio::test]
async fn claims_rows_beside_unreadable_times() {
    let world = world().await;
    world.make(9, "-1 minute").await;
    world
        .run(
            "with one as (select id, row_number() over (order by id) as n from occurrences)
             update occurrences as it
             set date = case n when 1 then 'infinity' else date end,
                 expires_at = case n when 2 then 'infinity' when 3 then '-infinity' when 4
                     then '290000-01-01' else expires_at end,
                 due_at = case n when 5 then '-infinity' else due_at end,
                 fence = case n when 6 then 2147483647 else fence end
             from one where one.id = it.id",
        )
        .await;
    world
        .run(
            "update notifications set occurred_at = 'infinity'
             where id = (select notification_id from occurrences order by id offset 6 limit 1)",
        )
        .await;
    let batch = world.store.claim(10, None).await.expect("claimed");
    assert_eq!((batch.claimed.len(), batch.unreadable.len()), (3, 6));
    let unreadable: Vec<_> = batch.unreadable.iter().map(|(id, fence, _)| (*id, *fence)).collect();
    world.store.quarantine(&unreadable).await.expect("set aside");
    assert_eq!(world.store.claim(10, None).await.expect("claimed").leased(), 0);
    world.store.mark_released(&batch.claimed).await.expect("marked");
    world.run("update occurrences set due_at = 'infinity' where pending").await;
    world.store.next(None).await.expect("asked");
}

#[tokio::test]
async fn reads_content_that_was_edited_after_the_claim() {
    let world = world().await;
    world.make(1, "-1 minute").await;
    // The claim's first statement waits on this lock with the snapshot it began with; its second
    // one sees the edit.
    let waiting = "create function wait() returns trigger language plpgsql
            as $$ begin perform pg_advisory_xact_lock(42); return new; end $$;
        create trigger wait before update on occurrences for each row execute function wait()";
    sqlx::raw_sql(waiting).execute(&world.pool).await.expect("made");
    let mut edit = world.pool.begin().await.expect("begun");
    sqlx::query("select pg_advisory_xact_lock(42)").execute(&mut *edit).await.expect("locked");
    let claiming = tokio::spawn({
        let store = world.store.clone();
        async move { store.claim(10, None).await.expect("claimed") }
    });
    let waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'
        and datname = current_database()";
    support::eventually(Duration::from_secs(10), async || {
        sqlx::query_scalar::<_, i64>(waits).fetch_one(&world.pool).await.expect("a count") > 0
    })
    .await;
    sqlx::query(
        "update notifications set version = 4, content = content || '{\"message\": \"new\"}'",
    )
    .execute(&mut *edit)
    .await
    .expect("edited");
    edit.commit().await.expect("committed");
    let claimed = claiming.await.expect("no panic").claimed;
    assert_eq!((claimed[0].version, claimed[0].content.message.as_str()), (4, "new"));
}

/// A version that cancels an occurrence between its lease and the reading of its content must not
/// be published: it would ask for the occurrence under the number of that very version.
#[tokio::test]
async fn omits_occurrence_cancelled_after_its_lease() {
    let world = world().await;
    world.make(2, "-1 minute").await;
    let mut change = world.pool.begin().await.expect("begun");
    // The claim's first statement does not need this table; its second one waits.
    sqlx::query("lock table notifications in access exclusive mode")
        .execute(&mut *change)
        .await
        .expect("locked");
    let claiming = tokio::spawn({
        let store = world.store.clone();
        async move { store.claim(10, None).await.expect("claimed") }
    });
    support::eventually(Duration::from_secs(10), async || {
        world.count("lease_until > now()").await == 2
    })
    .await;
    let cancel = "update occurrences set state = 'cancelled'
        where id = (select min(id::text)::uuid from occurrences)";
    sqlx::query(cancel).execute(&mut *change).await.expect("cancelled");
    sqlx::query("update notifications set version = 4")
        .execute(&mut *change)
        .await
        .expect("changed");
    change.commit().await.expect("committed");

    let batch = claiming.await.expect("no panic");
    assert_eq!((batch.claimed.len(), batch.orphans.len(), batch.leased()), (1, 1, 2));
    assert_eq!(batch.claimed[0].version, 4);
    assert_eq!(world.store.end_orphans(&batch.orphans).await.expect("asked"), 0, "it has ended");
    assert_eq!(world.count("state = 'cancelled' and reason is null").await, 1);
}

/// What was due before an outage ended may have been changed by events that the outage held up.
#[tokio::test]
async fn marks_possibly_changed_after_outage() {
    let world = world().await;
    world.make(1, "-1 minute").await;
    world.make(1, "-1 second").await;
    let mut batch = world.store.claim(10, None).await.expect("claimed");
    assert!(
        batch.claimed.iter().all(|claimed| claimed.as_of > claimed.due_at),
        "it was read just now"
    );
    batch.mark_possibly_changed(Duration::from_secs(30));

    let (before, after) = (&batch.claimed[0], &batch.claimed[1]);
    assert_eq!(before.as_of, before.due_at);
    assert!(after.as_of > after.due_at);
    assert_eq!(events::send(before.clone()).data.as_of, Some(before.due_at));
}

#[tokio::test]
async fn passes_over_backlogged_users() {
    let world = world().await;
    world.make_of("crowd", 300, "-1 minute").await;
    world.make_of("another", 1, "-30 seconds").await;
    let crowd = world.store.claim(1, None).await.expect("claimed").claimed[0].user_key;
    let others = world.store.claim_of_others(100, None, &[crowd]).await.expect("claimed").claimed;
    assert_eq!(
        others.iter().map(|claimed| claimed.user_id.as_str()).collect::<Vec<_>>(),
        ["another"]
    );
    let own = world.store.claim_of_user(1_000, None, crowd).await.expect("claimed").claimed;
    assert_eq!((own.len(), own.iter().all(|claimed| claimed.user_id == "crowd")), (299, true));
}

#[tokio::test]
async fn claims_urgent_occurrences_of_user_first() {
    let world = world().await;
    world.make(5, "-1 minute").await;
    world
        .run(
            "update occurrences as o set user_key = occurrence_user_key('user-1', 'high')
        where id = (select id from occurrences order by due_at desc limit 1)",
        )
        .await;
    let key: i64 = sqlx::query_scalar("select occurrence_user_key('user-1', 'normal')")
        .fetch_one(&world.pool)
        .await
        .expect("a key");
    let last: Uuid = sqlx::query_scalar("select id from occurrences order by due_at desc limit 1")
        .fetch_one(&world.pool)
        .await
        .expect("an id");
    let claimed =
        world.store.claim_of_user(1, None, UserKey::of_row(key)).await.expect("claimed").claimed;
    assert_eq!(claimed.iter().map(|claimed| claimed.id).collect::<Vec<_>>(), [last]);
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_each_once_with_twenty_schedulers() {
    let world = world().await;
    world.make(10_000, "-1 minute").await;
    let mut schedulers = JoinSet::new();
    for _ in 0..20 {
        let store = world.store.clone();
        schedulers.spawn(async move {
            let mut mine = Vec::new();
            loop {
                let batch = store.claim(500, None).await.expect("claimed");
                if batch.claimed.is_empty() {
                    return mine;
                }
                mine.extend(keys(&batch.claimed));
            }
        });
    }
    let claims: Vec<(Uuid, i32)> = schedulers.join_all().await.into_iter().flatten().collect();
    let distinct: HashSet<Uuid> = claims.iter().map(|key| key.0).collect();
    assert_eq!((claims.len(), distinct.len()), (10_000, 10_000));
    assert!(claims.iter().all(|key| key.1 == 1));
}

#[tokio::test]
async fn refuses_stale_fence_after_crash() {
    let world = world().await;
    world.make(3, "-1 minute").await;
    let short = Store::new(world.pool.clone(), Duration::from_millis(1));
    let crashed = short.claim(10, None).await.expect("claimed").claimed;
    let again = support::eventually(Duration::from_secs(5), async || {
        let claimed = world.store.claim(10, None).await.expect("asked").claimed;
        (!claimed.is_empty()).then_some(claimed)
    })
    .await;

    let published = |claims: &[Claimed]| -> HashSet<_> {
        let events = claims.iter().cloned().map(events::send);
        events.map(|event| (event.event_id, event.occurred_at, event.data.occurrence_id)).collect()
    };
    assert_eq!(published(&again), published(&crashed));
    let stale = world.store.mark_released(&crashed).await.expect("asked");
    assert_eq!((stale.released, stale.stale), (0, 3));
    let fresh = world.store.mark_released(&again).await.expect("marked");
    assert_eq!((fresh.released, fresh.stale), (3, 0));
}

#[tokio::test]
async fn keeps_outcome_that_precedes_mark() {
    let world = world().await;
    world.make(1, "-1 minute").await;
    let claimed = world.store.claim(10, None).await.expect("claimed").claimed;
    world.run("update occurrences set state = 'sent'").await;
    let marked = world.store.mark_released(&claimed).await.expect("asked");
    assert_eq!((marked.released, marked.stale, marked.settled), (0, 0, 1));
    assert_eq!(world.count("state = 'sent'").await, 1);
}

#[tokio::test]
async fn frees_returned_lease_at_once() {
    let world = world().await;
    world.make(1, "-1 minute").await;
    let claimed = world.store.claim(10, None).await.expect("claimed").claimed;
    assert!(world.store.claim(10, None).await.expect("asked").claimed.is_empty());
    world
        .store
        .return_leases(&keys(&claimed), PublishStatus::NotPublished)
        .await
        .expect("given back");
    assert_eq!(world.count("lease_until = '-infinity'").await, 1);
    assert_eq!(world.store.claim(10, None).await.expect("claimed").claimed[0].fence, 2);
}

#[tokio::test]
async fn keeps_mark_of_lease_when_publish_may_have_succeeded() {
    let world = world().await;
    world.make(1, "-1 minute").await;
    for status in [PublishStatus::Unknown, PublishStatus::NotPublished] {
        let claimed = world.store.claim(10, None).await.expect("claimed").claimed;
        world.store.return_leases(&keys(&claimed), status).await.expect("given back");
        assert_eq!(
            world.count("lease_until > '-infinity' and lease_until <= now()").await,
            1,
            "{status:?}"
        );
    }
}

#[tokio::test]
async fn ends_expired_once_in_catalogue_and_outbox() {
    let world = world().await;
    world.make(2, "-2 hours").await;
    let claimed = world.store.claim(10, None).await.expect("claimed").claimed;
    let claims: Vec<&Claimed> = claimed.iter().collect();
    assert_eq!(world.store.end(&claims, UnpublishedOutcome::Expired).await.expect("ended"), 2);
    assert_eq!(world.store.end(&claims, UnpublishedOutcome::Expired).await.expect("asked"), 0);

    assert_eq!(world.count("state = 'suppressed' and reason = 'EXPIRED'").await, 2);
    // The fact that comes back by the queue has the catalogue's key, to the microsecond.
    let same = "select count(*) from events join outbox using (event_id)
        where event_type = 'notification:suppressed'
            and events.occurred_at = (attributes->>'occurredAt')::timestamptz
          and outbox.lease_until = '-infinity' and data->>'reason' = 'EXPIRED'";
    assert_eq!(
        sqlx::query_scalar::<_, i64>(same).fetch_one(&world.pool).await.expect("a count"),
        2
    );
}

#[tokio::test]
async fn reports_next_due_time_without_lease() {
    let world = world().await;
    assert_eq!(world.store.next(None).await.expect("asked").due_at, None);
    world.make(1, "1 hour").await;
    world.make(1, "-1 minute").await;
    world.store.claim(10, None).await.expect("claimed");
    let next = world.store.next(None).await.expect("asked");
    let ahead = next.due_at.expect("one waits") - next.now;
    assert!((3_500..=3_600).contains(&ahead.num_seconds()), "{ahead}");
}

/// The claim's plan, executed; it must go by the index. How many pages it read.
async fn pages(pool: &PgPool, not_before: &str) -> i64 {
    let explain = "explain (analyze, buffers, format json)
        with due as materialized (
            select id from occurrences where pending and due_at <= now() and due_at >= $1::text::timestamptz and lease_until <= now()
            order by due_at limit 500 for update skip locked
        )
        update occurrences set lease_until = now() + interval '1 second', fence = fence + 1 from due
        where occurrences.id = due.id
        returning occurrences.id";
    let plan: Value =
        sqlx::query_scalar(explain).bind(not_before).fetch_one(pool).await.expect("a plan");
    let text = plan.to_string();
    assert!(
        text.contains("occurrences_due")
            && !text.contains("Seq Scan")
            && !text.contains("\"Sort\""),
        "{text}"
    );
    let blocks = |kind: &str| plan[0]["Plan"][kind].as_i64().expect("a count");
    blocks("Shared Hit Blocks") + blocks("Shared Read Blocks")
}

#[tokio::test]
async fn reads_only_due_rows_when_claiming() {
    let world = world().await;
    world.make(100_000, "1 day").await;
    world.make(10, "-1 minute").await;
    // Before and after the planner knows the table.
    for prepare in ["select 1", "analyze occurrences, notifications"] {
        world.run(prepare).await;
        let read = pages(&world.pool, "-infinity").await;
        assert!(read < 1_000, "{read} pages for ten occurrences");
        world
            .run("update occurrences set lease_until = '-infinity' where lease_until > now()")
            .await;
    }
}

#[tokio::test]
async fn skips_dead_entries_with_hint() {
    let world = world().await;
    world.make(20_000, "-1 hour").await;
    world.make(10, "-1 minute").await;
    let mut reader = world.pool.begin().await.expect("begun");
    sqlx::query("set transaction isolation level repeatable read")
        .execute(&mut *reader)
        .await
        .expect("set");
    sqlx::query("select 1 from occurrences limit 1")
        .execute(&mut *reader)
        .await
        .expect("a snapshot");
    world
        .run(
            "update occurrences set state = 'released'
        where due_at < now() - interval '30 minutes'",
        )
        .await;

    let without = pages(&world.pool, "-infinity").await;
    world.run("update occurrences set lease_until = '-infinity' where lease_until > now()").await;
    let hint = (chrono::Utc::now() - chrono::TimeDelta::minutes(5)).to_rfc3339();
    let with = pages(&world.pool, &hint).await;
    reader.rollback().await.expect("ended");
    assert!(with < 300 && without > 5 * with, "{with} pages with the hint, {without} without");
}
