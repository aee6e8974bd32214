//! Leased leave to send, as it is spent in this process. Pure: time is passed in.

use std::time::{Duration, Instant};

/// A message may use its place in an even pace up to this much later.
const SLACK: Duration = Duration::from_millis(50);
/// For how long a lease that is not spread evenly may be used.
const VALID: Duration = Duration::from_secs(2);
/// What a throttle leaves of the rate, and the least that is left.
const SLOWER: f64 = 0.7;
const LEAST_SHARE: f64 = 0.1;
/// What of the full rate comes back with each second.
const REGAINED_PER_SECOND: f64 = 0.05;
/// Throttles closer together tell one thing.
const ONE_THROTTLE: Duration = Duration::from_secs(1);
/// The slowest and the fastest rate that is believed, in messages a second.
const RATES: (f64, f64) = (0.01, 1_000_000.0);

/// What a purse gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Take {
    /// One message may go now.
    Now,
    /// One message may go at this time; its place is taken.
    At(Instant),
    /// Nothing is left.
    Empty,
}

/// Leave to send that was leased and is not used up.
#[derive(Debug)]
pub(super) struct Purse {
    is_even: bool,
    per_second: f64,
    /// Our part of the rate, after throttles.
    share: f64,
    share_at: Instant,
    throttled_at: Option<Instant>,
    left: i64,
    /// Leased and not used in its time.
    unused: i64,
    next: Instant,
    each: Duration,
    ends: Instant,
}

impl Purse {
    pub(super) fn new(is_even: bool, per_second: f64, now: Instant) -> Self {
        Self {
            is_even,
            per_second: per_second.clamp(RATES.0, RATES.1),
            share: 1.0,
            share_at: now,
            throttled_at: None,
            left: 0,
            unused: 0,
            next: now,
            each: Duration::ZERO,
            ends: now,
        }
    }

    /// Sets the provider's rate; one that makes no sense is ignored.
    pub(super) fn set_rate(&mut self, per_second: f64) {
        if per_second.is_finite() && per_second > 0.0 {
            self.per_second = per_second.clamp(RATES.0, RATES.1);
        }
    }

    /// The rate to lease at, in messages a second.
    pub(super) fn rate(&mut self, now: Instant) -> f64 {
        let quiet = now.saturating_duration_since(self.share_at).as_secs_f64();
        self.share = (self.share + quiet * REGAINED_PER_SECOND).min(1.0);
        self.share_at = now;
        self.per_second * self.share
    }

    /// Notes a throttle; a burst of them tells one thing, once.
    pub(super) fn slow_down(&mut self, now: Instant) {
        if self.throttled_at.is_some_and(|at| now.saturating_duration_since(at) < ONE_THROTTLE) {
            return;
        }
        self.rate(now);
        self.share = (self.share * SLOWER).max(LEAST_SHARE);
        self.throttled_at = Some(now);
    }

    /// Adds a lease that begins in so many seconds; what was left of the one before is lost.
    pub(super) fn add(&mut self, now: Instant, messages: i64, begins_in: f64, seconds_each: f64) {
        let wait = Duration::try_from_secs_f64(begins_in).unwrap_or_default();
        let each = Duration::try_from_secs_f64(seconds_each).unwrap_or_default();
        self.next = now.checked_add(wait).unwrap_or(now);
        self.each = if self.is_even { each } else { Duration::ZERO };
        self.left = messages;
        let lasts = if self.is_even {
            each.saturating_mul(u32::try_from(messages).unwrap_or(u32::MAX))
        } else {
            VALID
        };
        self.ends = self.next.checked_add(lasts.saturating_add(SLACK)).unwrap_or(self.next);
    }

    /// Takes what was leased and not used, to be given back; nothing is left afterwards.
    pub(super) fn take_unused(&mut self) -> i64 {
        self.keep_unused(self.left);
        self.left = 0;
        std::mem::take(&mut self.unused)
    }

    /// Keeps what could not be given back.
    pub(super) fn keep_unused(&mut self, messages: i64) {
        self.unused = self.unused.saturating_add(messages.max(0));
    }

    /// Takes leave for one message.
    pub(super) fn take(&mut self, now: Instant) -> Take {
        // Places whose time has passed are lost: another process's may follow them.
        let latest = now.checked_sub(SLACK).unwrap_or(now);
        while self.left > 0 && !self.each.is_zero() && self.next < latest {
            self.next = self.next.checked_add(self.each).unwrap_or(now);
            self.left -= 1;
            self.unused += 1;
        }
        if self.left <= 0 || now >= self.ends {
            return Take::Empty;
        }
        let at = self.next;
        self.left -= 1;
        self.next = at.checked_add(self.each).unwrap_or(at);
        if at <= now { Take::Now } else { Take::At(at) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spreads_lease_evenly() {
        let now = Instant::now();
        let mut purse = Purse::new(true, 10.0, now);
        purse.add(now, 3, 0.2, 0.1);
        let at = |ms| Take::At(now + Duration::from_millis(ms));
        assert_eq!([(); 4].map(|()| purse.take(now)), [at(200), at(300), at(400), Take::Empty]);
    }

    #[test]
    fn loses_places_whose_time_passed() {
        let now = Instant::now();
        let mut purse = Purse::new(true, 10.0, now);
        purse.add(now, 10, 0.0, 0.1);
        let later = now + Duration::from_millis(720);
        let taken: Vec<_> = std::iter::repeat_with(|| purse.take(later))
            .take_while(|take| *take != Take::Empty)
            .collect();
        assert_eq!(taken.len(), 3, "{taken:?}");
        purse.add(now, 10, 0.0, 0.1);
        assert_eq!(purse.take(now + Duration::from_secs(2)), Take::Empty);
    }

    #[test]
    fn gives_back_what_was_not_used() {
        let now = Instant::now();
        let mut purse = Purse::new(true, 10.0, now);
        purse.add(now, 10, 0.0, 0.1);
        let later = now + Duration::from_millis(720);
        assert_eq!(purse.take(later), Take::Now);
        assert_eq!((purse.take_unused(), purse.take_unused()), (9, 0));
        assert_eq!(purse.take(later), Take::Empty);
        purse.keep_unused(9);
        assert_eq!(purse.take_unused(), 9);
    }

    #[test]
    fn gives_uneven_lease_at_once_and_for_two_seconds() {
        let now = Instant::now();
        let mut purse = Purse::new(false, 1_000.0, now);
        purse.add(now, 2, -3.0, 0.001);
        assert_eq!([(); 3].map(|()| purse.take(now)), [Take::Now, Take::Now, Take::Empty]);
        purse.add(now, 2, 0.0, 0.001);
        assert_eq!(purse.take(now + VALID + SLACK), Take::Empty);
    }

    #[test]
    fn slows_down_once_for_burst_of_throttles() {
        let now = Instant::now();
        let mut purse = Purse::new(true, 100.0, now);
        (0..50).for_each(|_| purse.slow_down(now));
        assert!((purse.rate(now) - 70.0).abs() < 1e-9);
        assert!((purse.rate(now + Duration::from_secs(10)) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn ignores_senseless_rate() {
        let now = Instant::now();
        let mut purse = Purse::new(true, 14.0, now);
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            purse.set_rate(rate);
        }
        assert!((purse.rate(now) - 14.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn never_gives_more_than_was_leased(
            messages in 0i64..500, begins_in in -1e12..1e12f64, seconds_each in -1.0..1e12f64, is_even: bool,
            looks in prop::collection::vec(0u64..500, 0..200),
        ) {
            let mut now = Instant::now();
            let mut purse = Purse::new(is_even, 14.0, now);
            purse.add(now, messages, begins_in, seconds_each);
            let mut given = 0;
            for pause in looks {
                now += Duration::from_millis(pause);
                given += i64::from(purse.take(now) != Take::Empty);
            }
            prop_assert!(given <= messages);
        }
    }
}
