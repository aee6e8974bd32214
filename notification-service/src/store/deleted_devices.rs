//! Devices that were deleted a moment ago: removed, or their token moved to another user.

use std::time::Duration;

use sqlx::PgExecutor;
use uuid::Uuid;

use super::interval;

/// The devices deleted within `window`, at most `limit`, the latest first.
///
/// # Errors
/// When the statement fails.
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

/// Forgets devices that were deleted before `window`.
///
/// # Errors
/// When the statement fails.
pub async fn purge(executor: impl PgExecutor<'_>, window: Duration) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from departed_devices where at < now() - $1::interval", interval(window))
        .execute(executor)
        .await?;
    Ok(())
}
