//! Quarantines occurrences that this binary cannot read, and cancels those whose notification does
//! not exist any more.

use std::time::Duration;

use sqlx::PgPool;

use super::Error;
use crate::{
    domain::claim::{Batch, Claimed, Lease, PublishStatus, sorted_leases},
    store,
};

/// Time for which an occurrence is quarantined whose notification or recurrence rule this binary
/// cannot read.
pub const QUARANTINE: Duration = Duration::from_secs(60);

/// Cancels occurrences whose notification is deleted, and quarantines those that cannot be read:
/// each alone, whatever else is in the batch.
pub(super) async fn cancel_orphans_and_quarantine(pool: &PgPool, batch: &Batch) {
    if !batch.orphans.is_empty() {
        cancel_orphans(pool, &batch.orphans).await;
    }
    if batch.unreadable.is_empty() {
        return;
    }
    for unreadable in &batch.unreadable {
        tracing::error!(
            occurrence.id = %unreadable.lease.id.simple(),
            problem = unreadable.problem,
            "occurrence is unreadable by this version, was quarantined"
        );
    }
    metrics::counter!("reminders_scheduler_unreadable_total")
        .increment(batch.unreadable.len() as u64);
    let leases: Vec<Lease> = batch.unreadable.iter().map(|unreadable| unreadable.lease).collect();
    let quarantined = store::quarantine::quarantine(pool, &leases, QUARANTINE)
        .await
        .map_err(Error::of("quarantine unreadable occurrences"));
    if let Err(error) = quarantined {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "unreadable occurrences were not quarantined, will retry"
        );
    }
}

async fn cancel_orphans(pool: &PgPool, orphans: &[Lease]) {
    let cancelled = store::quarantine::cancel_orphans(pool, orphans)
        .await
        .map_err(Error::of("cancel occurrences without a notification"));
    match cancelled {
        Ok(0) => {}
        Ok(cancelled) => {
            tracing::warn!(
                occurrences = cancelled,
                "notification deleted or erased, occurrences cancelled"
            );
            metrics::counter!("reminders_scheduler_orphans_total").increment(cancelled);
        }
        Err(error) => tracing::warn!(
            error = &error as &dyn std::error::Error,
            "occurrences without a notification were not cancelled, will retry with the next lease"
        ),
    }
}

/// Keeps occurrences pending whose recurrence rule this binary cannot read, for a minute at a time.
pub(super) async fn keep_pending(
    pool: &PgPool,
    claims: &[&Claimed],
    status: PublishStatus,
) -> Result<(), Error> {
    if claims.is_empty() {
        return Ok(());
    }
    let leases = sorted_leases(claims.iter().copied());
    store::quarantine::keep_pending(pool, &leases, QUARANTINE, status)
        .await
        .map_err(Error::of("quarantine occurrences of series that cannot be read"))
}
