//! Exponential back-off of retries. Pure but for the chance of the jitter.

use std::time::Duration;

/// Exponential back-off: the first pause doubles with each further failure, up to the longest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// Creates a back-off from its first and its longest pause.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// Returns the pause after a number of consecutive failures; none after no failure.
    #[must_use]
    pub fn pause(&self, failures: u32) -> Duration {
        let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
        self.first.saturating_mul(2_u32.saturating_pow(doublings)).min(self.longest)
    }

    /// Returns a random time between half of the pause and the whole pause, so that callers that
    /// failed together do not retry together.
    #[must_use]
    pub fn jittered_pause(&self, failures: u32) -> Duration {
        let pause = self.pause(failures);
        rand::random_range(pause / 2..=pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));

    #[test]
    fn doubles_pause_up_to_longest() {
        let pauses =
            [0, 1, 2, 3, 4, 5, 6, 7, 100, u32::MAX].map(|failures| BACKOFF.pause(failures));
        let millis = pauses.map(|pause| pause.as_millis());
        assert_eq!(millis, [0, 100, 200, 400, 800, 1_600, 2_000, 2_000, 2_000, 2_000]);
    }

    #[test]
    fn takes_between_half_and_whole_pause_with_jitter() {
        for failures in [0, 1, 4, 50] {
            let (pause, jittered) = (BACKOFF.pause(failures), BACKOFF.jittered_pause(failures));
            assert!((pause / 2..=pause).contains(&jittered), "{jittered:?} of {pause:?}");
        }
    }
}
