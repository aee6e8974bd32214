//! Waiting times: until the next occurrence is due, after a failure, between two full claims. Pure.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::store::Next;

/// Longest time between two claims: an occurrence that is created meanwhile may be due at once.
pub(crate) const POLL: Duration = Duration::from_millis(50);
/// Shortest time after a claim that was not full: a steady trickle is claimed in small batches, not
/// one by one.
pub(crate) const BREATH: Duration = Duration::from_millis(5);
/// First and longest back-off.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Returns the time until the next occurrence is due, by the database's clock: at most
/// [`MAX_INTERVAL`], and at least [`MIN_INTERVAL`] if it is due but leased to another scheduler.
pub(crate) fn until(next: Next) -> Duration {
    let wait = match next.due_at {
        None => POLL,
        Some(due_at) => (due_at - next.now).to_std().unwrap_or(BREATH),
    };
    wait.min(POLL)
}

/// Returns the time between two full claims: at most an eighth of the time is spent in them,
/// however long dead entries at the head of the index make one.
pub(crate) fn between_full_claims(took: Duration) -> Duration {
    (took * 8).clamp(POLL, Duration::from_secs(10))
}

/// Returns the time between two claims while some user is backlogged. A claim passes over the index
/// entries of the backlog, so at most an eighth of the time is spent in claims; other users wait at
/// most half a second.
pub(crate) fn beside_a_backlog(took: Duration) -> Duration {
    (took * 8).clamp(POLL, Duration::from_millis(500))
}

/// Consecutive failures of a dependency, and the back-off that they require.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    in_a_row: AtomicU32,
    last: Mutex<Option<Instant>>,
}

impl Failures {
    pub(crate) fn note(&self) {
        self.in_a_row.fetch_add(1, Ordering::Relaxed);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Returns the time since the last failure, even if a success followed; `None` if there was
    /// none.
    pub(crate) fn since_last(&self) -> Option<Duration> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).map(|last| last.elapsed())
    }

    pub(crate) fn clear(&self) {
        self.in_a_row.store(0, Ordering::Relaxed);
    }

    pub(crate) fn any(&self) -> bool {
        self.in_a_row.load(Ordering::Relaxed) > 0
    }

    /// Returns the back-off: `None` without a failure, then doubled with each.
    pub(crate) fn pause(&self) -> Option<Duration> {
        let doublings = self.in_a_row.load(Ordering::Relaxed).checked_sub(1)?;
        Some((BACK_OFF.0 * 2_u32.pow(doublings.min(10))).min(BACK_OFF.1))
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};

    use super::*;

    fn next(after_us: Option<i64>) -> Next {
        let now: DateTime<Utc> = "2026-05-01T08:00:00Z".parse().expect("a time");
        Next { now, due_at: after_us.map(|us| now + TimeDelta::microseconds(us)) }
    }

    #[test]
    fn it_waits_exactly_until_the_next_is_due() {
        assert_eq!(until(next(Some(12_345))), Duration::from_micros(12_345));
    }

    #[test]
    fn it_never_waits_longer_than_a_poll() {
        assert_eq!(until(next(Some(60_000_000))), POLL);
        assert_eq!(until(next(None)), POLL);
    }

    #[test]
    fn it_does_not_spin_on_what_another_holds() {
        assert_eq!(until(next(Some(-1))), BREATH);
    }

    #[test]
    fn cheap_full_claims_are_frequent_and_dear_ones_are_bounded() {
        assert_eq!(between_full_claims(Duration::from_micros(300)), POLL);
        assert_eq!(between_full_claims(Duration::from_millis(100)), Duration::from_millis(800));
        assert_eq!(between_full_claims(Duration::from_secs(9)), Duration::from_secs(10));
    }

    #[test]
    fn bounds_the_wait_beside_a_backlog() {
        assert_eq!(beside_a_backlog(Duration::from_millis(1)), POLL);
        assert_eq!(beside_a_backlog(Duration::from_secs(9)), Duration::from_millis(500));
    }

    #[test]
    fn back_off_doubles_to_its_limit_and_ends_with_success() {
        let failures = Failures::default();
        assert_eq!(failures.pause(), None);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            failures.note();
            pauses.extend(failures.pause().map(|pause| pause.as_millis()));
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 2000, 2000]);
        failures.clear();
        assert_eq!(failures.pause(), None);
        assert!(failures.since_last().is_some() && Failures::default().since_last().is_none());
    }
}
