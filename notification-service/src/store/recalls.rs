//! Recalls: deliveries that were revised or cancelled a moment ago while a process held them in
//! memory.

use std::{collections::BTreeMap, time::Duration};

use contract::Channel;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::interval;

/// Occurrence on a channel.
pub type OccurrenceOnChannel = (Uuid, Channel);

/// Version that recalls deliveries of every version: they are cancelled.
pub const EVERY_VERSION: i64 = i64::MAX;

/// Recalls deliveries of versions older than these.
///
/// # Errors
/// If the statement fails.
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

/// Returns the recalls that are no older than `window`, at most `limit`, the latest first.
///
/// # Errors
/// If the statement fails.
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
    // This version holds no delivery of a channel that it does not know.
    let known = rows
        .into_iter()
        .filter_map(|row| Some(((row.occurrence_id, row.channel.parse().ok()?), row.version)));
    Ok(known.collect())
}

/// Deletes recalls that are older than `window`.
///
/// # Errors
/// If the statement fails.
pub async fn purge(executor: impl PgExecutor<'_>, window: Duration) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from recalls where at < now() - $1::interval", interval(window))
        .execute(executor)
        .await?;
    Ok(())
}
