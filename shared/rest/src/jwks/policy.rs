//! Limits of the age of a key set and of its fetches.

use std::time::{Duration, Instant};

/// Age from which a set is fetched again in the background.
pub(super) const REFRESH_AFTER: Duration = Duration::from_secs(300);
/// Age from which a set is no longer used, if the issuer is unreachable.
pub(super) const MAX_AGE: Duration = Duration::from_secs(60 * 60);
/// Time after which one more fetch is allowed.
const REFILL_INTERVAL: Duration = Duration::from_secs(5);
/// Number of fetches that are allowed at once, as a rotation may be noticed right after another
/// fetch.
const BURST: u32 = 4;

/// Token bucket of fetches, so that tokens with invented key ids cannot cause many requests to the
/// issuer.
#[derive(Debug)]
pub(super) struct Budget {
    left: u32,
    /// Time up to which the budget was refilled.
    refilled: Instant,
}

impl Budget {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: BURST, refilled: now }
    }

    /// Takes one fetch from the budget; returns `false` if none is left.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let gained =
            now.saturating_duration_since(self.refilled).as_secs() / REFILL_INTERVAL.as_secs();
        let gained = u32::try_from(gained).unwrap_or(u32::MAX);
        if gained >= BURST {
            *self = Self::new(now);
        } else {
            self.left = (self.left + gained).min(BURST);
            self.refilled += REFILL_INTERVAL * gained;
        }
        let is_left = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allows_burst_then_one_fetch_per_interval() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let taken =
            |budget: &mut Budget, at: Duration| (0..10).filter(|_| budget.take(start + at)).count();
        assert_eq!(taken(&mut budget, Duration::ZERO), BURST as usize);
        assert_eq!(taken(&mut budget, REFILL_INTERVAL - Duration::from_millis(1)), 0);
        assert_eq!(taken(&mut budget, REFILL_INTERVAL), 1);
        assert_eq!(taken(&mut budget, REFILL_INTERVAL * 3), 2);
        assert_eq!(taken(&mut budget, REFILL_INTERVAL * 1_000), BURST as usize);
    }

    #[test]
    fn works_when_clock_stands_still() {
        let start = Instant::now();
        let mut budget = Budget::new(start + REFILL_INTERVAL);
        assert!(budget.take(start));
    }
}
