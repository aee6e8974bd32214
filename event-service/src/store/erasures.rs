//! Rows of erased users that are being deleted: the table `pending_erasures`, and chunks of every
//! table that contains a user's rows.

use std::time::Duration;

use chrono::{DateTime, Utc};
use db::interval;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::domain::erasure::StoredEvent;

/// Erasure that is under way, leased to this replica.
#[derive(Debug, Clone)]
pub struct Erasure {
    digest: Vec<u8>,
    /// Id of the user.
    pub user_id: String,
    /// Everything up to this time is erased.
    pub erased_at: DateTime<Utc>,
    /// Receipt that the user was given; logs name the erasure by it.
    pub receipt_id: String,
    horizon: i64,
}

/// Earlier than any event: PostgreSQL's times begin in 4713 BC.
const EARLIEST: DateTime<Utc> = match DateTime::from_timestamp(-210_000_000_000, 0) {
    Some(at) => at,
    None => DateTime::<Utc>::UNIX_EPOCH,
};

/// Leases the erasure that has waited longest; `None` if every one is complete or leased.
///
/// # Errors
/// If the statement fails.
pub async fn claim(pool: &PgPool, lease: Duration) -> Result<Option<Erasure>, sqlx::Error> {
    // The transaction's number is later than the commit of the erasure, which this statement saw.
    let row = sqlx::query!(
        r#"update pending_erasures
               set lease_until = now() + $1,
                   horizon = coalesce(horizon, pg_current_xact_id()::text::bigint)
               where user_digest = (
                   select user_digest from pending_erasures where lease_until <= now()
                   order by lease_until, requested_at limit 1
                   for update skip locked)
               returning user_digest, user_id, erased_at, receipt_id, horizon as "horizon!""#,
        interval(lease),
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| Erasure {
        digest: row.user_digest,
        user_id: row.user_id,
        erased_at: row.erased_at,
        receipt_id: row.receipt_id,
        horizon: row.horizon,
    }))
}

/// Returns whether every transaction has ended that could not see the erasure when it began: a pass
/// that begins after that finds every row there will ever be.
///
/// # Errors
/// If the query fails.
pub async fn is_final(pool: &PgPool, erasure: &Erasure) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select pg_snapshot_xmin(pg_current_snapshot())::text::bigint >= $1 as "final!""#,
        erasure.horizon
    )
    .fetch_one(pool)
    .await
}

/// Sets the time after which an erasure can be claimed again.
///
/// # Errors
/// If the statement fails; the lease then ends by itself.
pub async fn set_lease(
    pool: &PgPool,
    erasure: &Erasure,
    lease: Duration,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update pending_erasures set lease_until = now() + $3 where user_digest = $1
                and erased_at = $2",
        erasure.digest,
        erasure.erased_at,
        interval(lease),
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Ends an erasure. A later one of the same user stays.
///
/// # Errors
/// If the statement fails.
pub async fn complete(pool: &PgPool, erasure: &Erasure) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from pending_erasures where user_digest = $1 and erased_at = $2",
        erasure.digest,
        erasure.erased_at
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Locks notifications of an erased user, as the scheduler locks them; returns their ids.
///
/// # Errors
/// If the query fails.
pub async fn lock_notifications(
    connection: &mut PgConnection,
    erasure: &Erasure,
    limit: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select id from notifications where user_id = $1 and occurred_at <= $2
             order by id limit $3 for update",
        erasure.user_id,
        erasure.erased_at,
        limit,
    )
    .fetch_all(connection)
    .await
}

/// Deletes up to `limit` occurrences of notifications; returns their number.
///
/// # Errors
/// If the statement fails.
pub async fn delete_occurrences(
    connection: &mut PgConnection,
    notifications: &[Uuid],
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from occurrences where id = any(array(
                 select id from occurrences where notification_id = any($1)
                 order by id limit $2 for update))",
        notifications,
        limit,
    );
    Ok(deleted.execute(connection).await?.rows_affected())
}

/// Deletes notifications.
///
/// # Errors
/// If the statement fails.
pub async fn delete_notifications(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from notifications where id = any($1)", ids).execute(connection).await?;
    Ok(())
}

/// Returns up to `limit` events of an erased user after a time and an id, in this order.
///
/// # Errors
/// If the query fails.
pub async fn events_after(
    pool: &PgPool,
    erasure: &Erasure,
    after: (DateTime<Utc>, Uuid),
    limit: i64,
) -> Result<Vec<StoredEvent>, sqlx::Error> {
    sqlx::query_as!(
        StoredEvent,
        r#"select occurred_at, event_id, event_type,
                data ->> 'itemChangedAt' as item_changed_at,
                   data ->> 'dueAt' as due_at
               from events
               where user_id = $1 and occurred_at >= $2 and (occurred_at, event_id) > ($2, $3)
               order by occurred_at, event_id limit $4"#,
        erasure.user_id,
        after.0.max(EARLIEST),
        after.1,
        limit,
    )
    .fetch_all(pool)
    .await
}

/// Deletes events of an erased user, which happened between two times, by their ids.
///
/// # Errors
/// If the statement fails.
pub async fn delete_events(
    pool: &PgPool,
    erasure: &Erasure,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    ids: &[Uuid],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from events
             where user_id = $1 and occurred_at between $2 and $3 and event_id = any($4)",
        erasure.user_id,
        from,
        to,
        ids,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Deletes up to `limit` unpublished events of an erased user, parked ones included; returns their
/// number.
///
/// # Errors
/// If the statement fails.
pub async fn delete_outbox(
    pool: &PgPool,
    erasure: &Erasure,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from outbox where event_id = any(array(
                 select event_id from outbox
                 where attributes ->> 'userId' = $1
                   and (attributes ->> 'occurredAt')::timestamptz <= $2
                 limit $3 for update skip locked))",
        erasure.user_id,
        erasure.erased_at,
        limit,
    );
    Ok(deleted.execute(pool).await?.rows_affected())
}

/// Deletes up to `limit` unpublished commands of an erased user, parked ones included, but not the
/// erasure itself; returns their number.
///
/// # Errors
/// If the statement fails.
pub async fn delete_commands(
    pool: &PgPool,
    erasure: &Erasure,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from commands where event_id = any(array(
                 select event_id from commands
                 where attributes ->> 'userId' = $1 and attributes ->> 'eventType' <> 'user:erased'
                   and (attributes ->> 'occurredAt')::timestamptz <= $2
                 limit $3 for update skip locked))",
        erasure.user_id,
        erasure.erased_at,
        limit,
    );
    Ok(deleted.execute(pool).await?.rows_affected())
}
