//! Pacing to the account's `MaxSendRate`: beyond it SES drops mails with an error.
//!
//! The rate is the whole account's, and other replicas send too: each throttle makes this one slower, and quiet
//! seconds faster again, as TCP shares a line.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Until the account's rate is known: that of an account just out of SES's sandbox.
const DEFAULT_RATE: f64 = 14.0;
/// A mail whose turn is later than this is sent back rather than kept waiting.
const PATIENCE: Duration = Duration::from_secs(5);
/// Mails may come so much ahead of an even pace.
const SLACK: Duration = Duration::from_millis(50);
/// After a throttle nobody sends for so long.
const PAUSE: Duration = Duration::from_secs(1);
/// What a throttle leaves of the pace, and the least that is left.
const SLOWER: f64 = 0.7;
const LEAST_SHARE: f64 = 0.1;
/// What of the full pace comes back with each second.
const REGAINED_PER_SECOND: f64 = 0.05;

/// When a mail may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// Its turn is reserved.
    After(Duration),
    /// There is none within patience; nothing is reserved.
    NotBefore(Duration),
}

/// The account's pace, shared by all senders of this process.
pub(super) struct Pacer(Mutex<Pace>);

impl Pacer {
    pub(super) fn new() -> Self {
        Pacer(Mutex::new(Pace::new(Instant::now())))
    }

    /// A turn for one mail.
    pub(super) fn admit(&self) -> Admission {
        self.pace(|pace| pace.admit(Instant::now()))
    }

    /// The account's rate, in mails a second, as SES gives it.
    pub(super) fn set_rate(&self, rate: f64) {
        self.pace(|pace| pace.set_rate(rate));
    }

    /// SES said that we were too fast.
    pub(super) fn throttled(&self) {
        self.pace(|pace| pace.throttled(Instant::now()));
    }

    fn pace<T>(&self, change: impl FnOnce(&mut Pace) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Debug)]
struct Pace {
    rate: f64,
    /// Our part of the rate, after throttles.
    share: f64,
    share_at: Instant,
    /// The next free turn.
    next: Instant,
}

impl Pace {
    fn new(now: Instant) -> Self {
        Pace { rate: DEFAULT_RATE, share: 1.0, share_at: now, next: now }
    }

    fn set_rate(&mut self, rate: f64) {
        if rate.is_finite() && rate > 0.0 {
            self.rate = rate;
        }
    }

    fn admit(&mut self, now: Instant) -> Admission {
        self.regain(now);
        let interval = Duration::from_secs_f64(1.0 / (self.rate * self.share));
        let turn = self.next.max(now.checked_sub(SLACK).unwrap_or(now));
        let wait = turn.saturating_duration_since(now);
        if wait > PATIENCE {
            return Admission::NotBefore(wait);
        }
        self.next = turn + interval;
        Admission::After(wait)
    }

    fn throttled(&mut self, now: Instant) {
        let pausing = self.next.saturating_duration_since(now) >= PAUSE;
        self.next = self.next.max(now + PAUSE);
        // A burst of throttles tells one thing, once.
        if !pausing {
            self.regain(now);
            self.share = (self.share * SLOWER).max(LEAST_SHARE);
        }
    }

    fn regain(&mut self, now: Instant) {
        let quiet = now.saturating_duration_since(self.share_at).as_secs_f64();
        self.share = (self.share + quiet * REGAINED_PER_SECOND).min(1.0);
        self.share_at = self.share_at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// How many of `offered` mails, all ready at once and again whenever sent back, go within `window`.
    fn sent_within(pace: &mut Pace, from: Instant, window: Duration) -> usize {
        let (mut now, mut sent) = (from, 0);
        while now <= from + window {
            match pace.admit(now) {
                Admission::After(wait) if now + wait <= from + window => sent += 1,
                Admission::After(_) => return sent,
                Admission::NotBefore(wait) => {
                    now += wait.checked_sub(PATIENCE).unwrap_or(wait) + Duration::from_millis(1)
                }
            }
        }
        sent
    }

    #[test]
    fn the_default_is_fourteen_a_second() {
        let now = Instant::now();
        let sent = sent_within(&mut Pace::new(now), now, Duration::from_secs(10));
        assert!((139..=143).contains(&sent), "{sent}");
    }

    #[test]
    fn a_turn_too_far_off_is_not_reserved() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        pace.set_rate(1.0);
        let admitted = (0..20).filter(|_| matches!(pace.admit(now), Admission::After(_))).count();
        assert!((5..=7).contains(&admitted), "{admitted}");
        assert!(matches!(pace.admit(now), Admission::NotBefore(wait) if wait > PATIENCE));
    }

    #[test]
    fn a_throttle_pauses_and_slows_and_is_forgotten() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        pace.set_rate(100.0);
        for _ in 0..50 {
            pace.throttled(now);
        }
        assert_eq!(pace.admit(now), Admission::After(PAUSE));
        assert!((pace.share - SLOWER).abs() < 1e-9);
        pace.admit(now + Duration::from_secs(10));
        assert!((pace.share - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_senseless_rate_is_ignored() {
        let mut pace = Pace::new(Instant::now());
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            pace.set_rate(rate);
        }
        assert!((pace.rate - DEFAULT_RATE).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn never_more_than_the_rate_allows(rate in 0.5..500.0f64, seconds in 1u64..20) {
            let now = Instant::now();
            let mut pace = Pace::new(now);
            pace.set_rate(rate);
            let sent = sent_within(&mut pace, now, Duration::from_secs(seconds)) as f64;
            let allowed = rate * (seconds as f64 + SLACK.as_secs_f64()) + 2.0;
            prop_assert!(sent <= allowed, "{} > {}", sent, allowed);
        }
    }
}
