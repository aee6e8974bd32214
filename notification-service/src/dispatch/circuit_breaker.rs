//! Circuit breaker of a provider, or of one platform behind it. Pure: time is passed in.
//!
//! The breaker opens when more users fail than succeed. While it is open, probes find out if the
//! provider works again: one every tenth of a second at first, later more rarely. A probe that is
//! not answered keeps no other from being made. A user who has not met the failure yet may make the
//! next probe; one who has waits for a time that doubles. A success closes the breaker and shows
//! that the users who failed did so for reasons of their own: for a while their failures do not
//! count. So they neither keep the breaker open for others nor open it again and again.

use std::time::{Duration, Instant};

use super::failure_evidence::{FailureEvidence, RecentUsers, UserDigest};
use crate::channels::outcome::MAX_RETRY_AFTER;

/// Users whose failures open a breaker, where they are more than those who succeed.
pub(super) const SEVERAL: usize = 5;
/// Time for which the failure of a user counts.
const WINDOW: Duration = Duration::from_secs(60);
/// Time for which a user's failures do not count once a success of another user refuted them.
const REFUTED_WINDOW: Duration = Duration::from_secs(10 * 60);
/// Users that are remembered as refuted, or as having probed without success.
const MAX_USERS: usize = 1_000;
/// Part of the time for which the breaker has been open that lies between two probes.
const PART_OF_AGE: u32 = 20;
/// Postponed deliveries are claimed again one after the other: this many a second, however many
/// there are.
const RETRIES_PER_SECOND: u32 = 1_000;

/// Distances between the probes of an open breaker.
#[derive(Debug, Clone, Copy)]
pub struct ProbeIntervals {
    /// Between probes of users that have not met the failure; a tenth of it at first.
    pub fresh: Duration,
    /// Until any user may probe, at first.
    pub first: Duration,
    /// Longest distance that the doubling reaches.
    pub longest: Duration,
}

impl Default for ProbeIntervals {
    fn default() -> Self {
        Self {
            fresh: Duration::from_secs(1),
            first: Duration::from_secs(5),
            longest: Duration::from_secs(60),
        }
    }
}

/// Decision of a breaker on an attempt of one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BreakerDecision {
    /// The breaker is closed.
    Allow,
    /// The breaker is half-open: this attempt may be its probe.
    Probe,
    /// The breaker is open; ask again after this long.
    Deny(Duration),
}

/// Circuit breaker.
#[derive(Debug)]
pub(super) struct CircuitBreaker {
    /// Users whose failures open it while nobody succeeds.
    opens_at: usize,
    intervals: ProbeIntervals,
    evidence: FailureEvidence,
    refuted: RecentUsers,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    since: Instant,
    /// Time of the next probe of a user who has not met the failure.
    fresh_probe_at: Instant,
    /// Time of the next probe of any user.
    any_probe_at: Instant,
    wait: Duration,
    /// Users that probed: whatever the outcome, others come first.
    probed: RecentUsers,
    /// Time at which the last postponed delivery is claimed again: of users that have not met the
    /// failure, and of those that have.
    last_retries: [Instant; 2],
}

impl CircuitBreaker {
    /// Creates a closed breaker. It opens on the failures of `opens_at` users if nobody succeeds,
    /// and else of at least [`SEVERAL`] that are more than those who do.
    pub(super) fn new(opens_at: usize, intervals: ProbeIntervals) -> Self {
        let refuted = RecentUsers::new(REFUTED_WINDOW, MAX_USERS);
        Self { opens_at, intervals, evidence: FailureEvidence::within(WINDOW), refuted, open: None }
    }

    /// Returns `true` if the breaker is open or half-open.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Time of the next probe; `None` while the breaker is closed.
    pub(super) fn next_probe(&self) -> Option<Instant> {
        self.open.as_ref().map(|open| open.fresh_probe_at.min(open.any_probe_at))
    }

    /// Wait of a delivery that met the failure before it may be a probe.
    pub(super) fn first_wait(&self) -> Duration {
        self.intervals.first
    }

    /// Decides if a user's attempt may start. Deliveries that are denied are spread over time, so
    /// that they are not all claimed again at once.
    pub(super) fn decide(&mut self, now: Instant, user: UserDigest) -> BreakerDecision {
        let Some(open) = &mut self.open else { return BreakerDecision::Allow };
        let has_failed = self.evidence.holds(now, user) || self.refuted.contains(now, user);
        let is_fresh = !has_failed && !open.probed.contains(now, user);
        if now >= open.any_probe_at || (is_fresh && now >= open.fresh_probe_at) {
            return BreakerDecision::Probe;
        }
        let retry = &mut open.last_retries[usize::from(!is_fresh)];
        *retry = after(now.max(*retry), Duration::from_secs(1) / RETRIES_PER_SECOND);
        let wait = retry.saturating_duration_since(now);
        let age = now.saturating_duration_since(open.since);
        // The longer the breaker is open, the more rarely a user who met the failure retries.
        let (wait, least) = if is_fresh {
            (wait, spacing(self.intervals, age))
        } else {
            (wait.max(age / 2), self.intervals.first)
        };
        BreakerDecision::Deny(wait.clamp(least, self.intervals.longest.max(least)))
    }

    /// Notes that a user's probe started; the next one follows at a distance, whether this one is
    /// answered or not.
    pub(super) fn probe_starts(&mut self, now: Instant, user: UserDigest) {
        if let Some(open) = &mut self.open {
            open.fresh_probe_at =
                after(now, spacing(self.intervals, now.saturating_duration_since(open.since)));
            if now >= open.any_probe_at {
                open.any_probe_at = after(now, open.wait);
            }
            open.probed.add(now, user);
        }
    }

    /// Notes a failure of a user, after which the provider asked for a wait of `asked`; returns
    /// `true` if the breaker opened.
    pub(super) fn failed(
        &mut self,
        now: Instant,
        user: UserDigest,
        asked: Duration,
        is_probe: bool,
    ) -> bool {
        if !self.is_open() && self.refuted.contains(now, user) {
            return false;
        }
        let is_new = self.evidence.fail(now, user);
        match &mut self.open {
            Some(open) if is_probe => {
                if !is_new {
                    let longest = self.intervals.longest.max(asked);
                    open.wait = open.wait.saturating_mul(2).min(longest).max(asked);
                }
                open.any_probe_at = open.any_probe_at.max(after(now, open.wait));
                false
            }
            Some(_) => false,
            None if self.evidence.is_general(now, self.opens_at, SEVERAL) => {
                self.open(now, asked);
                true
            }
            None => false,
        }
    }

    /// Notes a failure of one user that concerns every user; returns `true` if the breaker
    /// opened.
    pub(super) fn failed_for_all(
        &mut self,
        now: Instant,
        user: UserDigest,
        is_probe: bool,
    ) -> bool {
        if self.is_open() {
            return self.failed(now, user, Duration::ZERO, is_probe);
        }
        self.evidence.fail(now, user);
        self.open(now, Duration::ZERO);
        true
    }

    fn open(&mut self, now: Instant, asked: Duration) {
        let wait = self.intervals.first.max(asked);
        self.open = Some(Open {
            since: now,
            fresh_probe_at: after(now, spacing(self.intervals, Duration::ZERO)),
            any_probe_at: after(now, wait),
            wait,
            probed: RecentUsers::new(self.intervals.longest, MAX_USERS),
            last_retries: [now; 2],
        });
    }

    /// Notes the success of an attempt that began at `began`; returns `true` if it closed the
    /// breaker. An attempt that began before the breaker opened says nothing of the time since.
    pub(super) fn succeeded(&mut self, now: Instant, user: UserDigest, began: Instant) -> bool {
        self.evidence.succeed(now, user);
        if self.open.take_if(|open| began >= open.since).is_none() {
            return false;
        }
        for refuted in self.evidence.clear() {
            self.refuted.add(now, refuted);
        }
        true
    }
}

/// Distance between the probes of a breaker that has been open for as long as `age`.
fn spacing(intervals: ProbeIntervals, age: Duration) -> Duration {
    (age / PART_OF_AGE).clamp(intervals.fresh / 10, intervals.fresh)
}

/// Returns `at + wait`, or an hour after `at` if the clock cannot represent the sum.
pub(super) fn after(at: Instant, wait: Duration) -> Instant {
    at.checked_add(wait).or_else(|| at.checked_add(MAX_RETRY_AFTER)).unwrap_or(at)
}
