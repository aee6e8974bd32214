//! Exponential back-off of retries.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

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

/// Back-off of one dependency that several tasks call: counts its consecutive failures.
#[derive(Debug)]
pub struct SharedBackoff {
    backoff: Backoff,
    failures: AtomicU32,
    last_failure: Mutex<Option<Instant>>,
}

impl SharedBackoff {
    /// Creates a back-off without failures.
    #[must_use]
    pub const fn new(backoff: Backoff) -> Self {
        Self { backoff, failures: AtomicU32::new(0), last_failure: Mutex::new(None) }
    }

    /// Records a failure.
    pub fn record_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Records a success, which ends the failures.
    pub fn reset(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }

    /// Returns `true` if the last call failed.
    fn is_failing(&self) -> bool {
        self.failures.load(Ordering::Relaxed) > 0
    }

    /// Returns `true` if the last call failed, and less than `span` ago: an older failure of a
    /// dependency that nobody has called since says nothing about it.
    #[must_use]
    pub fn has_failed_within(&self, span: Duration) -> bool {
        self.is_failing() && self.since_last_failure().is_some_and(|since| since < span)
    }

    /// Returns the pause before the next call; none if the last one succeeded.
    #[must_use]
    pub fn pause(&self) -> Duration {
        self.backoff.pause(self.failures.load(Ordering::Relaxed))
    }

    /// Returns the time since the last failure, even if a success followed; `None` if there was
    /// none.
    #[must_use]
    pub fn since_last_failure(&self) -> Option<Duration> {
        self.last_failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .map(|failed_at| failed_at.elapsed())
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

    #[test]
    fn doubles_shared_pause_until_success() {
        let backoff = SharedBackoff::new(BACKOFF);
        assert_eq!((backoff.pause(), backoff.is_failing()), (Duration::ZERO, false));
        assert_eq!(backoff.since_last_failure(), None);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            backoff.record_failure();
            pauses.push(backoff.pause().as_millis());
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1_600, 2_000, 2_000]);
        assert!(backoff.is_failing() && backoff.has_failed_within(Duration::MAX));
        assert!(!backoff.has_failed_within(Duration::ZERO), "nobody has called it since");

        backoff.reset();
        assert_eq!((backoff.pause(), backoff.is_failing()), (Duration::ZERO, false));
        assert!(!backoff.has_failed_within(Duration::MAX));
        assert!(backoff.since_last_failure().is_some());
    }
}
