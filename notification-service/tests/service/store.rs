//! The ledger's fences and the registry's versions, statement by statement.

use std::{collections::HashSet, sync::Arc, time::Duration};

use chrono::Utc;
use notification_service::{
    delivery::{Delivery, DeliveryKey, Dispatch, Record, Verdict, reason},
    device::{DeviceType, NewDevice, Token},
    store::{
        MIGRATOR, devices,
        intake::{self, NewDelivery},
        ledger::{self, Claim, Counted},
        waiting,
    },
};
use shared::contract::{Channel, DeliveryState, new_id};
use sqlx::PgPool;

use crate::harness::Due;

const LEASE: Duration = Duration::from_secs(60);

async fn registered(pool: &PgPool, user: &str, token: &str) -> devices::Registered {
    let token = Token::parse(token.to_owned()).expect("a token");
    let new = NewDevice { user_id: user.to_owned(), token, device_type: DeviceType::Android, name: None };
    let mut transaction = pool.begin().await.expect("a transaction");
    let registered = devices::register(&mut transaction, &new).await.expect("registered");
    transaction.commit().await.expect("committed");
    registered
}

/// Writes an occurrence with one pending delivery to each of the devices.
async fn written(pool: &PgPool, devices: &[uuid::Uuid], leased: bool) -> Due {
    let due = Due::now("ada", &[Channel::Push]);
    let dispatch = Dispatch {
        user_id: due.user.clone(),
        user_email: due.email.clone(),
        version: 1,
        send: due.send.clone(),
        deliveries: 1,
        traceparent: None,
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
        leased,
    };
    let rows: Vec<_> = devices.iter().map(row).collect();
    intake::insert_deliveries(&mut transaction, &rows, LEASE).await.expect("written");
    transaction.commit().await.expect("committed");
    due
}

async fn claimed(pool: &PgPool, limit: usize) -> Vec<Delivery> {
    ledger::claim_pushes(pool, Claim { limit, due_since: None, lease: LEASE }).await.expect("claimed")
}

fn sent(delivery: Delivery) -> Record {
    let now = Utc::now();
    let verdict =
        Verdict::Ended { state: DeliveryState::Sent, reason: None, provider_message_id: Some("m".to_owned()) };
    Record { attempts: delivery.attempts + 1, delivery, verdict, started_at: Some(now), at: now, token_is_dead: false }
}

#[tokio::test]
async fn an_occurrence_is_written_once() {
    let database = support::postgres::migrated("ledger", &MIGRATOR).await;
    let pool = database.pool().await;
    let due = written(&pool, &[], false).await;
    let again = Dispatch {
        user_id: "ada".to_owned(),
        user_email: None,
        version: 1,
        send: due.send,
        deliveries: 1,
        traceparent: None,
    };
    let new =
        intake::insert_dispatches(&mut pool.acquire().await.expect("a connection"), &[&again]).await.expect("written");
    assert_eq!(new, HashSet::new());
}

#[tokio::test]
async fn a_delivery_is_claimed_once_for_each_lease_by_however_many_ask() {
    let database = support::postgres::migrated("ledger", &MIGRATOR).await;
    let pool = database.pool().await;
    let devices: Vec<_> = (0..200).map(|_| new_id()).collect();
    written(&pool, &devices, false).await;
    let claims = (0..20).map(|_| {
        let pool = pool.clone();
        tokio::spawn(async move { claimed(&pool, 15).await })
    });
    let claims: Vec<_> = claims.collect();
    let mut keys = Vec::new();
    for claim in claims {
        keys.extend(claim.await.expect("no panic").into_iter().map(|it| it.key));
    }
    keys.extend(claimed(&pool, 500).await.into_iter().map(|it| it.key));
    let once: HashSet<_> = keys.iter().copied().collect();
    assert_eq!((keys.len(), once.len()), (200, 200));
}

#[tokio::test]
async fn a_leased_delivery_is_nobody_elses_until_the_lease_ends() {
    let database = support::postgres::migrated("ledger", &MIGRATOR).await;
    let pool = database.pool().await;
    written(&pool, &[new_id()], true).await;
    assert!(claimed(&pool, 10).await.is_empty());
    sqlx::query("update deliveries set next_attempt_at = now()").execute(&pool).await.expect("the lease ends");
    assert_eq!(claimed(&pool, 10).await[0].fence, 1);
}

#[tokio::test]
async fn a_verdict_under_an_old_fence_changes_nothing() {
    let database = support::postgres::migrated("ledger", &MIGRATOR).await;
    let pool = database.pool().await;
    written(&pool, &[new_id()], false).await;
    let slept = claimed(&pool, 1).await.remove(0);
    sqlx::query("update deliveries set next_attempt_at = now()").execute(&pool).await.expect("the lease ends");
    let awake = claimed(&pool, 1).await.remove(0);

    assert!(ledger::record(&pool, &[sent(slept)]).await.expect("asked").is_empty());
    let record = sent(awake);
    let counted = ledger::record(&pool, std::slice::from_ref(&record)).await.expect("recorded");
    assert_eq!(counted, [Counted { position: 0, withdrawn: None }]);
    assert!(ledger::record(&pool, &[record]).await.expect("asked").is_empty(), "a verdict is given once");
}

#[tokio::test]
async fn what_nobody_holds_any_more_is_withdrawn_at_once_and_its_old_holder_changes_nothing() {
    let database = support::postgres::migrated("ledger", &MIGRATOR).await;
    let pool = database.pool().await;
    let due = written(&pool, &[new_id()], false).await;
    let slept = claimed(&pool, 1).await.remove(0);
    sqlx::query("update deliveries set next_attempt_at = now()").execute(&pool).await.expect("the lease ends");
    let mut connection = pool.acquire().await.expect("a connection");
    let waiting = waiting::of_occurrences(&mut connection, &[due.id()]).await.expect("asked");
    assert_eq!(waiting.iter().map(|it| (it.key, it.leased)).collect::<Vec<_>>(), [(slept.key, false)]);
    waiting::withdraw(&pool, &[slept.key], reason::CANCELLED).await.expect("withdrawn");

    assert!(ledger::record(&pool, &[sent(slept)]).await.expect("asked").is_empty());
    assert!(waiting::of_occurrences(&mut connection, &[due.id()]).await.expect("asked").is_empty());
    assert!(claimed(&pool, 1).await.is_empty());
}

#[tokio::test]
async fn what_is_held_is_withdrawn_when_its_holder_is_done() {
    let database = support::postgres::migrated("ledger", &MIGRATOR).await;
    let pool = database.pool().await;
    let device = new_id();
    written(&pool, &[device, new_id()], false).await;
    let (accepted, refused): (Vec<_>, Vec<_>) =
        claimed(&pool, 2).await.into_iter().partition(|it| it.key.device_id == device);
    let keys: Vec<_> = accepted.iter().chain(&refused).map(|it| it.key).collect();
    waiting::withdraw(&pool, &keys, reason::OPTED_OUT).await.expect("withdrawn");
    let again = Verdict::Again { at: Utc::now(), reason: Some("UNAVAILABLE".into()) };
    let records: Vec<_> = accepted
        .into_iter()
        .map(sent)
        .chain(refused.into_iter().map(|it| Record { verdict: again.clone(), ..sent(it) }))
        .collect();
    let mut counted = ledger::record(&pool, &records).await.expect("recorded");

    counted.sort_by_key(|it| it.position);
    let opted_out = Some(reason::OPTED_OUT.to_owned());
    assert_eq!(counted, [Counted { position: 0, withdrawn: None }, Counted { position: 1, withdrawn: opted_out }]);
    assert!(claimed(&pool, 2).await.is_empty(), "no other attempt follows");
}

#[tokio::test]
async fn the_latest_are_claimed_first() {
    let database = support::postgres::migrated("ledger", &MIGRATOR).await;
    let pool = database.pool().await;
    let due = [written(&pool, &[new_id()], false).await, written(&pool, &[new_id()], false).await];
    sqlx::query("update deliveries set next_attempt_at = now() - interval '1 h' where occurrence_id = $1")
        .bind(due[1].id())
        .execute(&pool)
        .await
        .expect("late");
    assert_eq!(claimed(&pool, 1).await[0].key.occurrence_id, due[1].id());
}

#[tokio::test]
async fn a_device_is_buried_only_as_it_was_when_it_was_sent_to() {
    let database = support::postgres::migrated("devices", &MIGRATOR).await;
    let pool = database.pool().await;
    let device = registered(&pool, "ada", "token-1").await.device;
    let refreshed = registered(&pool, "ada", "token-1").await.device;
    let dead = |version| [(device.id, version, "UNREGISTERED".to_owned())];

    assert!(devices::invalidate(&pool, &dead(device.version)).await.expect("asked").is_empty());
    assert_eq!(devices::of_user(&pool, "ada").await.expect("asked").len(), 1);
    assert_eq!(devices::invalidate(&pool, &dead(refreshed.version)).await.expect("asked").len(), 1);
    assert!(devices::of_user(&pool, "ada").await.expect("asked").is_empty());
}

#[tokio::test]
async fn users_that_fight_for_a_token_leave_one_device() {
    let database = support::postgres::migrated("devices", &MIGRATOR).await;
    let pool = Arc::new(database.pool().await);
    let fights = (0..16).map(|user| {
        let pool = Arc::clone(&pool);
        tokio::spawn(async move { registered(&pool, &format!("user-{}", user % 4), "token-1").await })
    });
    for fight in fights.collect::<Vec<_>>() {
        fight.await.expect("registered");
    }
    let devices: i64 = sqlx::query_scalar("select count(*) from devices").fetch_one(&*pool).await.expect("counted");
    assert_eq!(devices, 1);
}
