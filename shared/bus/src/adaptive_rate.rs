//! Rate of one user's messages that adapts to the latency of the topic. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// Number of messages that a publish is expected to complete within [`EXPECTED`]; more may take
/// longer in proportion.
const EXPECTED_MESSAGES: usize = 100;
/// Expected latency of a publish of [`EXPECTED_MESSAGES`] messages.
const EXPECTED: Duration = Duration::from_millis(250);
/// Time between two changes of the rate, in which the last one takes effect.
const INTERVAL: Duration = Duration::from_millis(250);
/// Factors of the rate while the topic is slow: slightly, and ten times or more.
const DECREASE: (f64, f64) = (0.7, 0.1);
/// Factors of the rate while the topic is fast and at least [`MIN_USE`] of the rate was published
/// since the last change: until the topic is slow for the first time, and afterwards.
const INCREASE: (f64, f64) = (1.5, 1.1);
/// Part of the rate that must have been published since the last change: fewer messages show
/// nothing about a higher rate.
const MIN_USE: f64 = 0.5;
/// Rate of a new process in messages per second, if the maximum is not lower.
const INITIAL: f64 = 100.0;
/// Lowest part of the maximum, and lowest rate in messages per second. Without a lower bound a user
/// would wait forever, as only a publish shows that the topic is fast again.
const MINIMUM: (f64, f64) = (0.02, 1.0);
/// Time within which a failed publish does not count as slow.
const FAST_FAILURE: Duration = Duration::from_secs(2);

/// Number of messages of one user that a process publishes per second. If the topic is slow, it or
/// its consumers are overloaded: the rate then falls, down to a fiftieth but not below one message
/// per second. It starts at a hundred per second, and rises while the topic is fast and the rate is
/// used.
#[derive(Debug, Clone)]
pub struct AdaptiveRate {
    /// Highest rate in messages per second.
    maximum: f64,
    /// Current rate in messages per second.
    rate: f64,
    /// Factor of the next increase.
    increase: f64,
    /// Number of messages of all users since the last change.
    published: usize,
    changed_at: Instant,
}

impl AdaptiveRate {
    /// Creates a rate that rises to at most `per_second` messages per second, at least one.
    #[must_use]
    pub fn new(per_second: u32, now: Instant) -> Self {
        let maximum = f64::from(per_second.max(1));
        let rate = maximum.min(INITIAL);
        Self { maximum, rate, increase: INCREASE.0, published: 0, changed_at: now }
    }

    /// Current rate in messages per second.
    #[must_use]
    pub const fn per_second(&self) -> f64 {
        self.rate
    }

    /// Records the duration of a publish of a number of messages. A fast failure changes nothing,
    /// as an unreachable bus is not overloaded.
    pub fn record(&mut self, messages: usize, took: Duration, succeeded: bool, now: Instant) {
        if !succeeded && took <= FAST_FAILURE {
            return;
        }
        self.published += messages;
        let since = now.saturating_duration_since(self.changed_at);
        if since < INTERVAL {
            return;
        }
        let expected = EXPECTED.as_secs_f64() * messages.max(EXPECTED_MESSAGES) as f64
            / EXPECTED_MESSAGES as f64;
        let ratio = expected / took.as_secs_f64();
        if ratio < 1.0 {
            self.rate *= ratio.clamp(DECREASE.1, DECREASE.0);
            self.increase = INCREASE.1;
        } else if self.published as f64 >= self.rate * since.as_secs_f64() * MIN_USE {
            self.rate *= self.increase;
        }
        self.rate = self.rate.clamp((self.maximum * MINIMUM.0).max(MINIMUM.1), self.maximum);
        (self.published, self.changed_at) = (0, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A rate that has risen to its maximum, a second before now.
    fn at_maximum(per_second: u32, now: Instant) -> AdaptiveRate {
        let rate = f64::from(per_second);
        AdaptiveRate {
            rate,
            ..AdaptiveRate::new(per_second, now.checked_sub(SECOND).unwrap_or(now))
        }
    }

    #[tokio::test]
    async fn rises_from_hundred_while_it_is_used() {
        let mut now = Instant::now();
        let mut rate = AdaptiveRate::new(1_000, now);
        assert_eq!(rate.per_second(), 100.0);
        for used in [150.0, 225.0, 337.5] {
            now += SECOND;
            rate.record(EXPECTED_MESSAGES * 2, EXPECTED, true, now);
            assert_eq!(rate.per_second(), used);
        }
        now += SECOND;
        rate.record(EXPECTED_MESSAGES, EXPECTED, true, now);
        assert_eq!(rate.per_second(), 337.5, "a hundred messages show nothing about four hundred");
        for _ in 0..8 {
            now += SECOND;
            rate.record(EXPECTED_MESSAGES * 5, EXPECTED, true, now);
        }
        assert_eq!(rate.per_second(), 1_000.0);
    }

    #[tokio::test]
    async fn counts_messages_within_interval() {
        let now = Instant::now();
        let mut rate = AdaptiveRate::new(1_000, now);
        (0..9).for_each(|_| rate.record(5, EXPECTED / 10, true, now + INTERVAL / 2));
        rate.record(5, EXPECTED / 10, true, now + SECOND);
        assert_eq!(rate.per_second(), 150.0);
    }

    #[tokio::test]
    async fn falls_while_topic_is_slow_and_recovers() {
        let mut now = Instant::now();
        let mut rate = at_maximum(1_000, now);
        rate.record(EXPECTED_MESSAGES, EXPECTED * 4, true, now);
        assert_eq!(rate.per_second(), 250.0);
        for _ in 0..3 {
            now += SECOND;
            rate.record(EXPECTED_MESSAGES, EXPECTED * 1_000, true, now);
        }
        assert_eq!(rate.per_second(), 20.0);
        rate.record(EXPECTED_MESSAGES * 5, EXPECTED * 2, true, now + INTERVAL);
        assert!((21.0..23.0).contains(&rate.per_second()), "{}", rate.per_second());
        for quarter in 2..60 {
            rate.record(EXPECTED_MESSAGES * 5, EXPECTED * 2, true, now + INTERVAL * quarter);
        }
        assert_eq!(rate.per_second(), 1_000.0);
    }

    #[tokio::test]
    async fn keeps_one_message_per_second() {
        let now = Instant::now();
        let mut rate = at_maximum(10, now);
        rate.record(EXPECTED_MESSAGES, EXPECTED * 1_000, true, now);
        rate.record(EXPECTED_MESSAGES, EXPECTED * 1_000, true, now + SECOND);
        assert_eq!(rate.per_second(), 1.0);
    }

    #[tokio::test]
    async fn changes_once_per_interval() {
        let now = Instant::now();
        let mut rate = at_maximum(1_000, now);
        (0..10).for_each(|_| rate.record(1, EXPECTED * 2, true, now));
        assert_eq!(rate.per_second(), 500.0);
    }

    #[tokio::test]
    async fn ignores_fast_failure() {
        let now = Instant::now();
        let mut rate = at_maximum(1_000, now);
        rate.record(1, SECOND, false, now);
        assert_eq!(rate.per_second(), 1_000.0);
        rate.record(1, SECOND * 3, false, now);
        assert_eq!(rate.per_second(), 100.0);
    }
}
