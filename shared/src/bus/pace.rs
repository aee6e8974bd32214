//! Pace of one user's messages, by how quick the topic is. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// Messages of a publish that is expected to be answered within [`QUICK`]; more may take longer in
/// proportion.
const MEASURE: usize = 100;
/// The longest time that a quick topic takes for [`MEASURE`] messages.
const QUICK: Duration = Duration::from_millis(250);
/// The time between two changes of the pace: the last one has its effect first.
const SETTLING: Duration = Duration::from_millis(250);
/// The factors of the pace when the topic is slow: a little, and ten times or more.
const SLOWER: (f64, f64) = (0.7, 0.1);
/// The factor of the pace when the topic is quick, for each [`SETTLING`] since the last change.
const FASTER: f64 = 1.1;
/// The part of the full pace that is left however slow the topic is, and messages a second that are
/// left of any pace: a user of whom nothing were published would wait for ever, as only a publish
/// shows that the topic is quick again.
const LEAST: (f64, f64) = (0.02, 1.0);
/// A publish that failed sooner says nothing about how quick the topic is.
const FAILS_SLOWLY: Duration = Duration::from_secs(2);

/// The number of messages of one user that a process publishes in a second. A slow topic is a sign
/// that it, or what is behind it, has more than it can do: the pace then falls, down to a fiftieth
/// but not below one message a second, and rises again once the topic is quick.
#[derive(Debug, Clone)]
pub struct TopicPace {
    /// Messages a second while the topic is quick.
    full: f64,
    /// Messages a second now.
    pace: f64,
    changed_at: Instant,
}

impl TopicPace {
    /// The full pace of so many messages a second; at least one.
    #[must_use]
    pub fn new(per_second: u32, now: Instant) -> Self {
        let full = f64::from(per_second.max(1));
        Self { full, pace: full, changed_at: now }
    }

    /// Messages a second now.
    #[must_use]
    pub const fn per_second(&self) -> f64 {
        self.pace
    }

    /// Notes the time that a publish of so many messages took. A quick failure changes nothing: a
    /// bus that is away is not overloaded.
    pub fn note(&mut self, messages: usize, took: Duration, succeeded: bool, now: Instant) {
        let since = now.saturating_duration_since(self.changed_at);
        if since < SETTLING || (!succeeded && took <= FAILS_SLOWLY) {
            return;
        }
        let expected = QUICK.as_secs_f64() * messages.max(MEASURE) as f64 / MEASURE as f64;
        let part = expected / took.as_secs_f64();
        let faster = || FASTER.powf(since.as_secs_f64() / SETTLING.as_secs_f64());
        let factor = if part >= 1.0 { faster() } else { part.clamp(SLOWER.1, SLOWER.0) };
        let least = (self.full * LEAST.0).max(LEAST.1);
        (self.pace, self.changed_at) = ((self.pace * factor).clamp(least, self.full), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn slows_down_beside_slow_topic_and_recovers() {
        let mut now = Instant::now();
        let mut pace = TopicPace::new(1_000, now);
        now += SECOND;
        pace.note(MEASURE, QUICK * 4, true, now);
        assert_eq!(pace.per_second(), 250.0);
        for _ in 0..3 {
            now += SECOND;
            pace.note(MEASURE, QUICK * 1_000, true, now);
        }
        assert_eq!(pace.per_second(), 20.0);
        pace.note(MEASURE * 5, QUICK * 2, true, now + SETTLING);
        assert!((21.0..23.0).contains(&pace.per_second()), "{}", pace.per_second());
        pace.note(MEASURE * 5, QUICK * 2, true, now + SECOND * 15);
        assert_eq!(pace.per_second(), 1_000.0);
    }

    #[tokio::test]
    async fn leaves_one_message_a_second_of_a_small_pace() {
        let now = Instant::now() + SECOND;
        let mut pace = TopicPace::new(10, now - SECOND);
        pace.note(MEASURE, QUICK * 1_000, true, now);
        pace.note(MEASURE, QUICK * 1_000, true, now + SECOND);
        assert_eq!(pace.per_second(), 1.0);
    }

    #[tokio::test]
    async fn changes_once_while_it_settles() {
        let now = Instant::now() + SECOND;
        let mut pace = TopicPace::new(1_000, now - SECOND);
        (0..10).for_each(|_| pace.note(1, QUICK * 2, true, now));
        assert_eq!(pace.per_second(), 500.0);
    }

    #[tokio::test]
    async fn takes_quick_failure_for_no_sign_of_load() {
        let now = Instant::now() + SECOND;
        let mut pace = TopicPace::new(1_000, now - SECOND);
        pace.note(1, SECOND, false, now);
        assert_eq!(pace.per_second(), 1_000.0);
        pace.note(1, SECOND * 3, false, now);
        assert_eq!(pace.per_second(), 100.0);
    }
}
