//! Occurrences that are claimed and cannot be published: orphans are cancelled, unreadable ones are
//! quarantined.

use std::time::Duration;

use contract::Reason;
use db::interval;
use sqlx::PgExecutor;

use super::arrays;
use crate::domain::claim::{Lease, PublishStatus};

/// Cancels occurrences whose notification is deleted or missing. Returns the number cancelled,
/// without those that a change has cancelled before.
///
/// # Errors
/// When the statement fails; the leases then run out by themselves.
pub async fn cancel_orphans(
    executor: impl PgExecutor<'_>,
    orphans: &[Lease],
) -> Result<u64, sqlx::Error> {
    let (ids, fences) = arrays(orphans);
    let ended = sqlx::query!(
        "update occurrences set state = 'cancelled', outcome_at = now(), reason = case
                 when exists (select from notifications as n where n.id = notification_id) then $3
                 else $4
             end
             from unnest($1::uuid[], $2::int[]) as claim (id, fence)
             where occurrences.id = claim.id and occurrences.fence = claim.fence and pending
               and not exists (
                   select from notifications as n
                   where n.id = occurrences.notification_id and n.state = 'active')",
        &ids,
        &fences,
        Reason::Deleted.as_str(),
        Reason::Erased.as_str(),
    )
    .execute(executor)
    .await?;
    Ok(ended.rows_affected())
}

/// Quarantines occurrences that cannot be read: they are not claimed for a time, and their reason
/// is shown in the timeline. Those that have expired end, unless they recur: the series would end
/// with them.
///
/// # Errors
/// When the statement fails; the leases then run out by themselves.
pub async fn quarantine(
    executor: impl PgExecutor<'_>,
    leases: &[Lease],
    duration: Duration,
) -> Result<(), sqlx::Error> {
    let (ids, fences) = arrays(leases);
    sqlx::query!(
        "with claimed as materialized (
                 select occurrences.id, now() > expires_at and not exists (
                     select from notifications as n where n.id = occurrences.notification_id
                         and n.recurrence is not null) as ends
                 from unnest($1::uuid[], $2::int[]) as claim (id, fence)
                      join occurrences on occurrences.id = claim.id
                          and occurrences.fence = claim.fence
                 where pending
                 order by occurrences.id for update of occurrences
             )
             update occurrences set lease_until = now() + $3, reason = $4,
                 state = case when ends then 'suppressed' else state end, outcome_at = case
                     when ends then now() end
             from claimed where occurrences.id = claimed.id",
        &ids,
        &fences,
        interval(duration),
        Reason::Unreadable.as_str(),
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Keeps occurrences pending whose recurrence rule this binary cannot read, for a time. Occurrences
/// that were published count as published: they are not published again, and a binary that can
/// create the next one marks them.
///
/// # Errors
/// When the statement fails; the leases then run out by themselves.
pub async fn keep_pending(
    executor: impl PgExecutor<'_>,
    leases: &[Lease],
    duration: Duration,
    status: PublishStatus,
) -> Result<(), sqlx::Error> {
    let (ids, fences) = arrays(leases);
    sqlx::query!(
        "update occurrences set lease_until = now() + $3, reason = $5,
                 released_at = case when $4 then coalesce(released_at, now()) else released_at end
             from unnest($1::uuid[], $2::int[]) as claim (id, fence)
             where occurrences.id = claim.id and occurrences.fence = claim.fence and pending",
        &ids,
        &fences,
        interval(duration),
        status == PublishStatus::Unknown,
        Reason::Unreadable.as_str(),
    )
    .execute(executor)
    .await?;
    Ok(())
}
