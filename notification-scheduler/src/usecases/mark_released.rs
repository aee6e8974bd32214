//! Marks published occurrences as released, and creates the next ones of their series.

use sqlx::PgPool;

use super::{Error, compute_next_occurrences, quarantine_unreadable::keep_pending};
use crate::{
    domain::claim::{Claimed, Lease, PublishStatus, sorted_leases},
    store::releases,
};

const ACTION: &str = "mark released occurrences";

/// Result of marking occurrences as released.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marked {
    /// Marked as released.
    pub released: u64,
    /// Refused: another scheduler has claimed them since.
    pub stale: u64,
    /// No longer pending: their outcome arrived before the mark and they do not recur, or they were
    /// cancelled meanwhile.
    pub settled: u64,
    /// Still pending, because this binary cannot read their recurrence rule.
    pub kept_pending: u64,
}

/// Marks published occurrences as released, if their lease is still the one under which they were
/// published. The next occurrence of a recurring notification is created in the same transaction.
/// An occurrence whose recurrence rule cannot be read stays pending, as published.
///
/// # Errors
/// When a statement fails; nothing is marked then, or nothing but what can be marked.
pub async fn mark_released(pool: &PgPool, claims: &[Claimed]) -> Result<Marked, Error> {
    let recurring: Vec<&Claimed> = claims.iter().filter(|claimed| claimed.recurs).collect();
    if recurring.is_empty() {
        let leases = sorted_leases(claims);
        let released = releases::mark(pool, &leases).await.map_err(Error::of(ACTION))?.len();
        return marked(pool, &leases, released, 0).await;
    }
    let prepared = compute_next_occurrences::prepare(pool, &recurring).await?;
    let mut transaction = pool.begin().await.map_err(Error::of(ACTION))?;
    // Before the occurrences, as event-service locks them.
    let next = compute_next_occurrences::lock(&mut transaction, &recurring, prepared).await?;
    let (staying_pending, others): (Vec<&Claimed>, Vec<&Claimed>) =
        claims.iter().partition(|claimed| claimed.recurs && next.must_stay_pending(claimed));
    let leases = sorted_leases(others);
    let released = releases::mark(&mut *transaction, &leases).await.map_err(Error::of(ACTION))?;
    compute_next_occurrences::insert_following(&mut transaction, &next, &released).await?;
    transaction.commit().await.map_err(Error::of(ACTION))?;
    keep_pending(pool, &staying_pending, PublishStatus::Unknown).await?;
    marked(pool, &leases, released.len(), staying_pending.len()).await
}

async fn marked(
    pool: &PgPool,
    leases: &[Lease],
    released: usize,
    kept_pending: usize,
) -> Result<Marked, Error> {
    let others = (leases.len() - released) as u64;
    let stale = if others == 0 {
        0
    } else {
        releases::count_stale(pool, leases).await.map_err(Error::of("count stale leases"))?
    };
    let (released, kept_pending) = (released as u64, kept_pending as u64);
    Ok(Marked { released, stale, settled: others.saturating_sub(stale), kept_pending })
}
