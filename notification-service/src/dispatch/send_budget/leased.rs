//! Part of a budget that this process has leased and not used yet. Pure: time is passed in.

use std::time::{Duration, Instant};

/// Longest delay with which a message may still use its point in time of an even rate.
const SLACK: Duration = Duration::from_millis(50);
/// Time for which a lease that is not spread evenly may be used.
const VALID: Duration = Duration::from_secs(2);
/// Part of the rate that remains after a throttle, and the least that remains after many.
const SLOWER: f64 = 0.7;
const LEAST_SHARE: f64 = 0.1;
/// Part of the full rate that is regained each second.
const REGAINED_PER_SECOND: f64 = 0.05;
/// Throttles closer together than this count as one.
const ONE_THROTTLE: Duration = Duration::from_secs(1);
/// Slowest and fastest rate that is accepted, in messages a second.
const RATES: (f64, f64) = (0.01, 1_000_000.0);

/// Answer to a request to send one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Take {
    /// One message may be sent now.
    Now,
    /// One message may be sent at this time, which is taken.
    At(Instant),
    /// Nothing is left of the lease.
    Empty,
}

/// Messages that were leased and may still be sent.
#[derive(Debug)]
pub(super) struct LeasedBudget {
    is_even: bool,
    per_second: f64,
    /// Part of the rate that this process uses, after throttles.
    share: f64,
    share_at: Instant,
    throttled_at: Option<Instant>,
    left: i64,
    /// Messages that were leased and not sent in time.
    unused: i64,
    next: Instant,
    interval: Duration,
    ends: Instant,
}

impl LeasedBudget {
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
            interval: Duration::ZERO,
            ends: now,
        }
    }

    /// Sets the provider's rate; one that is not a positive number is ignored.
    pub(super) fn set_rate(&mut self, per_second: f64) {
        if per_second.is_finite() && per_second > 0.0 {
            self.per_second = per_second.clamp(RATES.0, RATES.1);
        }
    }

    /// Rate to lease at, in messages a second.
    pub(super) fn rate(&mut self, now: Instant) -> f64 {
        let quiet = now.saturating_duration_since(self.share_at).as_secs_f64();
        self.share = (self.share + quiet * REGAINED_PER_SECOND).min(1.0);
        self.share_at = now;
        self.per_second * self.share
    }

    /// Lowers the rate after a throttle; a burst of throttles counts once.
    pub(super) fn slow_down(&mut self, now: Instant) {
        if self.throttled_at.is_some_and(|at| now.saturating_duration_since(at) < ONE_THROTTLE) {
            return;
        }
        self.rate(now);
        self.share = (self.share * SLOWER).max(LEAST_SHARE);
        self.throttled_at = Some(now);
    }

    /// Replaces the lease by one that begins in this many seconds; the rest of the one before is
    /// lost.
    pub(super) fn add(&mut self, now: Instant, messages: i64, begins_in: f64, seconds_each: f64) {
        let wait = Duration::try_from_secs_f64(begins_in).unwrap_or_default();
        let each = Duration::try_from_secs_f64(seconds_each).unwrap_or_default();
        self.next = now.checked_add(wait).unwrap_or(now);
        self.interval = if self.is_even { each } else { Duration::ZERO };
        self.left = messages;
        let lasts = if self.is_even {
            each.saturating_mul(u32::try_from(messages).unwrap_or(u32::MAX))
        } else {
            VALID
        };
        self.ends = self.next.checked_add(lasts.saturating_add(SLACK)).unwrap_or(self.next);
    }

    /// Takes the messages that were leased and not sent, to be returned; nothing is left
    /// afterwards.
    pub(super) fn take_unused(&mut self) -> i64 {
        self.keep_unused(self.left);
        self.left = 0;
        std::mem::take(&mut self.unused)
    }

    /// Keeps messages that could not be returned.
    pub(super) fn keep_unused(&mut self, messages: i64) {
        self.unused = self.unused.saturating_add(messages.max(0));
    }

    /// Takes one message of the lease.
    pub(super) fn take(&mut self, now: Instant) -> Take {
        // Points in time that have passed are lost: another process's lease may follow them.
        let latest = now.checked_sub(SLACK).unwrap_or(now);
        while self.left > 0 && !self.interval.is_zero() && self.next < latest {
            self.next = self.next.checked_add(self.interval).unwrap_or(now);
            self.left -= 1;
            self.unused += 1;
        }
        if self.left <= 0 || now >= self.ends {
            return Take::Empty;
        }
        let at = self.next;
        self.left -= 1;
        self.next = at.checked_add(self.interval).unwrap_or(at);
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
        let mut leased = LeasedBudget::new(true, 10.0, now);
        leased.add(now, 3, 0.2, 0.1);
        let at = |ms| Take::At(now + Duration::from_millis(ms));
        assert_eq!([(); 4].map(|()| leased.take(now)), [at(200), at(300), at(400), Take::Empty]);
    }

    #[test]
    fn loses_messages_whose_time_passed() {
        let now = Instant::now();
        let mut leased = LeasedBudget::new(true, 10.0, now);
        leased.add(now, 10, 0.0, 0.1);
        let later = now + Duration::from_millis(720);
        let taken: Vec<_> = std::iter::repeat_with(|| leased.take(later))
            .take_while(|take| *take != Take::Empty)
            .collect();
        assert_eq!(taken.len(), 3, "{taken:?}");
        leased.add(now, 10, 0.0, 0.1);
        assert_eq!(leased.take(now + Duration::from_secs(2)), Take::Empty);
    }

    #[test]
    fn returns_unused_messages() {
        let now = Instant::now();
        let mut leased = LeasedBudget::new(true, 10.0, now);
        leased.add(now, 10, 0.0, 0.1);
        let later = now + Duration::from_millis(720);
        assert_eq!(leased.take(later), Take::Now);
        assert_eq!((leased.take_unused(), leased.take_unused()), (9, 0));
        assert_eq!(leased.take(later), Take::Empty);
        leased.keep_unused(9);
        assert_eq!(leased.take_unused(), 9);
    }

    #[test]
    fn offers_uneven_lease_for_two_seconds() {
        let now = Instant::now();
        let mut leased = LeasedBudget::new(false, 1_000.0, now);
        leased.add(now, 2, -3.0, 0.001);
        assert_eq!([(); 3].map(|()| leased.take(now)), [Take::Now, Take::Now, Take::Empty]);
        leased.add(now, 2, 0.0, 0.001);
        assert_eq!(leased.take(now + VALID + SLACK), Take::Empty);
    }

    #[test]
    fn slows_down_once_for_burst_of_throttles() {
        let now = Instant::now();
        let mut leased = LeasedBudget::new(true, 100.0, now);
        (0..50).for_each(|_| leased.slow_down(now));
        assert!((leased.rate(now) - 70.0).abs() < 1e-9);
        assert!((leased.rate(now + Duration::from_secs(10)) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn ignores_rate_that_is_not_positive() {
        let now = Instant::now();
        let mut leased = LeasedBudget::new(true, 14.0, now);
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            leased.set_rate(rate);
        }
        assert!((leased.rate(now) - 14.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn never_sends_more_than_was_leased(
            messages in 0i64..500,
            begins_in in -1e12..1e12f64,
            seconds_each in -1.0..1e12f64,
            is_even: bool,
            pauses in prop::collection::vec(0u64..500, 0..200),
        ) {
            let mut now = Instant::now();
            let mut leased = LeasedBudget::new(is_even, 14.0, now);
            leased.add(now, messages, begins_in, seconds_each);
            let mut taken = 0;
            for pause in pauses {
                now += Duration::from_millis(pause);
                taken += i64::from(leased.take(now) != Take::Empty);
            }
            prop_assert!(taken <= messages);
        }
    }
}
