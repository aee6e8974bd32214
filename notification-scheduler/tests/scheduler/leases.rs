//! Leases: their fence tokens, their return, and the end of occurrences under them.

use std::{collections::HashSet, time::Duration};

use notification_scheduler::{
    domain::{
        claim::{Claimed, LeaseTerms, PublishStatus, leases},
        events::{self, UnpublishedOutcome},
    },
    store::leases::return_leases,
    usecases::{
        claim_due_occurrences::DueOccurrences, end_unpublished::end_unpublished,
        mark_released::mark_released,
    },
};

use crate::fixture::{TERMS, test_service};

#[tokio::test]
async fn refuses_stale_fence_after_crash() {
    let service = test_service().await;
    service.make(3, "-1 minute").await;
    let terms = LeaseTerms { lease: Duration::from_millis(1), ..TERMS };
    let short = DueOccurrences::new(service.pool.clone(), terms);
    let crashed = short.claim(10, None).await.expect("claimed").claimed;
    let again = support::wait_until(Duration::from_secs(5), async || {
        let claimed = service.due.claim(10, None).await.expect("asked").claimed;
        (!claimed.is_empty()).then_some(claimed)
    })
    .await;

    let published = |claims: &[Claimed]| -> HashSet<_> {
        let events = claims.iter().cloned().map(events::send);
        events.map(|event| (event.event_id, event.occurred_at, event.data.occurrence_id)).collect()
    };
    assert_eq!(published(&again), published(&crashed));
    let stale = mark_released(&service.pool, &crashed).await.expect("asked");
    assert_eq!((stale.released, stale.stale), (0, 3));
    let fresh = mark_released(&service.pool, &again).await.expect("marked");
    assert_eq!((fresh.released, fresh.stale), (3, 0));
}

#[tokio::test]
async fn keeps_outcome_that_precedes_mark() {
    let service = test_service().await;
    service.make(1, "-1 minute").await;
    let claimed = service.due.claim(10, None).await.expect("claimed").claimed;
    service.run("update occurrences set state = 'sent'").await;
    let marked = mark_released(&service.pool, &claimed).await.expect("asked");
    assert_eq!((marked.released, marked.stale, marked.settled), (0, 0, 1));
    assert_eq!(service.count("state = 'sent'").await, 1);
}

#[tokio::test]
async fn frees_returned_lease_at_once() {
    let service = test_service().await;
    service.make(1, "-1 minute").await;
    let claimed = service.due.claim(10, None).await.expect("claimed").claimed;
    assert!(service.due.claim(10, None).await.expect("asked").claimed.is_empty());
    return_leases(&service.pool, &leases(&claimed), PublishStatus::NotPublished)
        .await
        .expect("returned");
    assert_eq!(service.count("lease_until = '-infinity'").await, 1);
    assert_eq!(service.due.claim(10, None).await.expect("claimed").claimed[0].lease.fence, 2);
}

#[tokio::test]
async fn keeps_mark_of_lease_when_publish_may_have_succeeded() {
    let service = test_service().await;
    service.make(1, "-1 minute").await;
    for status in [PublishStatus::Unknown, PublishStatus::NotPublished] {
        let claimed = service.due.claim(10, None).await.expect("claimed").claimed;
        return_leases(&service.pool, &leases(&claimed), status).await.expect("returned");
        assert_eq!(
            service.count("lease_until > '-infinity' and lease_until <= now()").await,
            1,
            "{status:?}"
        );
    }
}

#[tokio::test]
async fn ends_expired_once_in_catalogue_and_outbox() {
    let service = test_service().await;
    service.make(2, "-2 hours").await;
    let claimed = service.due.claim(10, None).await.expect("claimed").claimed;
    let claims: Vec<&Claimed> = claimed.iter().collect();
    assert_eq!(
        end_unpublished(&service.pool, &claims, UnpublishedOutcome::Expired).await.expect("ended"),
        2
    );
    assert_eq!(
        end_unpublished(&service.pool, &claims, UnpublishedOutcome::Expired).await.expect("asked"),
        0
    );

    assert_eq!(service.count("state = 'suppressed' and reason = 'EXPIRED'").await, 2);
    // The fact that comes back by the queue has the catalogue's key, to the microsecond.
    let same = "select count(*) from events join outbox using (event_id)
        where event_type = 'notification:suppressed'
            and events.occurred_at = (attributes->>'occurredAt')::timestamptz
          and outbox.lease_until = '-infinity' and data->>'reason' = 'EXPIRED'";
    assert_eq!(
        sqlx::query_scalar::<_, i64>(same).fetch_one(&service.pool).await.expect("a count"),
        2
    );
}
