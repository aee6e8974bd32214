//! Deliveries that were changed or cancelled a moment ago while a process held them in memory.

use std::{collections::BTreeMap, time::Duration};

use shared::contract::Channel;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::interval;

/// An occurrence on a channel.
pub type OccurrenceOnChannel = (Uuid, Channel);

/// Version that recalls deliveries of every version: they are not wanted any more.
pub const EVERY_VERSION: i64 = i64::MAX;

/// Notes that deliveries in an older version than these are recalled.
///
/// # Errors
/// When the statement fails.
pub async fn note(
    executor: impl PgExecutor<'_>,
    recalled: &BTreeMap<OccurrenceOnChannel, i64>,
) -> Result<(), sqlx::Error> {
    if recalled.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = recalled.keys().map(|(id, _)| *id).collect();
    let channels: Vec<&str> = recalled.keys().map(|(_, channel)| channel.as_str()).collect();
    let versions: Vec<i64> = recalled.values().copied().collect();
    sqlx::query!(
        "insert into recalls (occurrence_id, channel, version)
         select * from unnest($1::uuid[], $2::text[], $3::bigint[])
         on conflict (occurrence_id, channel) do update
         set version = greatest(recalls.version, excluded.version), at = now()",
        &ids,
        &channels as &[&str],
        &versions,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Returns what was recalled within `window`, at most `limit`, the latest first.
///
/// # Errors
/// When the statement fails.
pub async fn within(
    executor: impl PgExecutor<'_>,
    window: Duration,
    limit: i64,
) -> Result<Vec<(OccurrenceOnChannel, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        "select occurrence_id, channel, version from recalls where at > now() - $1::interval order by at desc limit $2",
        interval(window),
        limit,
    )
    .fetch_all(executor)
    .await?;
    // Of a channel that this version does not know nothing is in memory.
    let known = rows
        .into_iter()
        .filter_map(|row| Some(((row.occurrence_id, row.channel.parse().ok()?), row.version)));
    Ok(known.collect())
}

/// Deletes what was recalled before `window`.
///
/// # Errors
/// When the statement fails.
pub async fn purge(executor: impl PgExecutor<'_>, window: Duration) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from recalls where at < now() - $1::interval", interval(window))
        .execute(executor)
        .await?;
    Ok(())
}
