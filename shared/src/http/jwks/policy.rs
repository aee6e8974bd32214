//! Age and fetches of a key set.

use std::time::{Duration, Instant};

/// Age from which a set is fetched again in the background.
pub(super) const FRESH: Duration = Duration::from_secs(300);
/// Age from which a set is not used any more, when the issuer stays away.
pub(super) const MAX_AGE: Duration = Duration::from_secs(60 * 60);
/// Time in which one more fetch is allowed.
const PAUSE: Duration = Duration::from_secs(5);
/// Fetches that are allowed at once: a rotation is seen at first use, right after another fetch.
const BURST: u32 = 4;

/// Budget of fetches, so that tokens with invented key ids cannot make us hammer the issuer: a
/// token bucket.
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

    /// Takes one fetch out of the budget; false if there is none left.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let gained = now.saturating_duration_since(self.refilled).as_secs() / PAUSE.as_secs();
        let gained = u32::try_from(gained).unwrap_or(u32::MAX);
        if gained >= BURST {
            *self = Self::new(now);
        } else {
            self.left = (self.left + gained).min(BURST);
            self.refilled += PAUSE * gained;
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
    fn allows_a_burst_and_then_one_fetch_a_pause() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let taken =
            |budget: &mut Budget, at: Duration| (0..10).filter(|_| budget.take(start + at)).count();
        assert_eq!(taken(&mut budget, Duration::ZERO), BURST as usize);
        assert_eq!(taken(&mut budget, PAUSE - Duration::from_millis(1)), 0);
        assert_eq!(taken(&mut budget, PAUSE), 1);
        assert_eq!(taken(&mut budget, PAUSE * 3), 2);
        assert_eq!(taken(&mut budget, PAUSE * 1_000), BURST as usize);
    }

    #[test]
    fn survives_a_clock_that_stands_still() {
        let start = Instant::now();
        let mut budget = Budget::new(start + PAUSE);
        assert!(budget.take(start));
    }
}
