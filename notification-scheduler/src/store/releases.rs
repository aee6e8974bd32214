//! Marks of released occurrences.

use contract::Reason;
use sqlx::PgExecutor;

use super::arrays;
use crate::domain::{claim::Lease, next_occurrences::NoLongerPending};

/// Marks published occurrences as released, if their lease is still the one under which they were
/// published; returns those that were marked.
///
/// # Errors
/// When the statement fails; nothing is marked then.
pub async fn mark(
    executor: impl PgExecutor<'_>,
    leases: &[Lease],
) -> Result<Vec<NoLongerPending>, sqlx::Error> {
    let (ids, fences) = arrays(leases);
    let rows = sqlx::query!(
        // What has no outcome yet is noted for event-service's watchdog, in the same statement.
        r#"with marked as (
             update occurrences set
                 state = occurrence_state_of(sent, failed, suppressed, deliveries),
                     released_at = coalesce(released_at, now()),
                 reason = nullif(reason, $3)
             from unnest($1::uuid[], $2::int[]) as claim (id, fence)
             where occurrences.id = claim.id and occurrences.fence = claim.fence and pending
             returning occurrences.id, notification_id, due_at, state
         ), noted as (
             insert into releases (occurrences) select array_agg(id) from marked
                 where state = 'released' having count(*) > 0
         )
         select notification_id as "notification_id!", due_at as "due_at!" from marked"#,
        &ids,
        &fences,
        Reason::Unreadable.as_str(),
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| (row.notification_id, row.due_at)).collect())
}

/// Counts leases that are over: another scheduler has claimed their occurrences since.
///
/// # Errors
/// When the statement fails.
pub async fn count_stale(
    executor: impl PgExecutor<'_>,
    leases: &[Lease],
) -> Result<u64, sqlx::Error> {
    let (ids, fences) = arrays(leases);
    let stale = sqlx::query_scalar!(
        r#"select count(*) as "count!" from unnest($1::uuid[], $2::int[]) as claim (id, fence)
               join occurrences on occurrences.id = claim.id
                   where occurrences.fence <> claim.fence"#,
        &ids,
        &fences,
    )
    .fetch_one(executor)
    .await?;
    Ok(stale.unsigned_abs())
}
