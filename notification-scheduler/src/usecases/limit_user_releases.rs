//! Limits the releases of each user, at a rate that follows the speed of the topic.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bus::AdaptiveRate;
use contract::Priority;
use tokio::time::Instant;

use crate::domain::{
    claim::{Batch, Claimed},
    user_key::UserKey,
    user_rate_limits::{Allowance, Candidate, UserRateLimits},
};

/// Rate limits of users, shared by the loops of one process.
#[derive(Debug)]
pub(crate) struct ReleaseLimits(Mutex<State>);

#[derive(Debug)]
struct State {
    rate: AdaptiveRate,
    users: UserRateLimits,
}

impl ReleaseLimits {
    /// Creates limits of `per_second` releases a second while the topic is fast, and as many at
    /// once.
    pub(crate) fn new(per_second: u32) -> Self {
        let now = Instant::now();
        let rate = AdaptiveRate::new(per_second, now);
        let users = UserRateLimits::new(rate.per_second(), now.into_std());
        Self(Mutex::new(State { rate, users }))
    }

    /// Returns the users that claims pass over.
    pub(crate) fn backlogged(&self) -> Vec<UserKey> {
        self.state().users.backlogged()
    }

    /// Returns the claims that are allowed for backlogged users now.
    pub(crate) fn allowances(&self) -> Vec<Allowance> {
        self.state().users.allowances(now())
    }

    /// Records the batch that an allowed claim returned.
    pub(crate) fn record_claim(&self, allowance: Allowance, batch: &Batch) {
        let first_due_at = batch
            .claimed
            .iter()
            .filter(|claimed| claimed.content.priority != Priority::High)
            .map(|claimed| claimed.due_at)
            .min();
        self.state().users.record_claim(allowance, batch.leased(), first_due_at, now());
    }

    /// Removes the occurrences beyond their user's limit from a batch, and returns them.
    pub(crate) fn split_off_excess(&self, batch: &mut Batch) -> Vec<Claimed> {
        let candidates: Vec<Candidate> = batch.claimed.iter().map(candidate).collect();
        let mut admitted = self.state().users.admit(&candidates, now()).into_iter();
        batch
            .claimed
            .extract_if(.., |_| admitted.next().is_some_and(|admitted| !admitted))
            .collect()
    }

    /// Records the duration of a publish, which determines the rate.
    pub(crate) fn record_publish(&self, messages: usize, took: Duration, succeeded: bool) {
        let mut state = self.state();
        state.record_publish(messages, took, succeeded, Instant::now());
        metrics::gauge!("reminders_scheduler_user_rate_limit").set(state.rate.per_second());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn record_publish(&mut self, messages: usize, took: Duration, succeeded: bool, now: Instant) {
        self.rate.record(messages, took, succeeded, now);
        self.users.set_rate(self.rate.per_second());
    }
}

fn candidate(claimed: &Claimed) -> Candidate {
    Candidate {
        user: claimed.user_key,
        due_at: claimed.due_at,
        is_urgent: claimed.content.priority == Priority::High,
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn of(user: i64) -> Candidate {
        let due_at: DateTime<Utc> = DateTime::UNIX_EPOCH;
        Candidate { user: UserKey::of_row(user), due_at, is_urgent: false }
    }

    #[tokio::test]
    async fn lowers_limit_while_topic_is_slow() {
        let limits = ReleaseLimits::new(4);
        let mut state = limits.state();
        let then = Instant::now() + SECOND;
        state.record_publish(1, SECOND, true, then);
        assert_eq!(state.rate.per_second(), 1.0);
        assert_eq!(state.users.admit(&[of(1), of(1), of(3)], then.into_std()), [true, false, true]);
        let later = then + SECOND;
        state.record_publish(1, 100 * SECOND, true, later);
        assert_eq!(
            state.users.admit(&[of(1), of(5)], later.into_std()),
            [true, true],
            "nobody waits for ever"
        );
    }
}
