//! Record of operators' actions: the table `operator_actions`.

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use uuid::Uuid;

use super::catalogue::Cursor;

/// Time for which actions are kept.
const KEPT: TimeDelta = TimeDelta::days(3 * 365);
/// Largest number of rows that one purge deletes.
const PURGED_AT_ONCE: i64 = 10_000;

/// Action that is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAction {
    /// The action's id.
    pub id: Uuid,
    /// The actor.
    pub actor: String,
    /// The kind: `REDRIVE` or `EXPORT`.
    pub action: &'static str,
    /// Id of the user whom it concerns, of which a digest is kept.
    pub user_id: Option<String>,
    /// Id of the request.
    pub request_id: String,
}

/// Action as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// The action's id.
    pub id: Uuid,
    /// When it began.
    pub at: DateTime<Utc>,
    /// The actor.
    pub actor: String,
    /// The kind of the action.
    pub action: String,
    /// SHA-256 of the id of the user whom it concerns.
    pub subject: Option<Vec<u8>>,
    /// Id of the request, or receipt of an erasure.
    pub request_id: String,
    /// The result; none while the action is under way.
    pub result: Option<String>,
}

/// Records an action that is about to begin.
///
/// # Errors
/// If the statement fails; the action must then not be performed.
pub async fn begin(pool: &PgPool, action: &NewAction) -> Result<(), sqlx::Error> {
    let subject = action.user_id.as_ref().map(|user_id| Sha256::digest(user_id).to_vec());
    sqlx::query!(
        "insert into operator_actions (id, actor, action, subject, request_id)
                values ($1, $2, $3, $4, $5)",
        action.id,
        action.actor,
        action.action,
        subject,
        action.request_id,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Records the result of an action.
///
/// # Errors
/// If the statement fails.
pub async fn end(pool: &PgPool, id: Uuid, result: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("update operator_actions set result = $2 where id = $1", id, result)
        .execute(pool)
        .await?;
    Ok(())
}

/// Returns actions, newest first, after the one that a cursor names.
///
/// # Errors
/// If the query fails.
pub async fn list(
    pool: &PgPool,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Vec<Action>, sqlx::Error> {
    let (at, id) = after.map(|cursor| (cursor.occurred_at, cursor.event_id)).unzip();
    sqlx::query_as!(
        Action,
        r#"select id, at, actor, action, subject, request_id, result
               from operator_actions
               where $1::timestamptz is null or (at, id) < ($1, $2::uuid)
               order by at desc, id desc
               limit $3"#,
        at,
        id,
        limit,
    )
    .fetch_all(pool)
    .await
}

/// Deletes a bounded number of actions that are older than their retention; returns their number.
///
/// # Errors
/// If the statement fails.
pub async fn purge(pool: &PgPool, now: DateTime<Utc>) -> Result<u64, sqlx::Error> {
    let purged = sqlx::query!(
        "delete from operator_actions where id = any(array(
                 select id from operator_actions where at < $1 order by at limit $2))",
        now - KEPT,
        PURGED_AT_ONCE,
    )
    .execute(pool)
    .await?;
    Ok(purged.rows_affected())
}
