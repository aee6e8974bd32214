//! Users whose latest attempt failed, weighed against those whose latest attempt succeeded.
//!
//! A user counts once, however many attempts they cause, so that users who send much weigh no more
//! than others. Successes count for a shorter time than failures: when a provider fails for
//! everybody, the successes from before are soon gone.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Digest of a user; all of the user's devices share it.
pub(super) type UserDigest = u64;

/// Users with a failure that are remembered; more are not needed to reach a decision.
const MAX_FAILED: usize = 1_000;
/// Users with a success that are remembered: fewer, so that failures can outweigh them.
const MAX_SUCCEEDED: usize = 500;
/// Time for which a success counts.
const SUCCESS_WINDOW: Duration = Duration::from_secs(10);
/// Times that a set is pruned within its window.
const PRUNES: u32 = 16;

/// Bounded set of users, each of which is kept for a window.
#[derive(Debug)]
pub(super) struct RecentUsers {
    window: Duration,
    most: usize,
    at: HashMap<UserDigest, Instant>,
    pruned_at: Option<Instant>,
}

impl RecentUsers {
    /// Creates an empty set.
    pub(super) fn new(window: Duration, most: usize) -> Self {
        Self { window, most, at: HashMap::new(), pruned_at: None }
    }

    /// Returns `true` if the user was added within the window.
    pub(super) fn contains(&self, now: Instant, user: UserDigest) -> bool {
        self.at.get(&user).is_some_and(|at| now.saturating_duration_since(*at) < self.window)
    }

    /// Adds a user, or renews them; returns `true` if they are new within the window. A full set
    /// takes no new ones.
    pub(super) fn add(&mut self, now: Instant, user: UserDigest) -> bool {
        self.prune(now);
        if let Some(at) = self.at.get_mut(&user) {
            let is_new = now.saturating_duration_since(*at) >= self.window;
            *at = now;
            return is_new;
        }
        if self.at.len() >= self.most {
            return false;
        }
        self.at.insert(user, now);
        true
    }

    /// Removes a user.
    pub(super) fn remove(&mut self, user: UserDigest) {
        if !self.at.is_empty() {
            self.at.remove(&user);
        }
    }

    /// Number of users in the set.
    pub(super) fn len(&mut self, now: Instant) -> usize {
        self.prune(now);
        self.at.len()
    }

    /// Empties the set and returns what was in it.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = UserDigest> + use<> {
        std::mem::take(&mut self.at).into_keys()
    }

    /// Removes users that are older than the window, a few times per window: in an outage thousands
    /// are added a second.
    fn prune(&mut self, now: Instant) {
        let window = self.window;
        if self.pruned_at.is_none_or(|at| now.saturating_duration_since(at) >= window / PRUNES) {
            self.at.retain(|_, at| now.saturating_duration_since(*at) < window);
            self.pruned_at = Some(now);
        }
    }
}

/// Latest outcomes by user.
#[derive(Debug)]
pub(super) struct FailureEvidence {
    failed: RecentUsers,
    succeeded: RecentUsers,
}

impl FailureEvidence {
    /// Creates empty evidence; a user's failure counts for as long as `window`.
    pub(super) fn within(window: Duration) -> Self {
        let succeeded = RecentUsers::new(SUCCESS_WINDOW.min(window), MAX_SUCCEEDED);
        Self { failed: RecentUsers::new(window, MAX_FAILED), succeeded }
    }

    /// Notes the failure of a user; returns `true` if it is new within the window.
    pub(super) fn fail(&mut self, now: Instant, user: UserDigest) -> bool {
        self.succeeded.remove(user);
        let is_new = !self.failed.contains(now, user);
        // Not renewed: a failure that goes on is new again after the window.
        is_new && self.failed.add(now, user)
    }

    /// Notes the success of a user, whose failure no longer counts.
    pub(super) fn succeed(&mut self, now: Instant, user: UserDigest) {
        self.failed.remove(user);
        self.succeeded.add(now, user);
    }

    /// Returns `true` if this user's latest attempt within the window failed.
    pub(super) fn holds(&self, now: Instant, user: UserDigest) -> bool {
        self.failed.contains(now, user)
    }

    /// Returns `true` if the failures are not only some users' own: at least `alone` users failed
    /// and nobody succeeded, or at least `several` failed and more than succeeded.
    pub(super) fn is_general(&mut self, now: Instant, alone: usize, several: usize) -> bool {
        let (failed, succeeded) = (self.failed.len(now), self.succeeded.len(now));
        (succeeded == 0 && failed >= alone) || (failed >= several && failed > succeeded)
    }

    /// Removes all failures and returns their users.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = UserDigest> + use<> {
        self.failed.drain()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn weighs_users_and_not_attempts() {
        let (mut evidence, now) = (FailureEvidence::within(SECOND * 60), Instant::now());
        for attempt in 0..1_000 {
            evidence.fail(now, attempt % 20);
        }
        assert!(evidence.is_general(now, 5, 5));
        (100..120).for_each(|user| evidence.succeed(now, user));
        assert!(!evidence.is_general(now, 1, 5), "as many succeed");
        assert!(evidence.fail(now, 20) && evidence.is_general(now, 1, 5));
    }

    #[test]
    fn counts_latest_outcome_of_party() {
        let (mut evidence, now) = (FailureEvidence::within(SECOND * 60), Instant::now());
        (0..5).for_each(|user| evidence.succeed(now, user));
        (0..5).for_each(|user| assert!(evidence.fail(now, user)));
        assert!(evidence.is_general(now, 5, 5), "those who succeeded before fail now");
        evidence.succeed(now, 0);
        assert!(!evidence.is_general(now, 5, 5) && !evidence.holds(now, 0));
    }

    #[test]
    fn drops_successes_sooner_than_failures() {
        let (mut evidence, now) = (FailureEvidence::within(SECOND * 60), Instant::now());
        (0..1_000).for_each(|user| evidence.succeed(now, user));
        (1_000..1_020).for_each(|user| assert!(evidence.fail(now, user)));
        assert!(!evidence.is_general(now + SECOND * 9, 1, 5));
        assert!(evidence.is_general(now + SECOND * 11, 1, 5));
        assert!(!evidence.is_general(now + SECOND * 61, 1, 5));
    }

    #[test]
    fn bounds_what_is_remembered() {
        let (mut evidence, now) = (FailureEvidence::within(SECOND * 60), Instant::now());
        (0..5_000).for_each(|user| evidence.succeed(now, user));
        for user in 10_000..15_000 {
            evidence.fail(now, user);
        }
        assert_eq!(
            (evidence.failed.len(now), evidence.succeeded.len(now)),
            (MAX_FAILED, MAX_SUCCEEDED)
        );
        assert!(evidence.is_general(now, 5, 5), "failures of many outweigh any success");
    }
}
