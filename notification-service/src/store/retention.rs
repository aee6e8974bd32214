//! Purge of old deliveries.

use chrono::TimeDelta;
use sqlx::{PgPool, postgres::types::PgInterval};
use uuid::Uuid;

use super::erasures::delete_occurrences;

/// Occurrences that are deleted in one transaction.
const CHUNK: i64 = 1_000;

/// Deletes occurrences that arrived longer ago than `kept`, with their deliveries, a bounded number
/// at a time; returns the number of occurrences deleted. An occurrence with a pending delivery
/// stays.
///
/// # Errors
/// If a statement fails.
pub async fn purge_old(pool: &PgPool, kept: TimeDelta) -> Result<u64, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let old: Vec<Uuid> = sqlx::query_scalar!(
        "select occurrence_id from dispatches as p
         where received_at < now() - $1::interval and not exists (
             select from deliveries as d where d.occurrence_id = p.occurrence_id and d.state in ('pending', 'deferred'))
         order by received_at limit $2
         for update skip locked",
        PgInterval {
            months: 0,
            days: 0,
            microseconds: kept.num_microseconds().unwrap_or(i64::MAX),
        },
        CHUNK,
    )
    .fetch_all(&mut *transaction)
    .await?;
    let deleted =
        if old.is_empty() { 0 } else { delete_occurrences(&mut transaction, &old).await? };
    transaction.commit().await?;
    Ok(deleted)
}
