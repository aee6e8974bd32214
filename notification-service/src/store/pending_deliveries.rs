//! Pending deliveries of the ledger: cancels or defers them. Rows that a process holds under a
//! lease are only marked: the result of the attempt under way is written as it is, and no other
//! follows. Call these functions in one transaction: they lock the rows that they return.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use contract::{Channel, DeliveryState, Reason};
use db::StoredTime;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::{interval, ledger::dispatch, payload};
use crate::domain::{
    delivery::{DeliveryKey, Dispatch},
    erasure::user_digest,
};

/// Delivery that has no outcome yet.
#[derive(Debug, Clone)]
pub struct PendingDelivery {
    /// Key of the delivery.
    pub key: DeliveryKey,
    /// Occurrence that it delivers.
    pub dispatch: Arc<Dispatch>,
    /// `pending` or `deferred`.
    pub state: DeliveryState,
    /// `true` if a process holds the delivery under a lease.
    pub leased: bool,
    /// Fence token of its latest claim.
    pub fence: i32,
    /// Number of attempts made.
    pub attempts: i32,
    /// Time until which the delivery was deferred, if it was.
    pub deferred_until: Option<DateTime<Utc>>,
}

/// Builds the delivery of a row; returns `None` for a channel that only a newer version of the
/// service knows.
macro_rules! pending {
    ($row:expr) => {{
        let row = $row;
        let (channel, state) = (row.channel.parse(), row.state.parse());
        let (device_id, leased, fence) = (row.device_id, row.leased, row.fence);
        let (attempts, deferred_until) =
            (row.attempts, row.deferred_until.map(StoredTime::nearest));
        let occurrence_id = row.occurrence_id;
        let (Ok(channel), Ok(state)) = (channel, state) else {
            payload::note("deliveries", occurrence_id);
            return None;
        };
        let (dispatch, _) = dispatch!(row);
        let key = DeliveryKey { occurrence_id, channel, device_id };
        Some(PendingDelivery { key, dispatch, state, leased, fence, attempts, deferred_until })
    }};
}

/// Change of a user's preferences: the channels that are switched off, and the time until which
/// deferred deliveries wait.
#[derive(Debug, Clone, Copy)]
pub struct PreferenceChange<'a> {
    /// User.
    pub user_id: &'a str,
    /// Channels that are switched off.
    pub unwanted: &'a [&'a str],
    /// End of the quiet hours that apply now; `None` if none apply.
    pub until: Option<DateTime<Utc>>,
}

/// Deliveries that a change of preferences affects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Affected {
    /// Keys of deliveries, to be locked.
    pub keys: Vec<DeliveryKey>,
    /// `true` if there may be more of them.
    pub has_more: bool,
}

/// Returns the deliveries of a user that a change of preferences affects: up to `limit` that no
/// process holds, and all that a process holds on a channel that is switched off. Both come from
/// one snapshot, so that a delivery which is claimed or released meanwhile is found once.
///
/// Those held are looked up among those whose leases end within twice `takeover`, the length of a
/// lease: their number is bounded by the permits of all processes.
///
/// # Errors
/// If the statement fails.
pub async fn affected_by(
    executor: impl PgExecutor<'_>,
    change: PreferenceChange<'_>,
    takeover: Duration,
    limit: i64,
) -> Result<Affected, sqlx::Error> {
    let rows = sqlx::query!(
        r#"(select occurrence_id as "occurrence_id!", channel as "channel!", device_id as "device_id!", false as "held!"
            from deliveries
            where user_id = $1 and state in ('pending', 'deferred') and not leased and withdrawn is null
              and (channel = any($2) or (state = 'deferred' and case when $3::timestamptz is null then next_attempt_at > now()
                  else deferred_until is distinct from $3 end))
            limit $5)
           union all
           select occurrence_id, channel, device_id, true
           from deliveries
           where channel = any($2) and state in ('pending', 'deferred') and next_attempt_at <= now() + 2 * $4::interval
             and leased and user_id = $1 and withdrawn is null"#,
        change.user_id,
        change.unwanted as &[&str],
        change.until,
        interval(takeover),
        limit,
    )
    .fetch_all(executor)
    .await?;
    let has_more = rows.iter().filter(|row| !row.held).count() as i64 >= limit;
    let keys = rows.into_iter().filter_map(|row| {
        let Ok(channel) = row.channel.parse() else {
            payload::note("deliveries", row.occurrence_id);
            return None;
        };
        Some(DeliveryKey { occurrence_id: row.occurrence_id, channel, device_id: row.device_id })
    });
    Ok(Affected { keys: keys.collect(), has_more })
}

/// Returns and locks those of some deliveries that have no outcome yet.
///
/// # Errors
/// If the statement fails.
pub async fn lock(
    connection: &mut PgConnection,
    keys: &[DeliveryKey],
) -> Result<Vec<PendingDelivery>, sqlx::Error> {
    let (occurrences, channels, devices) = columns(keys);
    let rows = sqlx::query!(
        r#"select d.occurrence_id, d.channel, d.device_id, d.state, d.attempts, d.deferred_until as "deferred_until: StoredTime",
               d.leased and d.next_attempt_at > now() as "leased!", d.fence, p.user_id, p.user_email, p.version, p.source, p.item_id,
               p.due_at as "due_at: StoredTime", p.expires_at as "expires_at: StoredTime", p.payload::text as "payload!", p.deliveries, p.traceparent
           from unnest($1::uuid[], $2::text[], $3::uuid[]) as key (occurrence_id, channel, device_id)
               join deliveries as d using (occurrence_id, channel, device_id)
               join dispatches as p using (occurrence_id)
           where d.state in ('pending', 'deferred') and d.withdrawn is null
           order by d.occurrence_id, d.channel, d.device_id
           for update of d"#,
        &occurrences,
        &channels as &[&str],
        &devices,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().filter_map(|row| pending!(row)).collect())
}

/// Class of the advisory locks between transactions that defer deliveries of the same users: a
/// number that no other lock uses.
const DEFERRING: i32 = 0x6465_6665;

/// Keeps other transactions from deferring deliveries of these users until this one ends. Many
/// users share a lock, so that a batch never takes more than 64 locks.
///
/// # Errors
/// If the statement fails.
pub async fn hold_deferring(
    executor: impl PgExecutor<'_>,
    user_ids: &[&str],
) -> Result<(), sqlx::Error> {
    let locks: BTreeSet<i32> = user_ids
        .iter()
        .map(|id| i32::from(user_digest(id).first().copied().unwrap_or_default() % 64))
        .collect();
    let locks: Vec<i32> = locks.into_iter().collect();
    sqlx::query!(
        "select pg_advisory_xact_lock($1, needed.lock) from unnest($2::int[]) with ordinality as needed (lock, position) order by position",
        DEFERRING,
        &locks
    )
    .fetch_all(executor)
    .await?;
    Ok(())
}

/// Returns and locks the deferred deliveries of some items (user, source, id).
///
/// # Errors
/// If the statement fails.
pub async fn deferred_of_items(
    connection: &mut PgConnection,
    items: &[(&str, &str, &str)],
) -> Result<Vec<PendingDelivery>, sqlx::Error> {
    let users: Vec<&str> = items.iter().map(|item| item.0).collect();
    let sources: Vec<&str> = items.iter().map(|item| item.1).collect();
    let ids: Vec<&str> = items.iter().map(|item| item.2).collect();
    let rows = sqlx::query!(
        r#"select d.occurrence_id, d.channel, d.device_id, d.state, d.attempts, d.deferred_until as "deferred_until: StoredTime",
               false as "leased!", d.fence, p.user_id, p.user_email, p.version, p.source, p.item_id,
               p.due_at as "due_at: StoredTime", p.expires_at as "expires_at: StoredTime", p.payload::text as "payload!", p.deliveries, p.traceparent
           from deliveries as d join dispatches as p on p.occurrence_id = d.occurrence_id
           where d.user_id = any($1) and d.state = 'deferred' and not d.leased and d.withdrawn is null
             and (p.user_id, p.source, p.item_id) in (select * from unnest($1::text[], $2::text[], $3::text[]))
           order by d.occurrence_id, d.channel, d.device_id
           for update of d"#,
        &users as &[&str],
        &sources as &[&str],
        &ids as &[&str],
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().filter_map(|row| pending!(row)).collect())
}

/// Returns and locks the pending and deferred deliveries of occurrences.
///
/// # Errors
/// If the statement fails.
pub async fn of_occurrences(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<Vec<PendingDelivery>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select d.occurrence_id, d.channel, d.device_id, d.state, d.attempts, d.deferred_until as "deferred_until: StoredTime",
               d.leased and d.next_attempt_at > now() as "leased!", d.fence, p.user_id, p.user_email, p.version, p.source, p.item_id,
               p.due_at as "due_at: StoredTime", p.expires_at as "expires_at: StoredTime", p.payload::text as "payload!", p.deliveries, p.traceparent
           from deliveries as d join dispatches as p on p.occurrence_id = d.occurrence_id
           where d.occurrence_id = any($1) and d.state in ('pending', 'deferred') and d.withdrawn is null
           order by d.occurrence_id, d.channel, d.device_id
           for update of d"#,
        ids,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().filter_map(|row| pending!(row)).collect())
}

/// Cancels deliveries: they end as suppressed for this reason. Those that a process holds end with
/// the attempt under way.
///
/// # Errors
/// If the statement fails.
pub async fn cancel(
    executor: impl PgExecutor<'_>,
    keys: &[DeliveryKey],
    reason: Reason,
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
             from unnest($1::uuid[], $2::text[], $3::uuid[]) as key (occurrence_id, channel, device_id)
                 join deliveries as w using (occurrence_id, channel, device_id)
         ) as target
         where d.occurrence_id = target.occurrence_id and d.channel = target.channel and d.device_id = target.device_id",
        &occurrences,
        &channels as &[&str],
        &devices,
        reason.as_str(),
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Defers deferred deliveries to another time; `None` lets them be sent as soon as they are due.
///
/// # Errors
/// If the statement fails.
pub async fn defer(
    executor: impl PgExecutor<'_>,
    keys: &[DeliveryKey],
    until: Option<DateTime<Utc>>,
) -> Result<(), sqlx::Error> {
    let (occurrences, channels, devices) = columns(keys);
    sqlx::query!(
        "update deliveries as d set next_attempt_at = greatest(coalesce($4, now()), p.due_at), deferred_until = coalesce($4, now())
         from unnest($1::uuid[], $2::text[], $3::uuid[]) as target (occurrence_id, channel, device_id)
             join dispatches as p on p.occurrence_id = target.occurrence_id
         where d.occurrence_id = target.occurrence_id and d.channel = target.channel and d.device_id = target.device_id and d.state = 'deferred'",
        &occurrences,
        &channels as &[&str],
        &devices,
        until,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Extends the expiry of occurrences.
///
/// # Errors
/// If the statement fails.
pub async fn extend_expiry(
    executor: impl PgExecutor<'_>,
    expiries: &[(Uuid, DateTime<Utc>)],
) -> Result<(), sqlx::Error> {
    let (ids, expiries): (Vec<Uuid>, Vec<DateTime<Utc>>) = expiries.iter().copied().unzip();
    sqlx::query!(
        "update dispatches set expires_at = extended.expires_at
         from unnest($1::uuid[], $2::timestamptz[]) as extended (occurrence_id, expires_at)
         where dispatches.occurrence_id = extended.occurrence_id and dispatches.expires_at < extended.expires_at",
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
