//! Adaptive limit of attempts in flight on one channel. Pure: time is passed in.
//!
//! The limit starts at its maximum. It narrows while more users fail than succeed, and each success
//! widens it by one, so that it doubles with each round trip: a provider that just recovered does
//! not receive the whole backlog at once.

use std::time::{Duration, Instant};

use super::{
    failure_evidence::{FailureEvidence, UserDigest},
    permits::{user_limit, user_part},
};

/// Attempts that one user may have in flight where the limit leaves enough for others.
pub(super) const MIN_IN_FLIGHT_PER_USER: usize = 4;
/// The limit never falls below this part of its maximum, nor below [`LEAST_LIMIT`] where that is at
/// most half of the maximum: attempts that are never answered must not use all of it up.
const LEAST_PART: usize = 16;
/// Attempts that may be in flight however many users fail.
const LEAST_LIMIT: usize = 32;
/// Time within which the failures of one user narrow the limit once.
const FAILURE_WINDOW: Duration = Duration::from_secs(10);

/// Limit of attempts in flight, and their number.
#[derive(Debug)]
pub(super) struct ConcurrencyLimit {
    max: usize,
    limit: usize,
    in_flight: usize,
    evidence: FailureEvidence,
}

impl ConcurrencyLimit {
    /// Creates a limit that starts at its maximum.
    pub(super) fn new(max: usize) -> Self {
        let max = max.max(1);
        let evidence = FailureEvidence::within(FAILURE_WINDOW);
        Self { max, limit: max, in_flight: 0, evidence }
    }

    /// Number of attempts in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Attempts that may be in flight now.
    #[cfg(test)]
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Returns `true` if one more attempt may start.
    pub(super) fn has_capacity(&self) -> bool {
        self.in_flight < self.limit
    }

    /// Attempts that one user may have in flight now: a bounded part of the limit, and no more than
    /// are left for others.
    pub(super) fn limit_per_user(&self) -> usize {
        user_limit(
            user_part(self.limit, MIN_IN_FLIGHT_PER_USER),
            self.limit.saturating_sub(self.in_flight),
        )
    }

    /// Counts an attempt that starts.
    pub(super) fn attempt_starts(&mut self) {
        self.in_flight += 1;
    }

    /// Counts an attempt that ended.
    pub(super) fn attempt_ends(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Widens the limit by one: an attempt of this user was answered.
    pub(super) fn succeeded(&mut self, now: Instant, user: UserDigest) {
        self.limit = (self.limit + 1).min(self.max);
        self.evidence.succeed(now, user);
    }

    /// Narrows the limit by an eighth if more users fail than succeed; each user counts once within
    /// the window.
    pub(super) fn failed(&mut self, now: Instant, user: UserDigest) {
        if self.evidence.fail(now, user) && self.evidence.is_general(now, 1, 1) {
            self.narrow_to(self.limit - (self.limit / 8).max(1));
        }
    }

    /// Narrows the limit to its minimum.
    pub(super) fn narrow(&mut self) {
        self.narrow_to(0);
    }

    fn narrow_to(&mut self, limit: usize) {
        let least = (self.max / LEAST_PART).max(LEAST_LIMIT.min(self.max / 2)).max(1);
        self.limit = limit.max(least);
    }
}
