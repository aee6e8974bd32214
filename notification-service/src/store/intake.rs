//! What the consumer needs: the devices and suppressed addresses of a whole batch, and the batch
//! into the ledger.

use std::{collections::HashSet, time::Duration};

use chrono::{DateTime, Utc};
use shared::contract::DeliveryState;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::interval;
use crate::{
    delivery::{DeliveryKey, Dispatch, address_digest},
    device::{DeviceType, Token},
};

/// A device to send to.
#[derive(Debug, Clone)]
pub struct LiveDevice {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: String,
    /// Its token.
    pub token: Token,
    /// The type; none if a newer version stored one that this version does not know.
    pub device_type: Option<DeviceType>,
    /// Its version.
    pub version: i64,
}

/// A row for the ledger.
#[derive(Debug, Clone)]
pub struct NewDelivery<'a> {
    /// Its key.
    pub key: DeliveryKey,
    /// Its id in the user's history.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: &'a str,
    /// `pending`, `deferred`, or how it ended at once.
    pub state: DeliveryState,
    /// Why it ended or waits.
    pub reason: Option<&'static str>,
    /// Of a deferred one: until when.
    pub deferred_until: Option<DateTime<Utc>>,
    /// Of a pending one that nobody holds: when it may be claimed; none: now.
    pub not_before: Option<DateTime<Utc>>,
    /// Whether it is claimed as it is written.
    pub leased: bool,
}

/// The living devices of users: of each the `limit` that were seen most recently.
///
/// # Errors
/// When the statement fails.
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

/// Which of these digests belong to suppressed addresses.
///
/// # Errors
/// When the statement fails.
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

/// Writes dispatches; the ids of those that were not known before. `dispatches` are in the order of
/// their ids, so that two batches with the same occurrences wait for each other and never for good.
///
/// # Errors
/// When the statement fails.
pub async fn insert_dispatches(
    connection: &mut PgConnection,
    dispatches: &[&Dispatch],
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let ids: Vec<Uuid> = dispatches.iter().map(|it| it.occurrence_id()).collect();
    let sources: Vec<&str> = dispatches.iter().map(|it| it.send.source.as_str()).collect();
    let items: Vec<&str> = dispatches.iter().map(|it| it.send.item_id.as_str()).collect();
    let users: Vec<&str> = dispatches.iter().map(|it| it.user_id.as_str()).collect();
    let emails: Vec<Option<&str>> = dispatches.iter().map(|it| it.user_email.as_deref()).collect();
    let digests: Vec<Option<Vec<u8>>> =
        dispatches.iter().map(|it| it.user_email.as_deref().map(address_digest)).collect();
    let versions: Vec<i64> = dispatches.iter().map(|it| it.version).collect();
    let due: Vec<_> = dispatches.iter().map(|it| it.send.due_at).collect();
    let expiry: Vec<_> = dispatches.iter().map(|it| it.send.expires_at).collect();
    let payloads =
        dispatches.iter().map(|it| serde_json::to_string(&it.send)).collect::<Result<Vec<_>, _>>();
    let payloads = payloads.map_err(|error| sqlx::Error::Encode(error.into()))?;
    let deliveries: Vec<i32> = dispatches.iter().map(|it| it.deliveries).collect();
    let traces: Vec<Option<String>> =
        dispatches.iter().map(|it| it.traceparent.map(|trace| trace.to_string())).collect();
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

/// Writes ledger rows of dispatches that were just written; the leased ones belong to the caller
/// for `lease`, with fence 0.
///
/// # Errors
/// When the statement fails.
pub async fn insert_deliveries(
    connection: &mut PgConnection,
    rows: &[NewDelivery<'_>],
    lease: Duration,
) -> Result<(), sqlx::Error> {
    let occurrences: Vec<Uuid> = rows.iter().map(|it| it.key.occurrence_id).collect();
    let channels: Vec<&str> = rows.iter().map(|it| it.key.channel.as_str()).collect();
    let devices: Vec<Uuid> = rows.iter().map(|it| it.key.device_id).collect();
    let ids: Vec<Uuid> = rows.iter().map(|it| it.id).collect();
    let users: Vec<&str> = rows.iter().map(|it| it.user_id).collect();
    let states: Vec<&str> = rows.iter().map(|it| it.state.as_str()).collect();
    let reasons: Vec<Option<&str>> = rows.iter().map(|it| it.reason).collect();
    let leased: Vec<bool> = rows.iter().map(|it| it.leased).collect();
    let deferred: Vec<Option<DateTime<Utc>>> = rows.iter().map(|it| it.deferred_until).collect();
    let not_before: Vec<Option<DateTime<Utc>>> = rows.iter().map(|row| row.not_before).collect();
    sqlx::query!(
        "insert into deliveries (occurrence_id, channel, device_id, id, user_id, state, reason, leased, deferred_until,
             next_attempt_at, finished_at)
         select occurrence_id, channel, device_id, id, user_id, state, reason, leased, deferred_until,
             case state when 'pending' then case when leased then now() + $10 else coalesce(not_before, now()) end
                 when 'deferred' then deferred_until end,
             case when state not in ('pending', 'deferred') then now() end
         from unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::bool[], $9::timestamptz[],
                     $11::timestamptz[])
             as new (occurrence_id, channel, device_id, id, user_id, state, reason, leased, deferred_until, not_before)",
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
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Lets others claim rows that a transaction leased whose commit was not answered: nobody holds
/// them. Returns how many they were.
///
/// # Errors
/// When the statement fails.
pub async fn release(
    connection: &mut PgConnection,
    rows: &HashSet<(Uuid, Uuid)>,
) -> Result<u64, sqlx::Error> {
    let (occurrences, ids): (Vec<Uuid>, Vec<Uuid>) = rows.iter().copied().unzip();
    let released = sqlx::query!(
        "update deliveries set leased = false, next_attempt_at = now()
         where occurrence_id = any($1) and id = any($2) and state = 'pending' and leased and fence = 0",
        &occurrences,
        &ids,
    )
    .execute(connection)
    .await?;
    Ok(released.rows_affected())
}
