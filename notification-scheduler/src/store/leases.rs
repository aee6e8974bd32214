//! Return of leases.

use sqlx::PgExecutor;

use super::arrays;
use crate::domain::claim::{Lease, PublishStatus};

/// Returns leases, so that any scheduler may claim the occurrences again at once. Occurrences that
/// the topic may have accepted, under this lease or an earlier one, stay recognisable as leased: a
/// command for an edit or a deletion still follows them.
///
/// # Errors
/// When the statement fails; the leases then run out by themselves.
pub async fn return_leases(
    executor: impl PgExecutor<'_>,
    leases: &[Lease],
    status: PublishStatus,
) -> Result<(), sqlx::Error> {
    let (ids, fences) = arrays(leases);
    sqlx::query!(
        "update occurrences set lease_until = case when $3 or occurrences.fence > 1 then now()
                else '-infinity' end
             from unnest($1::uuid[], $2::int[]) as claim (id, fence)
             where occurrences.id = claim.id and occurrences.fence = claim.fence and pending",
        &ids,
        &fences,
        status == PublishStatus::Unknown,
    )
    .execute(executor)
    .await?;
    Ok(())
}
