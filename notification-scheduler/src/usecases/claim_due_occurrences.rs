//! Claims occurrences that are due, or are due shortly, under a lease, with the newest content of
//! their notifications.
//!
//! A claim is two statements. The first leases occurrences; the second reads them with their
//! notifications, after the leases are committed, in one snapshot. A change that committed before
//! is thereby seen: an occurrence that it cancelled is not published in the version that cancelled
//! it. A change that commits later finds the lease and follows the occurrence by a command (ADR 7).
//! Rows are read one by one, so that a row that this binary cannot read affects no other.

use std::time::Instant;

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::Error;
use crate::{
    domain::{
        claim::{Batch, Lease, LeaseTerms},
        claim_interval::NextDue,
        user_key::{KeyRanges, UserKey},
    },
    store,
};

/// Due occurrences of a database, claimed under leases of the same terms.
#[derive(Debug, Clone)]
pub struct DueOccurrences {
    pool: PgPool,
    terms: LeaseTerms,
}

impl DueOccurrences {
    /// Creates the use case with leases of these terms.
    #[must_use]
    pub fn new(pool: PgPool, terms: LeaseTerms) -> Self {
        Self { pool, terms }
    }

    /// Claims up to `limit` occurrences that are due, or are within the time of the terms, and are
    /// leased to nobody, the most overdue first.
    /// `not_before` is a hint: earlier ones are passed over, and with them the index entries of
    /// those that were released lately.
    ///
    /// # Errors
    /// When a statement fails; nothing is claimed then, or the claimed occurrences are free again
    /// when the lease expires.
    pub async fn claim(
        &self,
        limit: i64,
        not_before: Option<DateTime<Utc>>,
    ) -> Result<Batch, Error> {
        let claimed_at = Instant::now();
        let leases = store::claim::lease_due(&self.pool, limit, self.terms, not_before)
            .await
            .map_err(Error::of("claim due occurrences"))?;
        self.read(claimed_at, leases).await
    }

    /// Claims as [`DueOccurrences::claim`] does, but none of some users. Their entries are passed
    /// over inside the index.
    ///
    /// # Errors
    /// As [`DueOccurrences::claim`].
    pub async fn claim_of_others(
        &self,
        limit: i64,
        not_before: Option<DateTime<Utc>>,
        users: &[UserKey],
    ) -> Result<Batch, Error> {
        let claimed_at = Instant::now();
        let ranges = KeyRanges::between(users);
        let limit = (limit / ranges.first.len() as i64).max(1);
        let leases =
            store::claim::lease_due_in_ranges(&self.pool, limit, self.terms, not_before, &ranges)
                .await
                .map_err(Error::of("claim due occurrences of other users"))?;
        self.read(claimed_at, leases).await
    }

    /// Claims up to `limit` due occurrences of one user, those of priority `high` before the
    /// others.
    ///
    /// # Errors
    /// As [`DueOccurrences::claim`].
    pub async fn claim_of_user(
        &self,
        limit: i64,
        not_before: Option<DateTime<Utc>>,
        user: UserKey,
    ) -> Result<Batch, Error> {
        let claimed_at = Instant::now();
        let leases =
            store::claim::lease_due_of_user(&self.pool, limit, self.terms, not_before, user)
                .await
                .map_err(Error::of("claim due occurrences of a user"))?;
        self.read(claimed_at, leases).await
    }

    /// Returns the time at which the next occurrence without a lease may be claimed, and the
    /// database's time.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn next_due(&self, not_before: Option<DateTime<Utc>>) -> Result<NextDue, Error> {
        let next = store::claim::next_due(&self.pool, not_before)
            .await
            .map_err(Error::of("read the next due time"))?;
        Ok(next.ahead_by(self.terms.ahead))
    }

    async fn read(&self, claimed_at: Instant, leases: Vec<Lease>) -> Result<Batch, Error> {
        let rows = if leases.is_empty() {
            Vec::new()
        } else {
            store::claimed::read(&self.pool, &leases)
                .await
                .map_err(Error::of("read claimed occurrences"))?
        };
        Ok(Batch::new(claimed_at, leases, rows))
    }
}
