//! Recalls: claims of deliveries that were revised or cancelled a moment ago while a process held
//! them in memory.

use std::time::Duration;

use contract::Channel;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::interval;
use crate::domain::delivery::DeliveryKey;

/// Claim of a delivery: its key, and the fence token of the claim.
pub type ClaimOf = (DeliveryKey, i32);

/// Recalls claims. Each delivery occurs at most once.
///
/// # Errors
/// If the statement fails.
pub async fn note(executor: impl PgExecutor<'_>, recalled: &[ClaimOf]) -> Result<(), sqlx::Error> {
    if recalled.is_empty() {
        return Ok(());
    }
    let occurrences: Vec<Uuid> = recalled.iter().map(|(key, _)| key.occurrence_id).collect();
    let channels: Vec<&str> =
        recalled.iter().map(|(key, _)| Channel::as_str(key.channel)).collect();
    let devices: Vec<Uuid> = recalled.iter().map(|(key, _)| key.device_id).collect();
    let fences: Vec<i32> = recalled.iter().map(|(_, fence)| *fence).collect();
    sqlx::query!(
        "insert into recalls (occurrence_id, channel, device_id, fence)
         select * from unnest($1::uuid[], $2::text[], $3::uuid[], $4::int[])
         on conflict (occurrence_id, channel, device_id) do update set fence = excluded.fence, at = now()",
        &occurrences,
        &channels as &[&str],
        &devices,
        &fences,
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
) -> Result<Vec<ClaimOf>, sqlx::Error> {
    let rows = sqlx::query!(
        "select occurrence_id, channel, device_id, fence from recalls where at > now() - $1::interval order by at desc limit $2",
        interval(window),
        limit,
    )
    .fetch_all(executor)
    .await?;
    // This version holds no delivery of a channel that it does not know.
    let known = rows.into_iter().filter_map(|row| {
        let channel = row.channel.parse().ok()?;
        let key =
            DeliveryKey { occurrence_id: row.occurrence_id, channel, device_id: row.device_id };
        Some((key, row.fence))
    });
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
