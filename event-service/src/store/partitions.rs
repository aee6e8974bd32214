//! Partitions of the event catalogue: one for each week.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// Weeks for which there is a partition before they begin.
const WEEKS_AHEAD: i32 = 4;

/// Limits the time for which a transaction waits for the catalogue's locks, so that it does not
/// delay the events that queue behind it.
///
/// # Errors
/// If the statement fails.
pub async fn limit_lock_wait(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("set local lock_timeout = '500ms'").execute(connection).await?;
    Ok(())
}

/// Creates missing partitions of the last week, this week and the weeks ahead; returns the number
/// created.
///
/// # Errors
/// If the statement fails, or others lock the catalogue for too long.
pub async fn create(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) filter (where create_events_partition(now()
                + week * interval '7 days')) as "made!"
               from generate_series(-1, $1) as week"#,
        WEEKS_AHEAD,
    )
    .fetch_one(connection)
    .await
}

/// Drops partitions of weeks that ended before a time; returns their number.
///
/// # Errors
/// If the statement fails, or others lock the catalogue for too long.
pub async fn drop_before(
    connection: &mut PgConnection,
    before: DateTime<Utc>,
) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar!(r#"select drop_events_partitions($1) as "dropped!""#, before)
        .fetch_one(connection)
        .await
}
