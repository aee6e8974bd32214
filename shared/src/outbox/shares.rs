//! Shares: the number of messages of one user that are published in a second. Pure.
//!
//! Each user has a token bucket. Messages beyond it wait, in memory or in the outbox, while those
//! of others go on: the queue behind the topic is first in, first out, and thereby never holds much
//! of one user. Beside a slow topic buckets hold less and refill more slowly ([`TopicPace`]). Every
//! process has buckets of its own: with `n` replicas a user's share is up to `n` times as large.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::bus::TopicPace;

/// Seconds of a share that may be published at once.
const BURST_SECONDS: f64 = 2.0;
/// The part of a share that is for what waits in the outbox, however much newer messages take.
const OF_LATE: f64 = 0.5;
/// Buckets in memory from which on those that are full are removed.
const BUCKETS: usize = 10_000;

/// The shares of all users.
#[derive(Debug)]
pub(super) struct Shares {
    /// Tokens a second.
    pace: TopicPace,
    buckets: HashMap<Arc<str>, Bucket>,
    /// The number of buckets from which on full ones are removed.
    purge_at: usize,
}

#[derive(Debug)]
struct Bucket {
    /// Negative by what was taken in advance.
    tokens: f64,
    filled_at: Instant,
}

impl Shares {
    /// Full shares of so many messages a second.
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        Self { pace: TopicPace::new(per_second, now), buckets: HashMap::new(), purge_at: BUCKETS }
    }

    /// Takes tokens of a user; answers how many of those that were wanted there were.
    pub(super) fn take(&mut self, user: &Arc<str>, wanted: usize, now: Instant) -> usize {
        let bucket = self.bucket(user, now);
        let taken = wanted.min(bucket.tokens.max(0.0) as usize);
        bucket.tokens -= taken as f64;
        taken
    }

    /// Takes tokens for what has waited longest, asked for once a second. A part of a second's
    /// share is taken in advance when newer messages have used up all tokens, so that those wait in
    /// turn.
    pub(super) fn take_for_late(&mut self, user: &Arc<str>, wanted: usize, now: Instant) -> usize {
        let pace = self.pace();
        let bucket = self.bucket(user, now);
        let in_advance = (pace * OF_LATE).max(1.0).min(bucket.tokens + pace);
        let taken = wanted.min(bucket.tokens.max(in_advance).max(0.0) as usize);
        bucket.tokens -= taken as f64;
        taken
    }

    /// Gives back tokens that were not used.
    pub(super) fn give_back(&mut self, user: &Arc<str>, tokens: usize, now: Instant) {
        let burst = self.burst();
        let bucket = self.bucket(user, now);
        bucket.tokens = (bucket.tokens + tokens as f64).min(burst);
    }

    /// Notes how long the topic took for so many messages, and returns the pace: messages of one
    /// user a second.
    pub(super) fn note(
        &mut self,
        messages: usize,
        took: Duration,
        succeeded: bool,
        now: Instant,
    ) -> f64 {
        self.pace.note(messages, took, succeeded, now);
        self.pace()
    }

    fn pace(&self) -> f64 {
        self.pace.per_second()
    }

    fn burst(&self) -> f64 {
        (self.pace() * BURST_SECONDS).max(1.0)
    }

    fn bucket(&mut self, user: &Arc<str>, now: Instant) -> &mut Bucket {
        let (pace, burst) = (self.pace(), self.burst());
        if self.buckets.len() >= self.purge_at {
            self.purge(now);
        }
        let new = Bucket { tokens: burst, filled_at: now };
        let bucket = self.buckets.entry(Arc::clone(user)).or_insert(new);
        let elapsed = now.saturating_duration_since(bucket.filled_at).as_secs_f64();
        bucket.tokens = elapsed.mul_add(pace, bucket.tokens).min(burst);
        bucket.filled_at = now;
        bucket
    }

    /// Removes buckets that are full: a user without one has a full one.
    fn purge(&mut self, now: Instant) {
        let (pace, burst) = (self.pace(), self.burst());
        self.buckets.retain(|_, bucket| {
            let elapsed = now.saturating_duration_since(bucket.filled_at).as_secs_f64();
            elapsed.mul_add(pace, bucket.tokens) < burst
        });
        self.purge_at = (self.buckets.len() * 2).max(BUCKETS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn user(name: &str) -> Arc<str> {
        Arc::from(name)
    }

    #[tokio::test]
    async fn takes_no_more_than_burst_then_pace() {
        let now = Instant::now();
        let mut shares = Shares::new(100, now);
        let ada = user("ada");
        assert_eq!(shares.take(&ada, 1_000, now), 200);
        assert_eq!(shares.take(&ada, 1_000, now), 0);
        assert_eq!(shares.take(&ada, 1_000, now + SECOND), 100);
        assert_eq!(shares.take(&user("grace"), 1_000, now + SECOND), 200);
        shares.give_back(&ada, 60, now + SECOND);
        assert_eq!(shares.take(&ada, 1_000, now + SECOND), 60);
    }

    #[tokio::test]
    async fn leaves_half_to_late_rows_beside_newer_messages() {
        let mut now = Instant::now();
        let mut shares = Shares::new(100, now);
        let ada = user("ada");
        shares.take(&ada, 1_000, now);
        let (mut late, mut newer) = (0, 0);
        for _ in 0..10 {
            now += SECOND / 2;
            newer += shares.take(&ada, 1_000, now);
            now += SECOND / 2;
            newer += shares.take(&ada, 1_000, now);
            late += shares.take_for_late(&ada, 1_000, now);
        }
        assert!(late >= 400 && newer >= 400, "{late} and {newer}");
        assert!(late + newer <= 1_100, "{late} and {newer}");
        assert!(
            shares.take_for_late(&ada, 1_000, now) <= 100,
            "no more than a second is taken in advance"
        );
    }

    #[tokio::test]
    async fn takes_less_beside_slow_topic() {
        let now = Instant::now();
        let mut shares = Shares::new(1_000, now);
        assert_eq!(shares.note(100, SECOND, true, now + SECOND), 25.0);
        assert_eq!(shares.take(&user("ada"), 1_000, now + SECOND), 50);
    }

    #[tokio::test]
    async fn forgets_buckets_that_are_full() {
        let now = Instant::now();
        let mut shares = Shares::new(1_000, now);
        for number in 0..BUCKETS {
            shares.take(&user(&number.to_string()), 1, now);
        }
        assert_eq!(shares.buckets.len(), BUCKETS);
        shares.take(&user("ada"), 1, now + SECOND);
        assert_eq!(shares.buckets.len(), 1);
    }
}
