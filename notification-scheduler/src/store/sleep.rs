//! Announcement that schedulers are about to sleep.

use db::{interval, wake::ANNOUNCEMENT};
use sqlx::PgExecutor;

/// Announces a sleep to event-service; returns `false` if somebody is withdrawing an announcement.
///
/// # Errors
/// When the statement fails.
pub async fn announce(executor: impl PgExecutor<'_>) -> Result<bool, sqlx::Error> {
    let announced = sqlx::query!(
        "with free as (select only_row from scheduler_sleep for update skip locked)
         update scheduler_sleep as sleep set asleep_until = now() + $1
         from free where sleep.only_row = free.only_row",
        interval(ANNOUNCEMENT),
    )
    .execute(executor)
    .await?;
    Ok(announced.rows_affected() > 0)
}
