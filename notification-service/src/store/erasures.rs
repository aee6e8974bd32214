//! Erasures of users, and the deletion of their rows.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use crate::domain::erasure::{Erasure, user_digest};

/// Rows of one table that are deleted in one transaction; of deliveries, the number of occurrences.
const CHUNK: i64 = 1_000;

/// Runs a statement that deletes up to [`CHUNK`] rows until none is left.
macro_rules! in_chunks {
    ($pool:expr, $statement:literal, $($argument:expr),+ $(,)?) => {
        while sqlx::query!($statement, $($argument),+, CHUNK)
            .execute($pool)
            .await?
            .rows_affected()
            > 0
        {}
    };
}

/// Notes that a user is erased. Call it while the transaction holds the intake: from the commit on,
/// no occurrence from before the erasure is written.
///
/// # Errors
/// If the statement fails.
pub async fn note(connection: &mut PgConnection, erasure: &Erasure) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into erasures (user_digest, erased_at, receipt_id) values ($1, $2, $3)
         on conflict (user_digest) do update
         set erased_at = excluded.erased_at, receipt_id = excluded.receipt_id, completed_at = null
         where erasures.erased_at < excluded.erased_at",
        user_digest(&erasure.user_id),
        erasure.erased_at,
        erasure.receipt_id,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Returns the noted erasures of some users that are not completed, each once.
///
/// # Errors
/// If the statement fails.
pub async fn unfinished(
    executor: impl PgExecutor<'_>,
    user_ids: &[&str],
) -> Result<Vec<Erasure>, sqlx::Error> {
    let by_digest: HashMap<Vec<u8>, &str> =
        user_ids.iter().map(|id| (user_digest(id), *id)).collect();
    let digests: Vec<Vec<u8>> = by_digest.keys().cloned().collect();
    let rows = sqlx::query!(
        "select user_digest, erased_at, receipt_id from erasures where user_digest = any($1) and completed_at is null",
        &digests
    )
    .fetch_all(executor)
    .await?;
    let unfinished = rows.into_iter().filter_map(|row| {
        let user_id = (*by_digest.get(&row.user_digest)?).to_owned();
        Some(Erasure { user_id, erased_at: row.erased_at, receipt_id: row.receipt_id })
    });
    Ok(unfinished.collect())
}

/// Deletes the deliveries, with their content, that a user had requested up to a time, even if they
/// are due later. Each transaction deletes a bounded number.
///
/// # Errors
/// If a statement fails; the rows deleted before stay deleted.
pub async fn deliveries(
    pool: &PgPool,
    user_id: &str,
    erased_at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    loop {
        let mut transaction = pool.begin().await?;
        let occurrences: Vec<Uuid> = sqlx::query_scalar!(
            "select d.occurrence_id from deliveries as d join dispatches as p on p.occurrence_id = d.occurrence_id
             where d.user_id = $1 and coalesce(
                 case when p.payload ->> 'itemChangedAt' ~ '^[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-9:.]+Z$'
                     then (p.payload ->> 'itemChangedAt')::timestamptz end, p.due_at) <= $2
             limit $3",
            user_id,
            erased_at,
            CHUNK,
        )
        .fetch_all(&mut *transaction)
        .await?;
        if occurrences.is_empty() {
            return Ok(());
        }
        delete_occurrences(&mut transaction, &occurrences).await?;
        transaction.commit().await?;
    }
}

/// Deletes occurrences with their deliveries and their read marks.
pub(super) async fn delete_occurrences(
    connection: &mut PgConnection,
    occurrences: &[Uuid],
) -> Result<u64, sqlx::Error> {
    sqlx::query!(
        "delete from inbox_marks as m using deliveries as d
         where d.occurrence_id = any($1) and m.user_id = d.user_id and m.occurrence_id = d.occurrence_id",
        occurrences,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("delete from deliveries where occurrence_id = any($1)", occurrences)
        .execute(&mut *connection)
        .await?;
    let deleted = sqlx::query!("delete from dispatches where occurrence_id = any($1)", occurrences)
        .execute(connection)
        .await?;
    Ok(deleted.rows_affected())
}

/// Deletes a user's rows of the other tables that may hold many, a bounded number in each
/// transaction. Outbox messages about erased rows are deleted as well, whenever they were written.
///
/// # Errors
/// If a statement fails; the rows deleted before stay deleted.
pub async fn rest(
    pool: &PgPool,
    user_id: &str,
    erased_at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    in_chunks!(
        pool,
        "delete from inbox_readings where user_id = $1 and up_to = any(array(
             select up_to from inbox_readings where user_id = $1 and read_at <= $2 limit $3))",
        user_id,
        erased_at,
    );
    in_chunks!(
        pool,
        "delete from idempotency_keys where user_id = $1 and key = any(array(
             select key from idempotency_keys where user_id = $1 and created_at <= $2 limit $3))",
        user_id,
        erased_at,
    );
    in_chunks!(
        pool,
        "delete from revisions where occurrence_id = any(array(
             select occurrence_id from revisions where user_id = $1 and at <= $2 limit $3))",
        user_id,
        erased_at,
    );
    in_chunks!(
        pool,
        "delete from outbox where event_id = any(array(
             select event_id from outbox
             where attributes ->> 'userId' = $1
               and coalesce((body::jsonb -> 'eventData' ->> 'itemChangedAt')::timestamptz,
                            (body::jsonb -> 'eventData' ->> 'dueAt')::timestamptz, (attributes ->> 'occurredAt')::timestamptz) <= $2
             limit $3))",
        user_id,
        erased_at,
    );
    Ok(())
}

/// Deletes a user's rows of the tables that hold few, once the others are deleted, and notes that
/// the erasure is completed.
///
/// # Errors
/// If a statement fails.
pub async fn complete(
    connection: &mut PgConnection,
    user_id: &str,
    erased_at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    // Each half uses its own index.
    sqlx::query!(
        "delete from devices where last_seen_at <= $2 and id = any(array(
             select id from devices where user_id = $1 and invalidated_at is null
             union all
             select id from devices where user_id = $1 and invalidated_at is not null))",
        user_id,
        erased_at,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "delete from preferences where user_id = $1 and updated_at <= $2",
        user_id,
        erased_at
    )
    .execute(&mut *connection)
    .await?;
    // If the user comes back, the next read mark creates it again.
    sqlx::query!("delete from inboxes where user_id = $1", user_id)
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        "update erasures set completed_at = now() where user_digest = $1 and erased_at = $2",
        user_digest(user_id),
        erased_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Returns, by digest, the times up to which these users were erased. Users who were not erased are
/// left out.
///
/// # Errors
/// If the statement fails.
pub async fn of_users(
    executor: impl PgExecutor<'_>,
    user_ids: &[&str],
) -> Result<HashMap<Vec<u8>, DateTime<Utc>>, sqlx::Error> {
    let digests: Vec<Vec<u8>> = user_ids.iter().map(|id| user_digest(id)).collect();
    let rows = sqlx::query!(
        "select user_digest, erased_at from erasures where user_digest = any($1)",
        &digests
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| (row.user_digest, row.erased_at)).collect())
}
