//! Released occurrences without an outcome: the tables `releases`, in which the scheduler records
//! each released batch as a row, and `unsettled`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use db::interval;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::domain::reconcile_command::UnsettledOccurrence;

/// Advisory lock of the watchdog: one replica runs at a time.
const WATCHDOG: i64 = 0x7761_7463_6864_6f67;

/// Counts for operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsettled {
    /// Occurrences without an outcome that the ledger was asked about more than once.
    pub asked_again: i64,
    /// Commands for the notification topic that can never be published.
    pub parked_commands: i64,
}

/// Counts occurrences without an outcome that were asked about, and parked commands.
///
/// # Errors
/// If the query fails.
pub async fn counts(pool: &PgPool) -> Result<Unsettled, sqlx::Error> {
    sqlx::query_as!(
        Unsettled,
        r#"select
                   (select count(*) from unsettled where asked > 1) as "asked_again!",
                   (select count(*) from commands
                       where parked_reason is not null) as "parked_commands!""#
    )
    .fetch_one(pool)
    .await
}

/// Tries to become the only replica that reconciles, until the transaction ends.
///
/// # Errors
/// If the query fails.
pub async fn try_lock(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let alone =
        sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock($1) as "alone!""#, WATCHDOG);
    alone.fetch_one(connection).await
}

/// Moves occurrences that were released longer than `after` ago and have no outcome to `unsettled`.
/// Processes up to `limit` released batches and returns their number. They are read in the order of
/// their ids, up to the first that is too young.
///
/// # Errors
/// If the statement fails.
pub async fn move_released(
    connection: &mut PgConnection,
    after: Duration,
    limit: i64,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"with old as (
               delete from releases
               where id in (
                   select id from (select id, released_at from releases order by id
                       limit $2) as oldest
                   where released_at <= now() - $1::interval
               )
               returning occurrences
           ), noted as (
               insert into unsettled (occurrence_id, look_at)
               select known.id, now()
               from (select unnest(occurrences) as id from old) as released
               join occurrences as known on known.id = released.id
               where known.state = 'released'
               on conflict (occurrence_id) do nothing
           )
           select count(*) as "batches!" from old"#,
        interval(after),
        limit,
    )
    .fetch_one(connection)
    .await
}

/// Occurrences that are due for a check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DueOccurrences {
    /// Occurrences without an outcome.
    pub open: Vec<UnsettledOccurrence>,
    /// Occurrences that have an outcome, or do not exist any more.
    pub settled: Vec<Uuid>,
    /// Occurrences whose notification no longer exists.
    pub orphaned: Vec<Uuid>,
}

impl DueOccurrences {
    /// Returns the number of all of them.
    #[must_use]
    pub fn count(&self) -> usize {
        self.open.len() + self.settled.len() + self.orphaned.len()
    }
}

/// Returns up to `limit` occurrences that are due for a check.
///
/// # Errors
/// If the query fails.
pub async fn due(connection: &mut PgConnection, limit: i64) -> Result<DueOccurrences, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select due.occurrence_id as "occurrence_id!", due.asked as "asked!",
            coalesce(known.state = 'released', false) as "is_open!",
               known.due_at as "due_at?", known.date as "date?", known.expires_at as "expires_at?",
               coalesce(known.expires_at <= now(), false) as "expired!",
                   wanted.source as "source?", wanted.item_id as "item_id?",
               wanted.user_id as "user_id?", wanted.user_email as "user_email?",
                   wanted.version as "version?",
               wanted.occurred_at as "item_changed_at?",
               wanted.content::text as "content?",
               wanted.changed_occurrences::text as "changed_occurrences?", wanted.traceparent as "traceparent?",
                   now() as "now!"
           from (select occurrence_id, asked from unsettled where look_at <= now() order by look_at
               limit $1) as due
           left join occurrences as known on known.id = due.occurrence_id
           left join notifications as wanted on wanted.id = known.notification_id"#,
        limit,
    )
    .fetch_all(connection)
    .await?;
    let mut found = DueOccurrences::default();
    for row in rows {
        let owner =
            row.source.zip(row.item_id).zip(row.user_id).zip(row.version).zip(row.item_changed_at);
        let times = row.due_at.zip(row.date).zip(row.expires_at);
        match (owner, times) {
            _ if !row.is_open => found.settled.push(row.occurrence_id),
            (
                Some(((((source, item_id), user_id), version), item_changed_at)),
                Some(((due_at, date), expires_at)),
            ) => found.open.push(UnsettledOccurrence {
                id: row.occurrence_id,
                due_at,
                date,
                expires_at,
                expired: row.expired,
                asked: row.asked,
                source,
                item_id,
                user_id,
                user_email: row.user_email,
                version,
                item_changed_at,
                content: row.content,
                changed_occurrences: row.changed_occurrences,
                traceparent: row.traceparent,
                now: row.now,
            }),
            _ => found.orphaned.push(row.occurrence_id),
        }
    }
    Ok(found)
}

/// Deletes occurrences from `unsettled`.
///
/// # Errors
/// If the statement fails.
pub async fn delete(connection: &mut PgConnection, ids: &[Uuid]) -> Result<(), sqlx::Error> {
    if !ids.is_empty() {
        sqlx::query!("delete from unsettled where occurrence_id = any($1)", ids)
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// Postpones the next question about occurrences by a time, and counts one question.
///
/// # Errors
/// If the statement fails.
pub async fn postpone(
    connection: &mut PgConnection,
    ids: &[Uuid],
    after: Duration,
) -> Result<(), sqlx::Error> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update unsettled set look_at = now() + $2::interval, asked = asked + 1
            where occurrence_id = any($1)",
        ids,
        interval(after),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Postpones the next question about deferred deliveries until an hour after the end of their quiet
/// hours.
///
/// # Errors
/// If the statement fails.
pub async fn postpone_deferred(
    connection: &mut PgConnection,
    ids: &[Uuid],
    until: &[DateTime<Utc>],
) -> Result<(), sqlx::Error> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update unsettled set look_at = greatest(look_at, until + interval '1 hour'), asked = 0
         from unnest($1::uuid[], $2::timestamptz[]) as deferred (id, until)
         where occurrence_id = deferred.id",
        ids,
        until,
    )
    .execute(connection)
    .await?;
    Ok(())
}
