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
/// Factors of the pace when the topic is quick and as much as [`IN_USE`] of the pace was published
/// since the last change: until the topic is slow for the first time, and afterwards.
const FASTER: (f64, f64) = (1.5, 1.1);
/// Part of the pace that all messages since the last change must have come to: fewer show nothing
/// about a quicker pace.
const IN_USE: f64 = 0.5;
/// Messages a second that a new process begins with, if the full pace is not less.
const FIRST: f64 = 100.0;
/// The part of the full pace that is left however slow the topic is, and messages a second that are
/// left of any pace: a user of whom nothing were published would wait for ever, as only a publish
/// shows that the topic is quick again.
const LEAST: (f64, f64) = (0.02, 1.0);
/// A publish that failed sooner says nothing about how quick the topic is.
const FAILS_SLOWLY: Duration = Duration::from_secs(2);

/// Messages of one user that a process publishes in a second. A slow topic is a sign that it, or
/// what is behind it, has more than it can do: the pace then falls, down to a fiftieth but not
/// below one message a second. It begins with a hundred a second, and rises while the topic is
/// quick and the pace is used.
#[derive(Debug, Clone)]
pub struct TopicPace {
    /// Messages a second at the most.
    full: f64,
    /// Messages a second now.
    pace: f64,
    /// Factor of the next rise.
    faster: f64,
    /// Messages of all users since the last change.
    published: usize,
    changed_at: Instant,
}

impl TopicPace {
    /// Creates a pace that rises to so many messages a second; at least one.
    #[must_use]
    pub fn new(per_second: u32, now: Instant) -> Self {
        let full = f64::from(per_second.max(1));
        let pace = full.min(FIRST);
        Self { full, pace, faster: FASTER.0, published: 0, changed_at: now }
    }

    /// Messages a second now.
    #[must_use]
    pub const fn per_second(&self) -> f64 {
        self.pace
    }

    /// Notes the time that a publish of so many messages took. A quick failure changes nothing: a
    /// bus that is away is not overloaded.
    pub fn note(&mut self, messages: usize, took: Duration, succeeded: bool, now: Instant) {
        if !succeeded && took <= FAILS_SLOWLY {
            return;
        }
        self.published += messages;
        let since = now.saturating_duration_since(self.changed_at);
        if since < SETTLING {
            return;
        }
        let expected = QUICK.as_secs_f64() * messages.max(MEASURE) as f64 / MEASURE as f64;
        let part = expected / took.as_secs_f64();
        if part < 1.0 {
            self.pace *= part.clamp(SLOWER.1, SLOWER.0);
            self.faster = FASTER.1;
        } else if self.published as f64 >= self.pace * since.as_secs_f64() * IN_USE {
            self.pace *= self.faster;
        }
        self.pace = self.pace.clamp((self.full * LEAST.0).max(LEAST.1), self.full);
        (self.published, self.changed_at) = (0, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A pace that has risen to the full `per_second`, a second before now.
    fn full(per_second: u32, now: Instant) -> TopicPace {
        let pace = f64::from(per_second);
        TopicPace { pace, ..TopicPace::new(per_second, now.checked_sub(SECOND).unwrap_or(now)) }
    }

    #[tokio::test]
    async fn rises_from_hundred_while_it_is_used() {
        let mut now = Instant::now();
        let mut pace = TopicPace::new(1_000, now);
        assert_eq!(pace.per_second(), 100.0);
        for used in [150.0, 225.0, 337.5] {
            now += SECOND;
            pace.note(MEASURE * 2, QUICK, true, now);
            assert_eq!(pace.per_second(), used);
        }
        now += SECOND;
        pace.note(MEASURE, QUICK, true, now);
        assert_eq!(pace.per_second(), 337.5, "a hundred messages show nothing about four hundred");
        for _ in 0..8 {
            now += SECOND;
            pace.note(MEASURE * 5, QUICK, true, now);
        }
        assert_eq!(pace.per_second(), 1_000.0);
    }

    #[tokio::test]
    async fn counts_messages_while_it_settles() {
        let now = Instant::now();
        let mut pace = TopicPace::new(1_000, now);
        (0..9).for_each(|_| pace.note(5, QUICK / 10, true, now + SETTLING / 2));
        pace.note(5, QUICK / 10, true, now + SECOND);
        assert_eq!(pace.per_second(), 150.0);
    }

    #[tokio::test]
    async fn slows_down_beside_slow_topic_and_recovers() {
        let mut now = Instant::now();
        let mut pace = full(1_000, now);
        pace.note(MEASURE, QUICK * 4, true, now);
        assert_eq!(pace.per_second(), 250.0);
        for _ in 0..3 {
            now += SECOND;
            pace.note(MEASURE, QUICK * 1_000, true, now);
        }
        assert_eq!(pace.per_second(), 20.0);
        pace.note(MEASURE * 5, QUICK * 2, true, now + SETTLING);
        assert!((21.0..23.0).contains(&pace.per_second()), "{}", pace.per_second());
        for quarter in 2..60 {
            pace.note(MEASURE * 5, QUICK * 2, true, now + SETTLING * quarter);
        }
        assert_eq!(pace.per_second(), 1_000.0);
    }

    #[tokio::test]
    async fn leaves_one_message_a_second_of_a_small_pace() {
        let now = Instant::now();
        let mut pace = full(10, now);
        pace.note(MEASURE, QUICK * 1_000, true, now);
        pace.note(MEASURE, QUICK * 1_000, true, now + SECOND);
        assert_eq!(pace.per_second(), 1.0);
    }

    #[tokio::test]
    async fn changes_once_while_it_settles() {
        let now = Instant::now();
        let mut pace = full(1_000, now);
        (0..10).for_each(|_| pace.note(1, QUICK * 2, true, now));
        assert_eq!(pace.per_second(), 500.0);
    }

    #[tokio::test]
    async fn takes_quick_failure_for_no_sign_of_load() {
        let now = Instant::now();
        let mut pace = full(1_000, now);
        pace.note(1, SECOND, false, now);
        assert_eq!(pace.per_second(), 1_000.0);
        pace.note(1, SECOND * 3, false, now);
        assert_eq!(pace.per_second(), 100.0);
    }
}
