//! Deletion of rows older than the retention, in chunks that read no further than the rows they
//! delete.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// Advisory lock of a purge.
const LOCK: i64 = 0x7265_7465_6e74_696f;

/// Position in the order of tombstones: the time of their last change, and their id.
pub type TombstonePosition = (DateTime<Utc>, Uuid);

/// Tries to become the only replica that purges, until the transaction ends.
///
/// # Errors
/// If the query fails.
pub async fn try_lock(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock($1) as "locked!""#, LOCK)
        .fetch_one(connection)
        .await
}

/// Deletes up to `limit` events outside of the partitions; returns their number.
///
/// # Errors
/// If the statement fails.
pub async fn delete_stray_events(
    connection: &mut PgConnection,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from events_default where ctid = any(array(
             select ctid from events_default where occurred_at < $1 order by occurred_at
                 limit $2))",
        before,
        limit,
    );
    Ok(deleted.execute(connection).await?.rows_affected())
}

/// Deletes up to `limit` occurrences that have ended; returns their notifications, one for each. A
/// released occurrence without an outcome is kept until its expiry is as long ago: until then an
/// outcome may come.
///
/// # Errors
/// If the statement fails.
pub async fn delete_occurrences(
    connection: &mut PgConnection,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "delete from occurrences where id = any(array(
             select id from occurrences
             where not pending and due_at < $1
               and (state <> 'released' or coalesce(expires_at, due_at) < $1)
             order by due_at limit $2
             for update skip locked))
         returning notification_id",
        before,
        limit,
    )
    .fetch_all(connection)
    .await
}

/// Deletes those of some notifications that have no occurrence and were not changed since; returns
/// their number. A notification that is being changed is waited for, and then has changed.
///
/// # Errors
/// If the statement fails.
pub async fn delete_without_occurrences(
    connection: &mut PgConnection,
    ids: &[Uuid],
    before: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from notifications
         where id = any($1) and updated_at < $2
           and not exists (select from occurrences where notification_id = notifications.id)",
        ids,
        before,
    );
    Ok(deleted.execute(connection).await?.rows_affected())
}

/// Locks up to `limit` tombstones after a position; returns their positions.
///
/// # Errors
/// If the query fails.
pub async fn lock_tombstones(
    connection: &mut PgConnection,
    before: DateTime<Utc>,
    after: Option<TombstonePosition>,
    limit: i64,
) -> Result<Vec<TombstonePosition>, sqlx::Error> {
    let rows = sqlx::query!(
        "select id, updated_at from notifications
         where state = 'deleted' and updated_at < $1
           and ($2::timestamptz is null or (updated_at, id) > ($2, $3::uuid))
         order by updated_at, id limit $4
         for update skip locked",
        before,
        after.map(|(at, _)| at),
        after.map(|(_, id)| id),
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.updated_at, row.id)).collect())
}

/// Deletes up to `limit` occurrences of tombstones, however far ahead their time is; returns their
/// number.
///
/// # Errors
/// If the statement fails.
pub async fn delete_occurrences_of(
    connection: &mut PgConnection,
    tombstones: &[Uuid],
    before: DateTime<Utc>,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from occurrences where id = any(array(
             select id from occurrences
             where notification_id = any($1) and not pending
               and (state <> 'released' or coalesce(expires_at, due_at) < $2)
             order by id limit $3
             for update skip locked))",
        tombstones,
        before,
        limit,
    );
    Ok(deleted.execute(connection).await?.rows_affected())
}

/// Returns up to `limit` ids of notifications after an id.
///
/// # Errors
/// If the query fails.
pub async fn notifications_after(
    connection: &mut PgConnection,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select id from notifications where id > $1 order by id limit $2",
        after,
        limit
    )
    .fetch_all(connection)
    .await
}
