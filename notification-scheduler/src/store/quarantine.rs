//! Occurrences that are claimed and cannot be published: orphans are cancelled, unreadable ones are
//! quarantined.

use std::time::Duration;

use contract::Reason;
use uuid::Uuid;

use super::{Claimed, PublishStatus, Store, StoreError, interval, sorted_keys};

/// Time for which an occurrence is quarantined whose notification or recurrence rule this binary
/// cannot read.
const QUARANTINE: Duration = Duration::from_secs(60);

impl Store {
    /// Cancels occurrences whose notification is deleted or missing. Returns the number cancelled,
    /// without those that a change has cancelled before.
    ///
    /// # Errors
    /// When the statement fails; the leases then run out by themselves.
    pub async fn end_orphans(&self, orphans: &[(Uuid, i32)]) -> Result<u64, StoreError> {
        let (ids, fences): (Vec<Uuid>, Vec<i32>) = orphans.iter().copied().unzip();
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
        .execute(&self.pool)
        .await
        .map_err(StoreError::of("end occurrences without a notification"))?;
        Ok(ended.rows_affected())
    }

    /// Quarantines occurrences that cannot be read: they are not claimed for a minute, and their
    /// reason is shown in the timeline. Those that have expired end, unless they recur: the series
    /// would end with them.
    ///
    /// # Errors
    /// When the statement fails; the leases then run out by themselves.
    pub async fn quarantine(&self, claims: &[(Uuid, i32)]) -> Result<(), StoreError> {
        let (ids, fences): (Vec<Uuid>, Vec<i32>) = claims.iter().copied().unzip();
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
            interval(QUARANTINE),
            Reason::Unreadable.as_str(),
        )
        .execute(&self.pool)
        .await
        .map_err(StoreError::of("set aside what cannot be read"))?;
        Ok(())
    }

    /// Keeps occurrences pending whose recurrence rule this binary cannot read, for a minute at a
    /// time. Occurrences that were published count as published: they are not published again, and
    /// a binary that can create the next one marks them.
    ///
    /// # Errors
    /// When the statement fails; the leases then run out by themselves.
    pub(crate) async fn keep_pending(
        &self,
        claims: &[&Claimed],
        status: PublishStatus,
    ) -> Result<(), StoreError> {
        if claims.is_empty() {
            return Ok(());
        }
        let (ids, fences) = sorted_keys(claims.iter().copied());
        sqlx::query!(
            "update occurrences set lease_until = now() + $3, reason = $5,
                 released_at = case when $4 then coalesce(released_at, now()) else released_at end
             from unnest($1::uuid[], $2::int[]) as claim (id, fence)
             where occurrences.id = claim.id and occurrences.fence = claim.fence and pending",
            &ids,
            &fences,
            interval(QUARANTINE),
            status == PublishStatus::Unknown,
            Reason::Unreadable.as_str(),
        )
        .execute(&self.pool)
        .await
        .map_err(StoreError::of("set aside occurrences of series that cannot be followed"))?;
        Ok(())
    }
}
