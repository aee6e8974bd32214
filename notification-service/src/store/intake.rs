//! Acceptance of occurrences: reads the devices and suppressed addresses of a whole batch, and
//! writes the batch to the ledger.

use std::{collections::HashSet, time::Duration};

use chrono::{DateTime, Utc};
use contract::{DeliveryState, Reason};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::interval;
use crate::domain::{
    delivery::{DeliveryKey, Dispatch, address_digest},
    device::{DeviceType, Token},
};

/// Device to send to.
#[derive(Debug, Clone)]
pub struct LiveDevice {
    /// Id of the device.
    pub id: Uuid,
    /// User of the device.
    pub user_id: String,
    /// Token of the device.
    pub token: Token,
    /// Type of the device; `None` if a newer version of the service stored one that this version
    /// does not know.
    pub device_type: Option<DeviceType>,
    /// Version of the device.
    pub version: i64,
}

/// Row to write to the ledger.
#[derive(Debug, Clone)]
pub struct NewDelivery<'a> {
    /// Key of the delivery.
    pub key: DeliveryKey,
    /// Id in the user's history.
    pub id: Uuid,
    /// User of the delivery.
    pub user_id: &'a str,
    /// `pending`, `deferred`, or the outcome if it ends at once.
    pub state: DeliveryState,
    /// Reason for which it ended or waits.
    pub reason: Option<Reason>,
    /// Time until which a deferred delivery waits.
    pub deferred_until: Option<DateTime<Utc>>,
    /// Time at which the occurrence is due; a pending delivery without a lease is not claimed
    /// before.
    pub due_at: DateTime<Utc>,
    /// Another time before which it is not claimed; `None`: now.
    pub not_before: Option<DateTime<Utc>>,
    /// `true` if the row is written as claimed by this process.
    pub leased: bool,
}

/// Returns the live devices of users, of each user the `limit` most recently seen ones.
///
/// # Errors
/// If the statement fails.
pub async fn live_devices(
    executor: impl PgExecutor<'_>,
    user_ids: &[String],
    limit: usize,
) -> Result<Vec<LiveDevice>, sqlx::Error> {
    let rows = sqlx::query!(
        "select id, user_id, token, device_type, version from (
             select id, user_id, token, type as device_type, version,
                 row_number() over (partition by user_id order by last_seen_at desc, id desc) as rank
             from devices where user_id = any($1) and invalidated_at is null
         ) as ranked
         where rank <= $2 order by id",
        user_ids,
        i64::try_from(limit).unwrap_or(i64::MAX),
    )
    .fetch_all(executor)
    .await?;
    let devices = rows.into_iter().map(|row| LiveDevice {
        id: row.id,
        user_id: row.user_id,
        token: Token::stored(row.token),
        device_type: row.device_type.parse().ok(),
        version: row.version,
    });
    Ok(devices.collect())
}

/// Returns those of some digests that belong to suppressed addresses.
///
/// # Errors
/// If the statement fails.
pub async fn suppressed(
    executor: impl PgExecutor<'_>,
    digests: &[Vec<u8>],
) -> Result<HashSet<Vec<u8>>, sqlx::Error> {
    let found = sqlx::query_scalar!(
        "select address_hash from suppressed_addresses where address_hash = any($1)",
        digests
    )
    .fetch_all(executor)
    .await?;
    Ok(found.into_iter().collect())
}

/// Writes dispatches and returns the ids of the new ones. `dispatches` are in the order of their
/// ids, so that two batches with the same occurrences do not deadlock.
///
/// # Errors
/// If the statement fails.
pub async fn insert_dispatches(
    connection: &mut PgConnection,
    dispatches: &[&Dispatch],
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let ids: Vec<Uuid> = dispatches.iter().map(|dispatch| dispatch.occurrence_id()).collect();
    let sources: Vec<&str> =
        dispatches.iter().map(|dispatch| dispatch.send.source.as_str()).collect();
    let items: Vec<&str> =
        dispatches.iter().map(|dispatch| dispatch.send.item_id.as_str()).collect();
    let users: Vec<&str> = dispatches.iter().map(|dispatch| dispatch.user_id.as_str()).collect();
    let emails: Vec<Option<&str>> =
        dispatches.iter().map(|dispatch| dispatch.user_email.as_deref()).collect();
    let digests: Vec<Option<Vec<u8>>> = dispatches
        .iter()
        .map(|dispatch| dispatch.user_email.as_deref().map(address_digest))
        .collect();
    let versions: Vec<i64> = dispatches.iter().map(|dispatch| dispatch.version).collect();
    let due: Vec<_> = dispatches.iter().map(|dispatch| dispatch.send.due_at).collect();
    let expiry: Vec<_> = dispatches.iter().map(|dispatch| dispatch.send.expires_at).collect();
    let payloads = dispatches
        .iter()
        .map(|dispatch| serde_json::to_string(&dispatch.send))
        .collect::<Result<Vec<_>, _>>();
    let payloads = payloads.map_err(|error| sqlx::Error::Encode(error.into()))?;
    let deliveries: Vec<i32> = dispatches.iter().map(|dispatch| dispatch.deliveries).collect();
    let traces: Vec<Option<String>> = dispatches
        .iter()
        .map(|dispatch| dispatch.traceparent.map(|trace| trace.to_string()))
        .collect();
    let new = sqlx::query_scalar!(
        r#"insert into dispatches (occurrence_id, source, item_id, user_id, user_email, address_hash, version, due_at, expires_at, payload,
               deliveries, traceparent)
           select occurrence_id, source, item_id, user_id, user_email, address_hash, version, due_at, expires_at, payload::jsonb,
               deliveries, traceparent
           from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::bigint[], $8::timestamptz[],
                       $9::timestamptz[], $10::text[], $11::int[], $12::text[])
               as new (occurrence_id, source, item_id, user_id, user_email, address_hash, version, due_at, expires_at, payload,
                       deliveries, traceparent)
           on conflict (occurrence_id) do nothing
           returning occurrence_id"#,
        &ids,
        &sources as &[&str],
        &items as &[&str],
        &users as &[&str],
        &emails as &[Option<&str>],
        &digests as &[Option<Vec<u8>>],
        &versions,
        &due,
        &expiry,
        &payloads,
        &deliveries,
        &traces as &[Option<String>],
    )
    .fetch_all(connection)
    .await?;
    Ok(new.into_iter().collect())
}

/// Writes ledger rows of dispatches that were just written; the caller holds the leased ones for
/// `lease`, under the fence token 0.
///
/// # Errors
/// If the statement fails.
pub async fn insert_deliveries(
    connection: &mut PgConnection,
    rows: &[NewDelivery<'_>],
    lease: Duration,
) -> Result<(), sqlx::Error> {
    let occurrences: Vec<Uuid> = rows.iter().map(|row| row.key.occurrence_id).collect();
    let channels: Vec<&str> = rows.iter().map(|row| row.key.channel.as_str()).collect();
    let devices: Vec<Uuid> = rows.iter().map(|row| row.key.device_id).collect();
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let users: Vec<&str> = rows.iter().map(|row| row.user_id).collect();
    let states: Vec<&str> = rows.iter().map(|row| row.state.as_str()).collect();
    let reasons: Vec<Option<&str>> =
        rows.iter().map(|row| row.reason.map(Reason::as_str)).collect();
    let leased: Vec<bool> = rows.iter().map(|row| row.leased).collect();
    let deferred: Vec<Option<DateTime<Utc>>> = rows.iter().map(|row| row.deferred_until).collect();
    let not_before: Vec<Option<DateTime<Utc>>> = rows.iter().map(|row| row.not_before).collect();
    let due: Vec<DateTime<Utc>> = rows.iter().map(|row| row.due_at).collect();
    sqlx::query!(
        "insert into deliveries (occurrence_id, channel, device_id, id, user_id, state, reason, leased, deferred_until,
             next_attempt_at, finished_at)
         select occurrence_id, channel, device_id, id, user_id, state, reason, leased, deferred_until,
             case state when 'pending' then case when leased then now() + $10 else greatest(not_before, now(), due_at) end
                 when 'deferred' then deferred_until end,
             case when state not in ('pending', 'deferred') then now() end
         from unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::bool[], $9::timestamptz[],
                     $11::timestamptz[], $12::timestamptz[])
             as new (occurrence_id, channel, device_id, id, user_id, state, reason, leased, deferred_until, not_before, due_at)",
        &occurrences,
        &channels as &[&str],
        &devices,
        &ids,
        &users as &[&str],
        &states as &[&str],
        &reasons as &[Option<&str>],
        &leased,
        &deferred as &[Option<DateTime<Utc>>],
        interval(lease),
        &not_before as &[Option<DateTime<Utc>>],
        &due,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Returns the leases of rows whose transaction's commit was not answered: no process holds them.
/// Gives the number of rows.
///
/// # Errors
/// If the statement fails.
pub async fn release(
    connection: &mut PgConnection,
    rows: &HashSet<(Uuid, Uuid)>,
) -> Result<u64, sqlx::Error> {
    let (occurrences, ids): (Vec<Uuid>, Vec<Uuid>) = rows.iter().copied().unzip();
    let released = sqlx::query!(
        "update deliveries as d set leased = false, next_attempt_at = greatest(now(), p.due_at)
         from dispatches as p
         where d.occurrence_id = any($1) and d.id = any($2) and d.state = 'pending' and d.leased and d.fence = 0
           and p.occurrence_id = d.occurrence_id",
        &occurrences,
        &ids,
    )
    .execute(connection)
    .await?;
    Ok(released.rows_affected())
}
