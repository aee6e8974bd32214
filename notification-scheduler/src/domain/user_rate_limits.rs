//! Rate limit of each user's releases.
//!
//! Each user has a token bucket. Occurrences beyond it are returned, and the user counts as
//! backlogged: claims pass over that user, whose occurrences are then claimed separately as the
//! bucket refills, until no more are found. Other users' occurrences are claimed as if the backlog
//! did not exist, and the queue behind the topic stays short. While the topic is slow, buckets hold
//! less and refill more slowly. Every scheduler has its own buckets: with `n` replicas a user's
//! limit is up to `n` times as large.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};

use super::user_key::UserKey;

/// Largest number of backlogged users. Each one costs a claim another range of the index; users
/// beyond these are not limited.
const MAX_BACKLOGGED: usize = 16;
/// Fraction of a full bucket from which a separate claim for its user is made.
const MIN_CLAIM_FRACTION: f64 = 0.1;
/// Time between two purges of full buckets.
const PURGE_EVERY: Duration = Duration::from_secs(1);

/// Properties of an occurrence that the rate limit depends on.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    /// The user.
    pub user: UserKey,
    /// Time at which the occurrence is due.
    pub due_at: DateTime<Utc>,
    /// `true` if the priority is `high`.
    pub is_urgent: bool,
}

/// A claim that is allowed for a backlogged user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// The user.
    pub user: UserKey,
    /// No occurrence of the backlog is due before this.
    pub since: DateTime<Utc>,
    /// Largest number of occurrences.
    pub limit: usize,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled_at: Instant,
}

/// Rate limits of all users.
#[derive(Debug)]
pub struct UserRateLimits {
    /// Tokens a second, and in a full bucket.
    per_second: f64,
    buckets: HashMap<UserKey, Bucket>,
    backlogged: BTreeMap<UserKey, DateTime<Utc>>,
    purged_at: Instant,
}

impl UserRateLimits {
    /// Creates limits of `per_second` releases a second, and as many at once.
    #[must_use]
    pub fn new(per_second: f64, now: Instant) -> Self {
        Self { per_second, buckets: HashMap::new(), backlogged: BTreeMap::new(), purged_at: now }
    }

    /// Sets the releases of one user a second.
    pub fn set_rate(&mut self, per_second: f64) {
        self.per_second = per_second;
    }

    /// Decides for each claimed occurrence whether it is released now. Of one user's, urgent ones
    /// come before others, and earlier ones before later ones.
    pub fn admit(&mut self, candidates: &[Candidate], now: Instant) -> Vec<bool> {
        self.purge(now);
        let mut order: Vec<usize> = (0..candidates.len()).collect();
        order.sort_by_key(|position| {
            candidates.get(*position).map(|candidate| (!candidate.is_urgent, candidate.due_at))
        });
        let mut admitted = vec![true; candidates.len()];
        for position in order {
            let Some(candidate) = candidates.get(position) else { continue };
            if !self.take(candidate.user, now) && self.note_backlog(candidate) {
                admitted[position] = false;
            }
        }
        admitted
    }

    /// Returns the users that claims pass over.
    #[must_use]
    pub fn backlogged(&self) -> Vec<UserKey> {
        self.backlogged.keys().copied().collect()
    }

    /// Returns the claims that are allowed for backlogged users now.
    pub fn allowances(&mut self, now: Instant) -> Vec<Allowance> {
        let users: Vec<(UserKey, DateTime<Utc>)> =
            self.backlogged.iter().map(|(user, since)| (*user, *since)).collect();
        let worth = (self.per_second * MIN_CLAIM_FRACTION).max(1.0);
        let allowance = |(user, since)| {
            let tokens = self.bucket(user, now).tokens;
            (tokens >= worth).then_some(Allowance { user, since, limit: tokens as usize })
        };
        users.into_iter().filter_map(allowance).collect()
    }

    /// Records the result of an allowed claim: the number of occurrences, and the due time of the
    /// first that is not urgent. A claim with fewer occurrences than allowed ends the backlog.
    pub fn record_claim(
        &mut self,
        allowance: Allowance,
        claimed: usize,
        first_due_at: Option<DateTime<Utc>>,
        now: Instant,
    ) {
        let bucket = self.bucket(allowance.user, now);
        bucket.tokens = (bucket.tokens - claimed as f64).max(0.0);
        if claimed < allowance.limit {
            self.backlogged.remove(&allowance.user);
        } else if let (Some(since), Some(first)) =
            (self.backlogged.get_mut(&allowance.user), first_due_at)
        {
            *since = first.max(*since);
        }
    }

    fn take(&mut self, user: UserKey, now: Instant) -> bool {
        let bucket = self.bucket(user, now);
        let has_token = bucket.tokens >= 1.0;
        if has_token {
            bucket.tokens -= 1.0;
        }
        has_token
    }

    /// Counts the user as backlogged; `false` when there are too many of them already.
    fn note_backlog(&mut self, candidate: &Candidate) -> bool {
        if let Some(since) = self.backlogged.get_mut(&candidate.user) {
            *since = candidate.due_at.min(*since);
            return true;
        }
        let has_room = self.backlogged.len() < MAX_BACKLOGGED;
        if has_room {
            self.backlogged.insert(candidate.user, candidate.due_at);
        }
        has_room
    }

    fn bucket(&mut self, user: UserKey, now: Instant) -> &mut Bucket {
        let full = self.per_second;
        let bucket = self.buckets.entry(user).or_insert(Bucket { tokens: full, filled_at: now });
        let elapsed = now.saturating_duration_since(bucket.filled_at).as_secs_f64();
        bucket.tokens = elapsed.mul_add(full, bucket.tokens).min(full);
        bucket.filled_at = now;
        bucket
    }

    /// Removes buckets that have filled up: what is left is bounded by what is released in a
    /// second.
    fn purge(&mut self, now: Instant) {
        if now.saturating_duration_since(self.purged_at) >= PURGE_EVERY {
            self.buckets
                .retain(|_, bucket| now.saturating_duration_since(bucket.filled_at) < PURGE_EVERY);
            self.purged_at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn due(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn of(user: i64, seconds: i64, is_urgent: bool) -> Candidate {
        Candidate { user: UserKey::of_row(user), due_at: due(seconds), is_urgent }
    }

    #[test]
    fn admits_users_within_limit() {
        let now = Instant::now();
        let mut rate_limits = UserRateLimits::new(2.0, now);
        let candidates = [of(1, 0, false), of(3, 0, false), of(1, 1, false), of(3, 1, false)];
        assert_eq!(rate_limits.admit(&candidates, now), [true; 4]);
        assert!(rate_limits.backlogged().is_empty());
    }

    #[test]
    fn rejects_occurrences_beyond_users_limit() {
        let now = Instant::now();
        let mut rate_limits = UserRateLimits::new(2.0, now);
        let candidates =
            [of(1, 5, false), of(1, 6, false), of(1, 7, true), of(1, 8, false), of(3, 9, false)];
        assert_eq!(rate_limits.admit(&candidates, now), [true, false, true, false, true]);
        assert_eq!(rate_limits.backlogged(), [UserKey::of_row(1)]);
        assert_eq!(rate_limits.allowances(now), []);
        let allowance = Allowance { user: UserKey::of_row(1), since: due(6), limit: 2 };
        assert_eq!(rate_limits.allowances(now + SECOND), [allowance]);
    }

    #[test]
    fn admits_fewer_at_lower_rate() {
        let now = Instant::now();
        let mut rate_limits = UserRateLimits::new(4.0, now);
        rate_limits.set_rate(1.0);
        assert_eq!(
            rate_limits.admit(&[of(1, 5, false), of(1, 6, false), of(3, 5, false)], now),
            [true, false, true]
        );
        assert_eq!(
            rate_limits.admit(&[of(1, 7, false), of(5, 7, false)], now + SECOND),
            [true, true]
        );
    }

    #[test]
    fn ends_backlog_when_a_claim_finds_no_more() {
        let now = Instant::now();
        let mut rate_limits = UserRateLimits::new(1.0, now);
        rate_limits.admit(&[of(1, 5, false), of(1, 6, false)], now);
        let allowance = rate_limits.allowances(now + SECOND)[0];
        rate_limits.record_claim(allowance, 1, Some(due(6)), now + SECOND);
        assert_eq!(rate_limits.backlogged().len(), 1);
        let allowance = rate_limits.allowances(now + 2 * SECOND)[0];
        rate_limits.record_claim(allowance, 0, None, now + 2 * SECOND);
        assert!(rate_limits.backlogged().is_empty());
    }

    #[test]
    fn admits_users_beyond_most_backlogged() {
        let now = Instant::now();
        let mut rate_limits = UserRateLimits::new(1.0, now);
        let users = 2 * MAX_BACKLOGGED as i64;
        let candidates: Vec<Candidate> =
            (0..users).flat_map(|user| [of(2 * user, 0, false), of(2 * user, 0, false)]).collect();
        let admitted =
            rate_limits.admit(&candidates, now).into_iter().filter(|admitted| *admitted).count();
        assert_eq!(
            (rate_limits.backlogged().len(), admitted),
            (MAX_BACKLOGGED, candidates.len() - MAX_BACKLOGGED)
        );
    }

    #[test]
    fn purges_full_buckets() {
        let now = Instant::now();
        let mut rate_limits = UserRateLimits::new(10.0, now);
        let candidates: Vec<Candidate> = (0..100).map(|user| of(2 * user, 0, false)).collect();
        rate_limits.admit(&candidates, now);
        rate_limits.admit(&[of(1_000, 0, false)], now + 2 * SECOND);
        assert_eq!(rate_limits.buckets.len(), 1);
    }
}
