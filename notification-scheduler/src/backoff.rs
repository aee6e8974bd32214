//! Exponential back-off after failures of a dependency.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// First delay after a failure.
const FIRST: Duration = Duration::from_millis(100);
/// Longest delay.
const LONGEST: Duration = Duration::from_secs(2);

/// Back-off of one dependency, by its consecutive failures.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    consecutive: AtomicU32,
    last: Mutex<Option<Instant>>,
}

impl Backoff {
    /// Records a failure.
    pub(crate) fn note_failure(&self) {
        self.consecutive.fetch_add(1, Ordering::Relaxed);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Returns the time since the last failure, even if a success followed; `None` if there was
    /// none.
    pub(crate) fn since_last_failure(&self) -> Option<Duration> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).map(|last| last.elapsed())
    }

    /// Records a success.
    pub(crate) fn reset(&self) {
        self.consecutive.store(0, Ordering::Relaxed);
    }

    /// Returns `true` if the last call failed.
    pub(crate) fn is_failing(&self) -> bool {
        self.consecutive.load(Ordering::Relaxed) > 0
    }

    /// Returns the delay before the next call: `None` without a failure, then doubled with each.
    pub(crate) fn delay(&self) -> Option<Duration> {
        let doublings = self.consecutive.load(Ordering::Relaxed).checked_sub(1)?;
        Some((FIRST * 2_u32.pow(doublings.min(10))).min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_delay_until_success() {
        let backoff = Backoff::default();
        assert_eq!(backoff.delay(), None);
        let mut delays = Vec::new();
        for _ in 0..7 {
            backoff.note_failure();
            delays.extend(backoff.delay().map(|delay| delay.as_millis()));
        }
        assert_eq!(delays, [100, 200, 400, 800, 1600, 2000, 2000]);
        backoff.reset();
        assert_eq!(backoff.delay(), None);
        assert!(
            backoff.since_last_failure().is_some()
                && Backoff::default().since_last_failure().is_none()
        );
    }
}
