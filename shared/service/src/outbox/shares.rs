//! Shares: rate limits for the messages of one user. Pure.
//!
//! Each user has a token bucket. Messages beyond it wait, in memory or in the outbox, without
//! delaying those of others. The queue behind the topic is first in, first out, and so never holds
//! many messages of one user. While the topic is slow, buckets hold less and refill more slowly
//! ([`AdaptiveRate`]). Each process has its own buckets: with `n` replicas the share of a user is
//! up to `n` times as large.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use bus::AdaptiveRate;

/// Burst of a share, in seconds.
const BURST_SECONDS: f64 = 2.0;
/// Part of a share that is reserved for rows that wait in the outbox, however many newer messages
/// there are.
const BACKLOG_PART: f64 = 0.5;
/// Number of buckets from which on full ones are removed.
const MAX_BUCKETS: usize = 10_000;

/// The shares of all users.
#[derive(Debug)]
pub(super) struct Shares {
    /// Tokens per second.
    rate: AdaptiveRate,
    buckets: HashMap<Arc<str>, Bucket>,
    /// Number of buckets at which full ones are removed next.
    purge_at: usize,
}

#[derive(Debug)]
struct Bucket {
    /// Number of tokens; negative if tokens were taken in advance.
    tokens: f64,
    filled_at: Instant,
}

impl Shares {
    /// Creates full shares of `per_second` messages per second.
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        Self {
            rate: AdaptiveRate::new(per_second, now),
            buckets: HashMap::new(),
            purge_at: MAX_BUCKETS,
        }
    }

    /// Takes up to `wanted` tokens of a user; returns how many were taken.
    pub(super) fn take(&mut self, user: &Arc<str>, wanted: usize, now: Instant) -> usize {
        let bucket = self.bucket(user, now);
        let taken = wanted.min(bucket.tokens.max(0.0) as usize);
        bucket.tokens -= taken as f64;
        taken
    }

    /// Takes tokens for the rows that have waited longest; called once per second. If newer
    /// messages have used up all tokens, a part of one second's share is taken in advance, so that
    /// newer messages wait in their turn.
    pub(super) fn take_for_backlog(
        &mut self,
        user: &Arc<str>,
        wanted: usize,
        now: Instant,
    ) -> usize {
        let rate = self.rate();
        let bucket = self.bucket(user, now);
        let in_advance = (rate * BACKLOG_PART).max(1.0).min(bucket.tokens + rate);
        let taken = wanted.min(bucket.tokens.max(in_advance).max(0.0) as usize);
        bucket.tokens -= taken as f64;
        taken
    }

    /// Returns tokens that were not used.
    pub(super) fn return_tokens(&mut self, user: &Arc<str>, tokens: usize, now: Instant) {
        let burst = self.burst();
        let bucket = self.bucket(user, now);
        bucket.tokens = (bucket.tokens + tokens as f64).min(burst);
    }

    /// Records the time that the topic took for a number of messages; returns the new rate in
    /// messages of one user per second.
    pub(super) fn record(
        &mut self,
        messages: usize,
        took: Duration,
        succeeded: bool,
        now: Instant,
    ) -> f64 {
        self.rate.record(messages, took, succeeded, now);
        self.rate()
    }

    fn rate(&self) -> f64 {
        self.rate.per_second()
    }

    fn burst(&self) -> f64 {
        (self.rate() * BURST_SECONDS).max(1.0)
    }

    fn bucket(&mut self, user: &Arc<str>, now: Instant) -> &mut Bucket {
        let (rate, burst) = (self.rate(), self.burst());
        if self.buckets.len() >= self.purge_at {
            self.purge(now);
        }
        let new = Bucket { tokens: burst, filled_at: now };
        let bucket = self.buckets.entry(Arc::clone(user)).or_insert(new);
        let elapsed = now.saturating_duration_since(bucket.filled_at).as_secs_f64();
        bucket.tokens = elapsed.mul_add(rate, bucket.tokens).min(burst);
        bucket.filled_at = now;
        bucket
    }

    /// Removes buckets that are full: a user without one has a full one.
    fn purge(&mut self, now: Instant) {
        let (rate, burst) = (self.rate(), self.burst());
        self.buckets.retain(|_, bucket| {
            let elapsed = now.saturating_duration_since(bucket.filled_at).as_secs_f64();
            elapsed.mul_add(rate, bucket.tokens) < burst
        });
        self.purge_at = (self.buckets.len() * 2).max(MAX_BUCKETS);
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
    async fn takes_burst_then_rate() {
        let now = Instant::now();
        let mut shares = Shares::new(100, now);
        let ada = user("ada");
        assert_eq!(shares.take(&ada, 1_000, now), 200);
        assert_eq!(shares.take(&ada, 1_000, now), 0);
        assert_eq!(shares.take(&ada, 1_000, now + SECOND), 100);
        assert_eq!(shares.take(&user("grace"), 1_000, now + SECOND), 200);
        shares.return_tokens(&ada, 60, now + SECOND);
        assert_eq!(shares.take(&ada, 1_000, now + SECOND), 60);
    }

    #[tokio::test]
    async fn reserves_half_for_backlog_beside_newer_messages() {
        let mut now = Instant::now();
        let mut shares = Shares::new(100, now);
        let ada = user("ada");
        shares.take(&ada, 1_000, now);
        let (mut backlog, mut newer) = (0, 0);
        for _ in 0..10 {
            now += SECOND / 2;
            newer += shares.take(&ada, 1_000, now);
            now += SECOND / 2;
            newer += shares.take(&ada, 1_000, now);
            backlog += shares.take_for_backlog(&ada, 1_000, now);
        }
        assert!(backlog >= 400 && newer >= 400, "{backlog} and {newer}");
        assert!(backlog + newer <= 1_100, "{backlog} and {newer}");
        assert!(
            shares.take_for_backlog(&ada, 1_000, now) <= 100,
            "no more than a second is taken in advance"
        );
    }

    #[tokio::test]
    async fn takes_less_while_topic_is_slow() {
        let now = Instant::now();
        let mut shares = Shares::new(1_000, now);
        assert_eq!(shares.record(100, SECOND, true, now + SECOND), 25.0);
        assert_eq!(shares.take(&user("ada"), 1_000, now + SECOND), 50);
    }

    #[tokio::test]
    async fn removes_full_buckets() {
        let now = Instant::now();
        let mut shares = Shares::new(1_000, now);
        for number in 0..MAX_BUCKETS {
            shares.take(&user(&number.to_string()), 1, now);
        }
        assert_eq!(shares.buckets.len(), MAX_BUCKETS);
        shares.take(&user("ada"), 1, now + SECOND);
        assert_eq!(shares.buckets.len(), 1);
    }
}
