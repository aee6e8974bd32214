//! Statements of the ledger: leases, fences and versions.

use std::{collections::HashSet, time::Duration};

use chrono::Utc;
use contract::{Channel, DeliveryState, Reason, new_id};
use notification_service::{
    domain::delivery::{Delivery, DeliveryKey, DeliveryResult, Dispatch, NewState},
    store::{
        MIGRATOR,
        intake::{self, NewDelivery},
        ledger::{self, Claim, Released, Written},
        pending_deliveries::{self, PreferenceChange},
    },
};
use sqlx::PgPool;

use crate::test_service::DueOccurrence;

const LEASE: Duration = Duration::from_secs(60);

async fn write_occurrence(pool: &PgPool, devices: &[uuid::Uuid], leased: bool) -> DueOccurrence {
    let due = DueOccurrence::now("ada", &[Channel::Push]);
    let dispatch = Dispatch {
        user_id: due.user.clone(),
        user_email: due.email.clone(),
        version: 1,
        send: due.send.clone(),
        deliveries: 1,
        traceparent: None,
        arrival: None,
    };
    let mut transaction = pool.begin().await.expect("a transaction");
    intake::insert_dispatches(&mut transaction, &[&dispatch]).await.expect("written");
    let row = |&device_id: &uuid::Uuid| NewDelivery {
        key: DeliveryKey { occurrence_id: due.id(), channel: Channel::Push, device_id },
        id: new_id(),
        user_id: "ada",
        state: DeliveryState::Pending,
        reason: None,
        deferred_until: None,
        due_at: due.send.due_at,
        not_before: None,
        leased,
    };
    let rows: Vec<_> = devices.iter().map(row).collect();
    intake::insert_deliveries(&mut transaction, &rows, LEASE).await.expect("written");
    transaction.commit().await.expect("committed");
    due
}

async fn claimed(pool: &PgPool, limit: usize) -> Vec<Delivery> {
    claim_with(pool, limit, Some(Duration::ZERO)).await
}

async fn claim_with(pool: &PgPool, limit: usize, takeover: Option<Duration>) -> Vec<Delivery> {
    ledger::claim_pushes(pool, Claim { limit, due_since: None, lease: LEASE, takeover })
        .await
        .expect("claimed")
}

fn sent(delivery: Delivery) -> DeliveryResult {
    let now = Utc::now();
    let new_state = NewState::Final {
        state: DeliveryState::Sent,
        reason: None,
        provider_message_id: Some("m".to_owned()),
    };
    DeliveryResult {
        attempts: delivery.attempts + 1,
        delivery,
        new_state,
        started_at: Some(now),
        at: now,
        token_is_dead: false,
    }
}

#[tokio::test]
async fn writes_occurrence_once() {
    let database = support::postgres::migrated("ledger", &MIGRATOR).await;
    let pool = database.pool().await;
    let due = write_occurrence(&pool, &[], false).await;
    let again = Dispatch {
        user_id: "ada".to_owned(),
        user_email: None,
        version: 1,
        send: due.send,
        deliveries: 1,
        traceparent: None,
        arrival: None,
    };
    let new =
        intake::insert_dispatches(&mut pool.acquire().await.expect("a connection"), &[&again])
            .await
            .expect("written");
    assert_eq!(new, HashSet::new());
}

#[tokio::test]
async fn claims_delivery_once_for_each_lease() {
    let database = support::postgres::migrated("ledger", &MIGRATOR).await;
    let pool = database.pool().await;
    let devices: Vec<_> = (0..200).map(|_| new_id()).collect();
    write_occurrence(&pool, &devices, false).await;
    let claims = (0..20).map(|_| {
        let pool = pool.clone();
        tokio::spawn(async move { claimed(&pool, 15).await })
    });
    let claims: Vec<_> = claims.collect();
    let mut keys = Vec::new();
    for claim in claims {
        keys.extend(claim.await.expect("no panic").into_iter().map(|delivery| delivery.key));
    }
    keys.extend(claimed(&pool, 500).await.into_iter().map(|delivery| delivery.key));
    let once: HashSet<_> = keys.iter().copied().collect();
    assert_eq!((keys.len(), once.len()), (200, 200));
}

#[tokio::test]
async fn claims_no_leased_delivery() {
    let database = support::postgres::migrated("ledger", &MIGRATOR).await;
    let pool = database.pool().await;
    write_occurrence(&pool, &[new_id()], true).await;
    assert!(claimed(&pool, 10).await.is_empty());
    sqlx::query("update deliveries set next_attempt_at = now()")
        .execute(&pool)
        .await
        .expect("the lease ends");
    assert_eq!(claimed(&pool, 10).await[0].fence, 1);
}

#[tokio::test]
async fn takes_over_no_lease_after_database_outage() {
    let database = support::postgres::migrated("ledger", &MIGRATOR).await;
    let pool = database.pool().await;
    write_occurrence(&pool, &[new_id()], true).await;
    let waiting = write_occurrence(&pool, &[new_id()], false).await;
    sqlx::query("update deliveries set next_attempt_at = now()")
        .execute(&pool)
        .await
        .expect("the lease ends");
    let a_year = Duration::from_secs(365 * 86_400);

    let since_restart = claim_with(&pool, 10, Some(a_year)).await;
    assert_eq!(
        since_restart.iter().map(|delivery| delivery.key.occurrence_id).collect::<Vec<_>>(),
        [waiting.id()]
    );
    assert!(claim_with(&pool, 10, None).await.is_empty(), "nor after an error of this process");
    assert_eq!(claimed(&pool, 10).await.len(), 1);
}

#[tokio::test]
async fn releases_claim_only_under_its_fence() {
    let database = support::postgres::migrated("ledger", &MIGRATOR).await;
    let pool = database.pool().await;
    write_occurrence(&pool, &[new_id(), new_id()], false).await;
    let first = claimed(&pool, 2).await;
    let released: Vec<_> = first.iter().map(|delivery| Released::of(delivery, None)).collect();
    ledger::release(&pool, &released).await.expect("released");
    let second = claimed(&pool, 2).await;
    assert_eq!(second.iter().map(|delivery| delivery.fence).collect::<Vec<_>>(), [2, 2]);
    ledger::release(&pool, &released).await.expect("asked");
    assert!(claimed(&pool, 2).await.is_empty(), "the old fence releases nothing");

    let later = Utc::now() + chrono::TimeDelta::hours(1);
    let postponed: Vec<_> =
        second.iter().map(|delivery| Released::of(delivery, Some(later))).collect();
    ledger::release(&pool, &postponed).await.expect("put off");
    assert!(claimed(&pool, 2).await.is_empty());
    let reasons: Vec<Option<String>> =
        sqlx::query_scalar("select reason from deliveries").fetch_all(&pool).await.expect("asked");
    assert_eq!(reasons, vec![Some("RATE_LIMITED".to_owned()); 2]);
}

#[tokio::test]
async fn ignores_outcome_under_old_fence() {
    let database = support::postgres::migrated("ledger", &MIGRATOR).await;
    let pool = database.pool().await;
    write_occurrence(&pool, &[new_id()], false).await;
    let slept = claimed(&pool, 1).await.remove(0);
    sqlx::query("update deliveries set next_attempt_at = now()")
        .execute(&pool)
        .await
        .expect("the lease ends");
    let awake = claimed(&pool, 1).await.remove(0);

    assert!(ledger::write_results(&pool, &[sent(slept)]).await.expect("asked").is_empty());
    let result = sent(awake);
    let counted =
        ledger::write_results(&pool, std::slice::from_ref(&result)).await.expect("recorded");
    assert_eq!(counted, [Written { position: 0, cancelled: None }]);
    assert!(
        ledger::write_results(&pool, &[result]).await.expect("asked").is_empty(),
        "an outcome is recorded once"
    );
}

#[tokio::test]
async fn cancels_delivery_at_once_when_unleased() {
    let database = support::postgres::migrated("ledger", &MIGRATOR).await;
    let pool = database.pool().await;
    let due = write_occurrence(&pool, &[new_id()], false).await;
    let slept = claimed(&pool, 1).await.remove(0);
    sqlx::query("update deliveries set next_attempt_at = now()")
        .execute(&pool)
        .await
        .expect("the lease ends");
    let mut connection = pool.acquire().await.expect("a connection");
    let waiting =
        pending_deliveries::of_occurrences(&mut connection, &[due.id()]).await.expect("asked");
    assert_eq!(
        waiting.iter().map(|delivery| (delivery.key, delivery.leased)).collect::<Vec<_>>(),
        [(slept.key, false)]
    );
    pending_deliveries::cancel(&pool, &[slept.key], Reason::Deleted).await.expect("cancelled");

    assert!(ledger::write_results(&pool, &[sent(slept)]).await.expect("asked").is_empty());
    assert!(
        pending_deliveries::of_occurrences(&mut connection, &[due.id()])
            .await
            .expect("asked")
            .is_empty()
    );
    assert!(claimed(&pool, 1).await.is_empty());
}

/// Between a change's look and its locks, one delivery is released and another is claimed.
#[tokio::test]
async fn finds_deliveries_claimed_and_released_meanwhile() {
    let database = support::postgres::migrated("ledger", &MIGRATOR).await;
    let pool = database.pool().await;
    write_occurrence(&pool, &[new_id(), new_id()], false).await;
    let held = claimed(&pool, 1).await.remove(0);
    let change = PreferenceChange { user_id: "ada", unwanted: &["push"], until: None };
    let affected =
        pending_deliveries::affected_by(&pool, change, LEASE, 1).await.expect("looked up");
    assert_eq!((affected.keys.len(), affected.has_more), (2, true));

    let later = Utc::now() + chrono::TimeDelta::hours(1);
    let claimed_meanwhile = claimed(&pool, 1).await.remove(0);
    ledger::release(&pool, &[Released::of(&held, Some(later))]).await.expect("released");
    let mut transaction = pool.begin().await.expect("a transaction");
    let locked = pending_deliveries::lock(&mut transaction, &affected.keys).await.expect("locked");
    let found: HashSet<_> =
        locked.iter().map(|delivery| (delivery.key, delivery.leased, delivery.fence)).collect();
    assert_eq!(found, [(held.key, false, 1), (claimed_meanwhile.key, true, 1)].into());
}

#[tokio::test]
async fn cancels_leased_delivery_when_attempt_ends() {
    let database = support::postgres::migrated("ledger", &MIGRATOR).await;
    let pool = database.pool().await;
    let device = new_id();
    write_occurrence(&pool, &[device, new_id()], false).await;
    let (accepted, refused): (Vec<_>, Vec<_>) =
        claimed(&pool, 2).await.into_iter().partition(|delivery| delivery.key.device_id == device);
    let keys: Vec<_> = accepted.iter().chain(&refused).map(|delivery| delivery.key).collect();
    pending_deliveries::cancel(&pool, &keys, Reason::OptedOut).await.expect("cancelled");
    let again =
        NewState::Pending { next_attempt_at: Utc::now(), reason: Some(Reason::Unavailable) };
    let records: Vec<_> = accepted
        .into_iter()
        .map(sent)
        .chain(
            refused
                .into_iter()
                .map(|delivery| DeliveryResult { new_state: again.clone(), ..sent(delivery) }),
        )
        .collect();
    let mut counted = ledger::write_results(&pool, &records).await.expect("recorded");

    counted.sort_by_key(|counted| counted.position);
    let opted_out = Some(Reason::OptedOut);
    assert_eq!(
        counted,
        [Written { position: 0, cancelled: None }, Written { position: 1, cancelled: opted_out }]
    );
    assert!(claimed(&pool, 2).await.is_empty(), "no other attempt follows");
}

#[tokio::test]
async fn claims_latest_first() {
    let database = support::postgres::migrated("ledger", &MIGRATOR).await;
    let pool = database.pool().await;
    let due = [
        write_occurrence(&pool, &[new_id()], false).await,
        write_occurrence(&pool, &[new_id()], false).await,
    ];
    sqlx::query(
        "update deliveries set next_attempt_at = now() - interval '1 h' where occurrence_id = $1",
    )
    .bind(due[1].id())
    .execute(&pool)
    .await
    .expect("late");
    assert_eq!(claimed(&pool, 1).await[0].key.occurrence_id, due[1].id());
}

#[tokio::test]
async fn releases_rows_of_unanswered_commit() {
    let database = support::postgres::migrated("ledger", &MIGRATOR).await;
    let pool = database.pool().await;
    let due = write_occurrence(&pool, &[new_id(), new_id()], true).await;
    let ids: Vec<uuid::Uuid> =
        sqlx::query_scalar("select id from deliveries").fetch_all(&pool).await.expect("both");
    let one = HashSet::from([(due.id(), ids[0])]);
    let released = intake::release(&mut pool.acquire().await.expect("a connection"), &one)
        .await
        .expect("released");
    assert_eq!((released, claimed(&pool, 10).await.len()), (1, 1));
}
