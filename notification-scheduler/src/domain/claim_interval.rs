//! Time until the next claim.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// Longest time between two claims: an occurrence that is created meanwhile may be due at once.
pub const MAX_INTERVAL: Duration = Duration::from_millis(50);
/// Shortest time after a claim that was not full: a steady trickle is claimed in small batches, not
/// one by one.
pub const MIN_INTERVAL: Duration = Duration::from_millis(5);

/// Time of the next claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextDue {
    /// The database's time.
    pub now: DateTime<Utc>,
    /// Time from which on the first pending occurrence without a lease may be claimed.
    pub claimable_at: Option<DateTime<Utc>>,
}

impl NextDue {
    /// Moves the time of the claim ahead.
    #[must_use]
    pub fn ahead_by(self, ahead: Duration) -> Self {
        let claimable_at = self.claimable_at.map(|at| {
            at.checked_sub_signed(TimeDelta::from_std(ahead).unwrap_or_default()).unwrap_or(at)
        });
        Self { claimable_at, ..self }
    }
}

/// Returns the time until the next occurrence may be claimed, by the database's clock: at most
/// [`MAX_INTERVAL`], and at least [`MIN_INTERVAL`] if it may be but is leased to another scheduler.
#[must_use]
pub fn until(next: NextDue) -> Duration {
    let wait = match next.claimable_at {
        None => MAX_INTERVAL,
        Some(claimable_at) => (claimable_at - next.now).to_std().unwrap_or(MIN_INTERVAL),
    };
    wait.min(MAX_INTERVAL)
}

/// Returns the time between two full claims: at most an eighth of the time is spent in them,
/// however long dead entries at the head of the index make one.
#[must_use]
pub fn between_full_claims(took: Duration) -> Duration {
    (took * 8).clamp(MAX_INTERVAL, Duration::from_secs(10))
}

/// Returns the time between two claims while some user is backlogged. A claim passes over the index
/// entries of the backlog, so at most an eighth of the time is spent in claims; other users wait at
/// most half a second.
#[must_use]
pub fn while_backlogged(took: Duration) -> Duration {
    (took * 8).clamp(MAX_INTERVAL, Duration::from_millis(500))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(after_us: Option<i64>) -> NextDue {
        let now: DateTime<Utc> = "2026-05-01T08:00:00Z".parse().expect("a time");
        NextDue { now, claimable_at: after_us.map(|us| now + TimeDelta::microseconds(us)) }
    }

    #[test]
    fn waits_until_next_is_due() {
        assert_eq!(until(next(Some(12_345))), Duration::from_micros(12_345));
    }

    #[test]
    fn waits_until_next_may_be_claimed_ahead() {
        let ahead = next(Some(12_345)).ahead_by(Duration::from_millis(10));
        assert_eq!(until(ahead), Duration::from_micros(2_345));
        assert_eq!(until(ahead.ahead_by(Duration::from_secs(1))), MIN_INTERVAL);
        assert_eq!(until(next(None).ahead_by(Duration::from_secs(1))), MAX_INTERVAL);
    }

    #[test]
    fn waits_at_most_the_longest_interval() {
        assert_eq!(until(next(Some(60_000_000))), MAX_INTERVAL);
        assert_eq!(until(next(None)), MAX_INTERVAL);
    }

    #[test]
    fn waits_shortest_interval_when_leased_elsewhere() {
        assert_eq!(until(next(Some(-1))), MIN_INTERVAL);
    }

    #[test]
    fn bounds_time_spent_in_full_claims() {
        assert_eq!(between_full_claims(Duration::from_micros(300)), MAX_INTERVAL);
        assert_eq!(between_full_claims(Duration::from_millis(100)), Duration::from_millis(800));
        assert_eq!(between_full_claims(Duration::from_secs(9)), Duration::from_secs(10));
    }

    #[test]
    fn bounds_wait_while_backlogged() {
        assert_eq!(while_backlogged(Duration::from_millis(1)), MAX_INTERVAL);
        assert_eq!(while_backlogged(Duration::from_secs(9)), Duration::from_millis(500));
    }
}
