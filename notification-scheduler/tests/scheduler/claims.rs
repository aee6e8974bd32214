//! Claims: which occurrences they lease, and in which order.

use std::{collections::HashSet, time::Duration};

use notification_scheduler::{
    domain::{
        claim::{Claimed, Lease, LeaseTerms, leases},
        events,
        user_key::UserKey,
    },
    store::quarantine,
    usecases::{
        claim_due_occurrences::DueOccurrences, mark_released::mark_released,
        quarantine_unreadable::QUARANTINE,
    },
};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::fixture::{TERMS, test_service};

#[tokio::test]
async fn claims_nothing_early() {
    let service = test_service().await;
    service.make(20, "200 milliseconds").await;
    let mut claimed = 0;
    while claimed < 20 {
        let batch = service.due.claim(500, None).await.expect("asked");
        assert!(batch.claimed.iter().all(|claimed| claimed.lateness >= 0.0), "{:?}", batch.claimed);
        claimed += batch.claimed.len();
    }
}

#[tokio::test]
async fn claims_ahead_and_no_earlier() {
    let service = test_service().await;
    let terms = LeaseTerms { ahead: Duration::from_millis(400), ..TERMS };
    let ahead = DueOccurrences::new(service.pool.clone(), terms);
    service.make(20, "700 milliseconds").await;
    let mut claimed = 0;
    while claimed < 20 {
        let batch = ahead.claim(500, None).await.expect("asked");
        let is_ahead = |claimed: &Claimed| (-0.4..0.0).contains(&claimed.lateness);
        assert!(batch.claimed.iter().all(is_ahead), "{:?}", batch.claimed);
        claimed += batch.claimed.len();
    }
    service.make(1, "1 hour").await;
    let next = ahead.next_due(None).await.expect("asked");
    let due = service.due.next_due(None).await.expect("asked");
    let [next, due] = [next, due].map(|next| next.claimable_at.expect("one waits"));
    assert_eq!((due - next).num_milliseconds(), 400);
}

#[tokio::test]
async fn claims_in_order_and_reports_expired() {
    let service = test_service().await;
    service.make(2, "-1 minute").await;
    service.make(2, "-2 hours").await;
    service.make(2, "1 hour").await;
    let claimed = service.due.claim(3, None).await.expect("claimed").claimed;
    assert_eq!(
        claimed.iter().map(|claimed| claimed.expired).collect::<Vec<_>>(),
        [true, true, false]
    );
    assert!(claimed.is_sorted_by_key(|claimed| claimed.due_at));
}

#[tokio::test]
async fn skips_occurrences_before_hint() {
    let service = test_service().await;
    service.make(1, "-10 minutes").await;
    service.make(1, "-1 minute").await;
    let hint = chrono::Utc::now() - chrono::TimeDelta::minutes(5);
    assert_eq!(service.due.claim(10, Some(hint)).await.expect("claimed").claimed.len(), 1);
    assert_eq!(service.due.claim(10, None).await.expect("claimed").claimed.len(), 1);
}

#[tokio::test]
async fn ends_occurrences_of_deleted_notifications() {
    let service = test_service().await;
    service.make(2, "-1 minute").await;
    service
        .run(
            "update occurrences set state = 'cancelled'
            where id = (select min(id::text)::uuid from occurrences)",
        )
        .await;
    service
        .run(
            "update notifications set state = 'deleted'
        where id = (select notification_id from occurrences where pending)",
        )
        .await;
    let batch = service.due.claim(10, None).await.expect("asked");
    assert_eq!((batch.claimed.len(), batch.orphans.len()), (0, 1));
    assert_eq!(quarantine::cancel_orphans(&service.pool, &batch.orphans).await.expect("ended"), 1);
    assert_eq!(service.count("pending").await, 0);
    assert_eq!(service.count("reason = 'DELETED'").await, 1);
}

#[tokio::test]
async fn claims_others_beside_orphans() {
    let service = test_service().await;
    service.make(5, "-2 minutes").await;
    service.run("delete from notifications").await;
    service.make(1, "-1 minute").await;
    let batch = service.due.claim(5, None).await.expect("claimed");
    assert_eq!(batch.orphans.len(), 5);
    quarantine::cancel_orphans(&service.pool, &batch.orphans).await.expect("ended");
    assert_eq!(service.count("reason = 'ERASED'").await, 5);
    assert_eq!(service.due.claim(5, None).await.expect("claimed").claimed.len(), 1);
}

#[tokio::test]
async fn claims_readable_rows_beside_unreadable_ones() {
    let service = test_service().await;
    service.make(3, "-1 minute").await;
    service
        .run(
            "update notifications set content = content || '{\"channels\": [\"pigeon\"]}'
        where id = (select min(id::text)::uuid from notifications)",
        )
        .await;
    let batch = service.due.claim(10, None).await.expect("claimed");
    assert_eq!((batch.claimed.len(), batch.unreadable.len()), (2, 1));
    let unreadable: Vec<_> = batch.unreadable.iter().map(|unreadable| unreadable.lease).collect();
    quarantine::quarantine(&service.pool, &unreadable, QUARANTINE).await.expect("quarantined");
    assert_eq!(service.count("pending and reason = 'UNREADABLE' and lease_until > now()").await, 1);
}

#[tokio::test]
async fn claims_rows_beside_unreadable_times() {
    let service = test_service().await;
    service.make(9, "-1 minute").await;
    service
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
    service
        .run(
            "update notifications set occurred_at = 'infinity'
             where id = (select notification_id from occurrences order by id offset 6 limit 1)",
        )
        .await;
    let batch = service.due.claim(10, None).await.expect("claimed");
    assert_eq!((batch.claimed.len(), batch.unreadable.len()), (3, 6));
    let unreadable: Vec<_> = batch.unreadable.iter().map(|unreadable| unreadable.lease).collect();
    quarantine::quarantine(&service.pool, &unreadable, QUARANTINE).await.expect("quarantined");
    assert_eq!(service.due.claim(10, None).await.expect("claimed").leased(), 0);
    mark_released(&service.pool, &batch.claimed).await.expect("marked");
    service.run("update occurrences set due_at = 'infinity' where pending").await;
    service.due.next_due(None).await.expect("asked");
}

#[tokio::test]
async fn reads_content_that_was_edited_after_the_claim() {
    let service = test_service().await;
    service.make(1, "-1 minute").await;
    // The claim's first statement waits on this lock with the snapshot it began with; its second
    // one sees the edit.
    let waiting = "create function wait() returns trigger language plpgsql
            as $$ begin perform pg_advisory_xact_lock(42); return new; end $$;
        create trigger wait before update on occurrences for each row execute function wait()";
    sqlx::raw_sql(waiting).execute(&service.pool).await.expect("made");
    let mut edit = service.pool.begin().await.expect("begun");
    sqlx::query("select pg_advisory_xact_lock(42)").execute(&mut *edit).await.expect("locked");
    let claiming = tokio::spawn({
        let due = service.due.clone();
        async move { due.claim(10, None).await.expect("claimed") }
    });
    let waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'
        and datname = current_database()";
    support::wait_until(Duration::from_secs(10), async || {
        sqlx::query_scalar::<_, i64>(waits).fetch_one(&service.pool).await.expect("a count") > 0
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
    let service = test_service().await;
    service.make(2, "-1 minute").await;
    let mut change = service.pool.begin().await.expect("begun");
    // The claim's first statement does not need this table; its second one waits.
    sqlx::query("lock table notifications in access exclusive mode")
        .execute(&mut *change)
        .await
        .expect("locked");
    let claiming = tokio::spawn({
        let due = service.due.clone();
        async move { due.claim(10, None).await.expect("claimed") }
    });
    support::wait_until(Duration::from_secs(10), async || {
        service.count("lease_until > now()").await == 2
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
    assert_eq!(
        quarantine::cancel_orphans(&service.pool, &batch.orphans).await.expect("asked"),
        0,
        "it has ended"
    );
    assert_eq!(service.count("state = 'cancelled' and reason is null").await, 1);
}

/// Occurrences that were due before an outage ended may have been changed by delayed events.
#[tokio::test]
async fn marks_possibly_changed_after_outage() {
    let service = test_service().await;
    service.make(1, "-1 minute").await;
    service.make(1, "-1 second").await;
    let mut batch = service.due.claim(10, None).await.expect("claimed");
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
    let service = test_service().await;
    service.make_of("crowd", 300, "-1 minute").await;
    service.make_of("another", 1, "-30 seconds").await;
    let crowd = service.due.claim(1, None).await.expect("claimed").claimed[0].user_key;
    let others = service.due.claim_of_others(100, None, &[crowd]).await.expect("claimed").claimed;
    assert_eq!(
        others.iter().map(|claimed| claimed.user_id.as_str()).collect::<Vec<_>>(),
        ["another"]
    );
    let own = service.due.claim_of_user(1_000, None, crowd).await.expect("claimed").claimed;
    assert_eq!((own.len(), own.iter().all(|claimed| claimed.user_id == "crowd")), (299, true));
}

#[tokio::test]
async fn claims_urgent_occurrences_of_user_first() {
    let service = test_service().await;
    service.make(5, "-1 minute").await;
    service
        .run(
            "update occurrences as o set user_key = occurrence_user_key('user-1', 'high')
        where id = (select id from occurrences order by due_at desc limit 1)",
        )
        .await;
    let key: i64 = sqlx::query_scalar("select occurrence_user_key('user-1', 'normal')")
        .fetch_one(&service.pool)
        .await
        .expect("a key");
    let last: Uuid = sqlx::query_scalar("select id from occurrences order by due_at desc limit 1")
        .fetch_one(&service.pool)
        .await
        .expect("an id");
    let claimed =
        service.due.claim_of_user(1, None, UserKey::of_row(key)).await.expect("claimed").claimed;
    assert_eq!(claimed.iter().map(|claimed| claimed.lease.id).collect::<Vec<_>>(), [last]);
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_each_once_with_twenty_schedulers() {
    let service = test_service().await;
    service.make(10_000, "-1 minute").await;
    let mut schedulers = JoinSet::new();
    for _ in 0..20 {
        let due = service.due.clone();
        schedulers.spawn(async move {
            let mut mine = Vec::new();
            loop {
                let batch = due.claim(500, None).await.expect("claimed");
                if batch.claimed.is_empty() {
                    return mine;
                }
                mine.extend(leases(&batch.claimed));
            }
        });
    }
    let claims: Vec<Lease> = schedulers.join_all().await.into_iter().flatten().collect();
    let distinct: HashSet<Uuid> = claims.iter().map(|lease| lease.id).collect();
    assert_eq!((claims.len(), distinct.len()), (10_000, 10_000));
    assert!(claims.iter().all(|lease| lease.fence == 1));
}

#[tokio::test]
async fn reports_next_due_time_without_lease() {
    let service = test_service().await;
    assert_eq!(service.due.next_due(None).await.expect("asked").claimable_at, None);
    service.make(1, "1 hour").await;
    service.make(1, "-1 minute").await;
    service.due.claim(10, None).await.expect("claimed");
    let next = service.due.next_due(None).await.expect("asked");
    let ahead = next.claimable_at.expect("one waits") - next.now;
    assert!((3_500..=3_600).contains(&ahead.num_seconds()), "{ahead}");
}
