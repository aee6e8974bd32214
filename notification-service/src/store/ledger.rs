//! Ledger of deliveries: claims and results.
//!
//! A claim raises a row's fence token and moves `next_attempt_at` to the end of the lease. A result
//! is written only under the fence token of its claim, so that a worker that was paused past its
//! lease changes nothing. A deferred row is claimed like a pending one once the quiet hours are
//! over.

use std::time::Duration;

use chrono::{DateTime, Utc};
use contract::{Channel, Reason};
use db::StoredTime;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::{interval, payload};
use crate::domain::{
    delivery::{Address, Delivery, DeliveryKey, DeliveryResult, NewState, cancellation_reason},
    device::Token,
};

/// Rows that a claim chooses, and the length of its lease.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// Most rows; the latest ones first.
    pub limit: usize,
    /// Time before which no due rows are left; `None` considers all rows.
    pub due_since: Option<DateTime<Utc>>,
    /// Length of the lease.
    pub lease: Duration,
    /// Time for which the database must have been up for rows to be claimed whose lease ran out;
    /// `None` claims none of them. After a restart of the database, processes first write the
    /// results of what they sent meanwhile.
    pub takeover: Option<Duration>,
}

/// Builds the dispatch of a row; the second value is `true` if its payload could be read.
macro_rules! dispatch {
    ($row:expr) => {{
        let columns = $crate::store::payload::Columns {
            occurrence_id: $row.occurrence_id,
            source: $row.source,
            item_id: $row.item_id,
            due_at: $row.due_at,
            expires_at: $row.expires_at,
        };
        let (send, is_readable) = $crate::store::payload::send(&$row.payload, columns);
        let dispatch = $crate::domain::delivery::Dispatch {
            user_id: $row.user_id,
            user_email: $row.user_email,
            version: $row.version,
            send,
            deliveries: $row.deliveries,
            traceparent: $row.traceparent.and_then(|text| text.parse().ok()),
            arrival: None,
        };
        (std::sync::Arc::new(dispatch), is_readable)
    }};
}
pub(super) use dispatch;

/// Claims pushes that are due, with the tokens of their devices as they are now.
///
/// # Errors
/// When the statement fails.
pub async fn claim_pushes(
    executor: impl PgExecutor<'_>,
    claim: Claim,
) -> Result<Vec<Delivery>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"with due as materialized (
               select occurrence_id, device_id from deliveries
               where channel = 'push' and state in ('pending', 'deferred') and next_attempt_at <= now()
                 and next_attempt_at >= coalesce($2, '-infinity'::timestamptz)
                 and (not leased or ($4 and now() >= pg_postmaster_start_time() + $5::interval))
               order by next_attempt_at limit $1
               for update skip locked
           )
           update deliveries as d set state = 'pending', leased = true, next_attempt_at = now() + $3, fence = d.fence % 2147483647 + 1
           from due
               join dispatches as p on p.occurrence_id = due.occurrence_id
               left join devices as v on v.id = due.device_id and v.user_id = p.user_id and v.invalidated_at is null
           where d.occurrence_id = due.occurrence_id and d.channel = 'push' and d.device_id = due.device_id
           returning d.occurrence_id, d.device_id, d.attempts, d.first_attempt_at as "first_attempt_at: StoredTime", d.fence,
               d.deferred_until as "deferred_until: StoredTime", d.withdrawn, p.user_id, p.user_email, p.version, p.source, p.item_id,
               p.due_at as "due_at: StoredTime", p.expires_at as "expires_at: StoredTime",
               p.payload::text as "payload!", p.deliveries, p.traceparent,
               v.token as "token?", v.type as "device_type?", v.version as "device_version?""#,
        claim.limit as i64,
        claim.due_since,
        interval(claim.lease),
        claim.takeover.is_some(),
        interval(claim.takeover.unwrap_or_default()),
    )
    .fetch_all(executor)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let key = DeliveryKey {
            occurrence_id: row.occurrence_id,
            channel: Channel::Push,
            device_id: row.device_id,
        };
        let (attempts, first_attempt_at, fence) =
            (row.attempts, row.first_attempt_at.map(StoredTime::nearest), row.fence);
        let deferred_until = row.deferred_until.map(StoredTime::nearest);
        let device = row.token.zip(row.device_type).zip(row.device_version);
        let cancelled = row.withdrawn;
        let (dispatch, is_readable) = dispatch!(row);
        let address = match (cancelled, device) {
            (Some(code), _) => Address::Gone(cancellation_reason(Some(&code))),
            (None, _) if !is_readable => Address::Gone(Reason::Unreadable),
            (None, Some(((token, device_type), version))) => {
                device_address(row.device_id, token, &device_type, version)
            }
            (None, None) => Address::Gone(Reason::DeviceGone),
        };
        Delivery { key, dispatch, address, attempts, first_attempt_at, fence, deferred_until }
    });
    Ok(rows.collect())
}

fn device_address(id: Uuid, token: String, device_type: &str, version: i64) -> Address {
    match device_type.parse() {
        Ok(device_type) => Address::Device { token: Token::stored(token), device_type, version },
        Err(_) => {
            payload::note("devices", id);
            Address::Gone(Reason::Unreadable)
        }
    }
}

/// Claims e-mails that are due, unless their address was suppressed meanwhile.
///
/// # Errors
/// When the statement fails.
pub async fn claim_emails(
    executor: impl PgExecutor<'_>,
    claim: Claim,
) -> Result<Vec<Delivery>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"with due as materialized (
               select occurrence_id from deliveries
               where channel = 'email' and state in ('pending', 'deferred') and next_attempt_at <= now()
                 and next_attempt_at >= coalesce($2, '-infinity'::timestamptz)
                 and (not leased or ($4 and now() >= pg_postmaster_start_time() + $5::interval))
               order by next_attempt_at limit $1
               for update skip locked
           )
           update deliveries as d set state = 'pending', leased = true, next_attempt_at = now() + $3, fence = d.fence % 2147483647 + 1
           from due
               join dispatches as p on p.occurrence_id = due.occurrence_id
               left join suppressed_addresses as s on s.address_hash = p.address_hash
           where d.occurrence_id = due.occurrence_id and d.channel = 'email'
           returning d.occurrence_id, d.device_id, d.attempts, d.first_attempt_at as "first_attempt_at: StoredTime", d.fence,
               d.deferred_until as "deferred_until: StoredTime", d.withdrawn, p.user_id, p.user_email, p.version, p.source, p.item_id,
               p.due_at as "due_at: StoredTime", p.expires_at as "expires_at: StoredTime",
               p.payload::text as "payload!", p.deliveries, p.traceparent,
               s.address_hash is not null as "suppressed!""#,
        claim.limit as i64,
        claim.due_since,
        interval(claim.lease),
        claim.takeover.is_some(),
        interval(claim.takeover.unwrap_or_default()),
    )
    .fetch_all(executor)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let key = DeliveryKey {
            occurrence_id: row.occurrence_id,
            channel: Channel::Email,
            device_id: row.device_id,
        };
        let (attempts, first_attempt_at, fence) =
            (row.attempts, row.first_attempt_at.map(StoredTime::nearest), row.fence);
        let deferred_until = row.deferred_until.map(StoredTime::nearest);
        let (is_suppressed, cancelled) = (row.suppressed, row.withdrawn);
        let (dispatch, is_readable) = dispatch!(row);
        let address = match (cancelled, &dispatch.user_email) {
            (Some(code), _) => Address::Gone(cancellation_reason(Some(&code))),
            (None, _) if !is_readable => Address::Gone(Reason::Unreadable),
            (None, _) if is_suppressed => Address::Gone(Reason::AddressSuppressed),
            (None, Some(address)) => Address::Mailbox(address.clone()),
            (None, None) => Address::Gone(Reason::NoAddress),
        };
        Delivery { key, dispatch, address, attempts, first_attempt_at, fence, deferred_until }
    });
    Ok(rows.collect())
}

/// Claimed delivery that its process no longer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Released {
    key: DeliveryKey,
    fence: i32,
    /// Time before which it is not claimed again; `None`: now.
    not_before: Option<DateTime<Utc>>,
}

impl Released {
    /// Creates the entry of a delivery whose lease is returned. The delivery may be claimed again
    /// from `not_before` on, or at once.
    #[must_use]
    pub fn of(delivery: &Delivery, not_before: Option<DateTime<Utc>>) -> Self {
        Self { key: delivery.key, fence: delivery.fence, not_before }
    }
}

/// Returns the leases of deliveries whose fence token is still valid, as if they had never been
/// claimed.
///
/// # Errors
/// When the statement fails.
pub async fn release(executor: impl PgExecutor<'_>, rows: &[Released]) -> Result<(), sqlx::Error> {
    let mut rows = rows.to_vec();
    // In the order in which the result writer locks them.
    rows.sort_unstable_by_key(|row| row.key.order());
    let occurrences: Vec<Uuid> = rows.iter().map(|row| row.key.occurrence_id).collect();
    let channels: Vec<&str> = rows.iter().map(|row| row.key.channel.as_str()).collect();
    let devices: Vec<Uuid> = rows.iter().map(|row| row.key.device_id).collect();
    let fences: Vec<i32> = rows.iter().map(|row| row.fence).collect();
    let not_before: Vec<Option<DateTime<Utc>>> = rows.iter().map(|row| row.not_before).collect();
    sqlx::query!(
        "update deliveries as d
         set leased = false, next_attempt_at = coalesce(released.not_before, now()),
             reason = case when released.not_before is null then d.reason else coalesce(d.reason, $6) end
         from unnest($1::uuid[], $2::text[], $3::uuid[], $4::int[], $5::timestamptz[])
             as released (occurrence_id, channel, device_id, fence, not_before)
         where d.occurrence_id = released.occurrence_id and d.channel = released.channel and d.device_id = released.device_id
           and d.fence = released.fence and d.state = 'pending' and d.leased",
        &occurrences,
        &channels as &[&str],
        &devices,
        &fences,
        &not_before as &[Option<DateTime<Utc>>],
        Reason::RateLimited.as_str(),
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Result that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Position of the result among those given.
    pub position: usize,
    /// Reason for which the delivery was cancelled, and ended in place of waiting for a retry.
    pub cancelled: Option<Reason>,
}

/// Writes results and returns those that were written; the fence tokens of the others were void.
///
/// # Errors
/// When the statement fails.
pub async fn write_results(
    executor: impl PgExecutor<'_>,
    results: &[DeliveryResult],
) -> Result<Vec<Written>, sqlx::Error> {
    let key = |result: &DeliveryResult| result.delivery.key;
    let occurrences: Vec<Uuid> = results.iter().map(|result| key(result).occurrence_id).collect();
    let channels: Vec<&str> = results.iter().map(|result| key(result).channel.as_str()).collect();
    let devices: Vec<Uuid> = results.iter().map(|result| key(result).device_id).collect();
    let fences: Vec<i32> = results.iter().map(|result| result.delivery.fence).collect();
    let states: Vec<&str> = results.iter().map(|result| result.state().as_str()).collect();
    let reasons: Vec<Option<&str>> =
        results.iter().map(|result| result.reason().map(Reason::as_str)).collect();
    let attempts: Vec<i32> = results.iter().map(|result| result.attempts).collect();
    let firsts: Vec<Option<DateTime<Utc>>> =
        results.iter().map(|result| result.started_at).collect();
    let next: Vec<Option<DateTime<Utc>>> = results.iter().map(next_attempt_at).collect();
    let finished: Vec<Option<DateTime<Utc>>> = results
        .iter()
        .map(|result| matches!(result.new_state, NewState::Final { .. }).then_some(result.at))
        .collect();
    let provider: Vec<Option<&str>> = results.iter().map(provider_message_id).collect();
    let written = sqlx::query!(
        r#"update deliveries as d
           set state = case when new.state = 'pending' and d.withdrawn is not null then 'suppressed' else new.state end,
               attempts = new.attempts, leased = false,
               next_attempt_at = case when d.withdrawn is null then new.next_attempt_at end,
               first_attempt_at = coalesce(d.first_attempt_at, new.first_attempt_at),
               finished_at = case when new.state = 'pending' and d.withdrawn is not null then now() else new.finished_at end,
               provider_message_id = new.provider_message_id,
               reason = case when new.state = 'pending' then coalesce(d.withdrawn, new.reason, d.reason) else new.reason end
           from unnest($1::uuid[], $2::text[], $3::uuid[], $4::int[], $5::text[], $6::text[], $7::int[], $8::timestamptz[],
                       $9::timestamptz[], $10::timestamptz[], $11::text[])
               with ordinality as new (occurrence_id, channel, device_id, fence, state, reason, attempts, first_attempt_at,
                                       next_attempt_at, finished_at, provider_message_id, position)
           where d.occurrence_id = new.occurrence_id and d.channel = new.channel and d.device_id = new.device_id
             and d.fence = new.fence and d.state = 'pending'
           returning new.position as "position!", case when new.state = 'pending' then d.withdrawn end as withdrawn"#,
        &occurrences,
        &channels as &[&str],
        &devices,
        &fences,
        &states as &[&str],
        &reasons as &[Option<&str>],
        &attempts,
        &firsts as &[Option<DateTime<Utc>>],
        &next as &[Option<DateTime<Utc>>],
        &finished as &[Option<DateTime<Utc>>],
        &provider as &[Option<&str>],
    )
    .fetch_all(executor)
    .await?;
    let position = |position: i64| usize::try_from(position - 1).ok();
    Ok(written
        .into_iter()
        .filter_map(|row| {
            let cancelled = row.withdrawn.map(|code| cancellation_reason(Some(&code)));
            Some(Written { position: position(row.position)?, cancelled })
        })
        .collect())
}

fn next_attempt_at(result: &DeliveryResult) -> Option<DateTime<Utc>> {
    match result.new_state {
        NewState::Pending { next_attempt_at, .. } => Some(next_attempt_at),
        NewState::Final { .. } => None,
    }
}

fn provider_message_id(result: &DeliveryResult) -> Option<&str> {
    match &result.new_state {
        NewState::Final { provider_message_id, .. } => provider_message_id.as_deref(),
        NewState::Pending { .. } => None,
    }
}

/// Returns the time until the next pending delivery of a channel may be claimed; `None` if there is
/// none.
///
/// # Errors
/// If the statement fails.
pub async fn time_until_due(
    executor: impl PgExecutor<'_>,
    channel: Channel,
) -> Result<Option<Duration>, sqlx::Error> {
    let seconds = sqlx::query_scalar!(
        r#"select extract(epoch from least(next_attempt_at, now() + interval '1 minute') - now())::float8 as "seconds!"
           from deliveries
           where channel = $1 and state in ('pending', 'deferred') and next_attempt_at > now()
           order by next_attempt_at limit 1"#,
        channel.as_str(),
    )
    .fetch_optional(executor)
    .await?;
    Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()))
}
