//! Deliveries that wait in the ledger, when it turns out that they are not wanted, or at another time. Rows that a process
//! holds under a lease are only marked: what the attempt under way comes to is recorded as it is, and none follows. Call these
//! in one transaction: the rows stay locked from the first look on.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use shared::contract::{Channel, DeliveryState, SendData};
use sqlx::{PgConnection, PgExecutor, types::Json};
use uuid::Uuid;

use super::unreadable;
use crate::delivery::{DeliveryKey, Dispatch};

/// A delivery that has not come to its end.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// Which one it is.
    pub key: DeliveryKey,
    /// What it delivers.
    pub dispatch: Arc<Dispatch>,
    /// `pending` or `deferred`.
    pub state: DeliveryState,
    /// Whether a process holds it.
    pub leased: bool,
    /// Attempts made.
    pub attempts: i32,
    /// Of one that was deferred: until when.
    pub deferred_until: Option<DateTime<Utc>>,
}

macro_rules! waiting {
    ($row:expr) => {{
        let row = $row;
        let channel = row.channel.parse().map_err(|problem: String| unreadable("channel", problem))?;
        Ok::<_, sqlx::Error>(Waiting {
            key: DeliveryKey { occurrence_id: row.occurrence_id, channel, device_id: row.device_id },
            dispatch: Arc::new(Dispatch {
                user_id: row.user_id,
                user_email: row.user_email,
                version: row.version,
                send: SendData { expires_at: row.expires_at, ..row.payload.0 },
                deliveries: row.deliveries,
                traceparent: row.traceparent.and_then(|text| text.parse().ok()),
            }),
            state: row.state.parse().map_err(|problem: String| unreadable("state", problem))?,
            leased: row.leased,
            attempts: row.attempts,
            deferred_until: row.deferred_until,
        })
    }};
}

/// What waits for a user, locked.
///
/// # Errors
/// When the statement fails.
pub async fn of_user(connection: &mut PgConnection, user_id: &str) -> Result<Vec<Waiting>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select d.occurrence_id, d.channel, d.device_id, d.state, d.attempts, d.deferred_until,
               d.leased and d.next_attempt_at > now() as "leased!", p.user_id, p.user_email, p.version, p.expires_at,
               p.payload as "payload: Json<SendData>", p.deliveries, p.traceparent
           from deliveries as d join dispatches as p on p.occurrence_id = d.occurrence_id
           where d.user_id = $1 and d.state in ('pending', 'deferred') and d.withdrawn is null
           order by d.occurrence_id, d.channel, d.device_id
           for update of d"#,
        user_id,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| waiting!(row)).collect()
}

/// What waits of occurrences, locked.
///
/// # Errors
/// When the statement fails.
pub async fn of_occurrences(connection: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<Waiting>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select d.occurrence_id, d.channel, d.device_id, d.state, d.attempts, d.deferred_until,
               d.leased and d.next_attempt_at > now() as "leased!", p.user_id, p.user_email, p.version, p.expires_at,
               p.payload as "payload: Json<SendData>", p.deliveries, p.traceparent
           from deliveries as d join dispatches as p on p.occurrence_id = d.occurrence_id
           where d.occurrence_id = any($1) and d.state in ('pending', 'deferred') and d.withdrawn is null
           order by d.occurrence_id, d.channel, d.device_id
           for update of d"#,
        ids,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| waiting!(row)).collect()
}

/// Ends deliveries as suppressed for this reason; those that a process holds end with the attempt under way.
///
/// # Errors
/// When the statement fails.
pub async fn withdraw(
    executor: impl PgExecutor<'_>,
    keys: &[DeliveryKey],
    reason: &'static str,
) -> Result<(), sqlx::Error> {
    let (occurrences, channels, devices) = columns(keys);
    sqlx::query!(
        "update deliveries as d
         set withdrawn = $4,
             state = case when held then d.state else 'suppressed' end,
             reason = case when held then d.reason else $4 end,
             fence = case when held then d.fence else d.fence + 1 end,
             next_attempt_at = case when held then d.next_attempt_at end,
             finished_at = case when held then d.finished_at else now() end
         from (
             select w.*, w.leased and w.next_attempt_at > now() as held
             from unnest($1::uuid[], $2::text[], $3::uuid[]) as it (occurrence_id, channel, device_id)
                 join deliveries as w using (occurrence_id, channel, device_id)
         ) as it
         where d.occurrence_id = it.occurrence_id and d.channel = it.channel and d.device_id = it.device_id",
        &occurrences,
        &channels as &[&str],
        &devices,
        reason,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Puts deferred deliveries off until another time; until now when there is none to wait for.
///
/// # Errors
/// When the statement fails.
pub async fn defer(
    executor: impl PgExecutor<'_>,
    keys: &[DeliveryKey],
    until: Option<DateTime<Utc>>,
) -> Result<(), sqlx::Error> {
    let (occurrences, channels, devices) = columns(keys);
    sqlx::query!(
        "update deliveries as d set next_attempt_at = coalesce($4, now()), deferred_until = coalesce($4, now())
         from unnest($1::uuid[], $2::text[], $3::uuid[]) as it (occurrence_id, channel, device_id)
         where d.occurrence_id = it.occurrence_id and d.channel = it.channel and d.device_id = it.device_id and d.state = 'deferred'",
        &occurrences,
        &channels as &[&str],
        &devices,
        until,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Lets occurrences expire later.
///
/// # Errors
/// When the statement fails.
pub async fn prolong(executor: impl PgExecutor<'_>, expiries: &[(Uuid, DateTime<Utc>)]) -> Result<(), sqlx::Error> {
    let (ids, expiries): (Vec<Uuid>, Vec<DateTime<Utc>>) = expiries.iter().copied().unzip();
    sqlx::query!(
        "update dispatches set expires_at = it.expires_at
         from unnest($1::uuid[], $2::timestamptz[]) as it (occurrence_id, expires_at)
         where dispatches.occurrence_id = it.occurrence_id and dispatches.expires_at < it.expires_at",
        &ids,
        &expiries,
    )
    .execute(executor)
    .await?;
    Ok(())
}

fn columns(keys: &[DeliveryKey]) -> (Vec<Uuid>, Vec<&'static str>, Vec<Uuid>) {
    let channel = |key: &DeliveryKey| -> &'static str { Channel::as_str(key.channel) };
    (
        keys.iter().map(|key| key.occurrence_id).collect(),
        keys.iter().map(channel).collect(),
        keys.iter().map(|key| key.device_id).collect(),
    )
}
