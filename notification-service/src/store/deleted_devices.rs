//! Devices that were deleted a moment ago: removed, or their token registered by another user.

use std::time::Duration;

use sqlx::PgExecutor;
use uuid::Uuid;

use super::interval;

/// Returns the devices deleted within `window`, at most `limit`, the latest first.
///
/// # Errors
/// If the statement fails.
pub async fn within(
    executor: impl PgExecutor<'_>,
    window: Duration,
    limit: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select device_id from departed_devices where at > now() - $1::interval order by at desc limit $2",
        interval(window),
        limit,
    )
    .fetch_all(executor)
    .await
}

/// Deletes the entries of devices that were deleted before `window`.
///
/// # Errors
/// If the statement fails.
pub async fn purge(executor: impl PgExecutor<'_>, window: Duration) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from departed_devices where at < now() - $1::interval", interval(window))
        .execute(executor)
        .await?;
    Ok(())
}
