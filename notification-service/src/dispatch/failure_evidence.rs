//! Parties whose latest attempt met trouble, weighed against those whose latest attempt succeeded.
//!
//! A party counts once, however many attempts it makes, so that users who send much weigh no more
//! than others. Successes count for a shorter time than trouble: when a provider breaks for
//! everybody, the successes from before are soon gone.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Whom trouble is charged to: the digest of a user, whatever number of devices it has.
pub(super) type Party = u64;

/// Parties with trouble that are remembered; further ones are not needed to reach a decision.
const MAX_FAILED: usize = 1_000;
/// Parties with a success that are remembered: fewer, so that trouble can outweigh them.
const MAX_SUCCEEDED: usize = 500;
/// For how long a success counts.
const SUCCESS_WINDOW: Duration = Duration::from_secs(10);
/// Sweeps of a set of parties within its window.
const SWEEPS: u32 = 16;

/// A bounded set of parties, each of which is kept for a window.
#[derive(Debug)]
pub(super) struct Parties {
    window: Duration,
    most: usize,
    at: HashMap<Party, Instant>,
    swept_at: Option<Instant>,
}

impl Parties {
    /// An empty set.
    pub(super) fn new(window: Duration, most: usize) -> Self {
        Self { window, most, at: HashMap::new(), swept_at: None }
    }

    /// Returns `true` if the party was added within the window.
    pub(super) fn contains(&self, now: Instant, party: Party) -> bool {
        self.at.get(&party).is_some_and(|at| now.saturating_duration_since(*at) < self.window)
    }

    /// Adds a party, or renews it; returns whether it is new within the window. A full set takes no
    /// new ones.
    pub(super) fn add(&mut self, now: Instant, party: Party) -> bool {
        self.forget_old(now);
        if let Some(at) = self.at.get_mut(&party) {
            let is_new = now.saturating_duration_since(*at) >= self.window;
            *at = now;
            return is_new;
        }
        if self.at.len() >= self.most {
            return false;
        }
        self.at.insert(party, now);
        true
    }

    /// Removes a party.
    pub(super) fn remove(&mut self, party: Party) {
        if !self.at.is_empty() {
            self.at.remove(&party);
        }
    }

    /// Parties in the set.
    pub(super) fn len(&mut self, now: Instant) -> usize {
        self.forget_old(now);
        self.at.len()
    }

    /// Empties the set and returns what was in it.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Party> + use<> {
        std::mem::take(&mut self.at).into_keys()
    }

    /// Drops parties that are older than the window, now and then: in an outage thousands are added
    /// a second.
    fn forget_old(&mut self, now: Instant) {
        let window = self.window;
        if self.swept_at.is_none_or(|at| now.saturating_duration_since(at) >= window / SWEEPS) {
            self.at.retain(|_, at| now.saturating_duration_since(*at) < window);
            self.swept_at = Some(now);
        }
    }
}

/// Latest outcomes by party.
#[derive(Debug)]
pub(super) struct Evidence {
    failed: Parties,
    succeeded: Parties,
}

impl Evidence {
    /// No evidence yet; a party's trouble counts for as long as `window`.
    pub(super) fn within(window: Duration) -> Self {
        let succeeded = Parties::new(SUCCESS_WINDOW.min(window), MAX_SUCCEEDED);
        Self { failed: Parties::new(window, MAX_FAILED), succeeded }
    }

    /// Notes the trouble of a party; returns whether it is new within the window.
    pub(super) fn fail(&mut self, now: Instant, party: Party) -> bool {
        self.succeeded.remove(party);
        let is_new = !self.failed.contains(now, party);
        // Not renewed: trouble that goes on is new again after the window.
        is_new && self.failed.add(now, party)
    }

    /// Notes the success of a party, which says that its trouble was its own.
    pub(super) fn succeed(&mut self, now: Instant, party: Party) {
        self.failed.remove(party);
        self.succeeded.add(now, party);
    }

    /// Returns `true` if this party's latest attempt within the window met trouble.
    pub(super) fn holds(&self, now: Instant, party: Party) -> bool {
        self.failed.contains(now, party)
    }

    /// Returns `true` if trouble is more than some parties' own: at least `alone` of them met it
    /// and nobody succeeded, or at least `several` and more than succeeded.
    pub(super) fn is_general(&mut self, now: Instant, alone: usize, several: usize) -> bool {
        let (failed, succeeded) = (self.failed.len(now), self.succeeded.len(now));
        (succeeded == 0 && failed >= alone) || (failed >= several && failed > succeeded)
    }

    /// Forgets all trouble and returns its parties.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = Party> + use<> {
        self.failed.drain()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn weighs_parties_and_not_attempts() {
        let (mut evidence, now) = (Evidence::within(SECOND * 60), Instant::now());
        for attempt in 0..1_000 {
            evidence.fail(now, attempt % 20);
        }
        assert!(evidence.is_general(now, 5, 5));
        (100..120).for_each(|party| evidence.succeed(now, party));
        assert!(!evidence.is_general(now, 1, 5), "as many succeed");
        assert!(evidence.fail(now, 20) && evidence.is_general(now, 1, 5));
    }

    #[test]
    fn counts_latest_outcome_of_party() {
        let (mut evidence, now) = (Evidence::within(SECOND * 60), Instant::now());
        (0..5).for_each(|party| evidence.succeed(now, party));
        (0..5).for_each(|party| assert!(evidence.fail(now, party)));
        assert!(evidence.is_general(now, 5, 5), "those who succeeded before fail now");
        evidence.succeed(now, 0);
        assert!(!evidence.is_general(now, 5, 5) && !evidence.holds(now, 0));
    }

    #[test]
    fn forgets_successes_sooner_than_trouble() {
        let (mut evidence, now) = (Evidence::within(SECOND * 60), Instant::now());
        (0..1_000).for_each(|party| evidence.succeed(now, party));
        (1_000..1_020).for_each(|party| assert!(evidence.fail(now, party)));
        assert!(!evidence.is_general(now + SECOND * 9, 1, 5));
        assert!(evidence.is_general(now + SECOND * 11, 1, 5));
        assert!(!evidence.is_general(now + SECOND * 61, 1, 5));
    }

    #[test]
    fn bounds_what_is_remembered() {
        let (mut evidence, now) = (Evidence::within(SECOND * 60), Instant::now());
        (0..5_000).for_each(|party| evidence.succeed(now, party));
        for party in 10_000..15_000 {
            evidence.fail(now, party);
        }
        assert_eq!(
            (evidence.failed.len(now), evidence.succeeded.len(now)),
            (MAX_FAILED, MAX_SUCCEEDED)
        );
        assert!(evidence.is_general(now, 5, 5), "trouble of many outweighs any success");
    }
}
