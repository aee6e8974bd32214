//! Distinct parties that met trouble lately. One party's trouble counts once, however often it is met.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Whom trouble is charged to: the digest of a user, whatever number of devices it has.
pub(in crate::lanes) type Party = u64;

/// The most parties that are remembered; further ones are not needed to reach a decision.
const MAX_PARTIES: usize = 1_000;
/// How often within a window old parties are forgotten.
const SWEEPS: u32 = 16;

/// Parties that met trouble within a window, weighed against successes.
#[derive(Debug)]
pub(super) struct Evidence {
    window: Duration,
    parties: HashMap<Party, Instant>,
    weight: usize,
    swept_at: Option<Instant>,
}

impl Evidence {
    /// No evidence yet; a party's trouble counts for as long as `window`.
    pub(super) fn within(window: Duration) -> Self {
        Self { window, parties: HashMap::new(), weight: 0, swept_at: None }
    }

    /// Notes the trouble of a party; returns whether it is new within the window.
    pub(super) fn add(&mut self, now: Instant, party: Party) -> bool {
        if self.holds(now, party) {
            return false;
        }
        self.forget_old(now);
        if self.parties.len() >= MAX_PARTIES {
            return false;
        }
        self.weight = (self.weight + 1).min(self.parties.len() + 1);
        self.parties.insert(party, now);
        true
    }

    /// Forgets parties whose trouble is older than the window, now and then: in an outage there are thousands a second.
    fn forget_old(&mut self, now: Instant) {
        let window = self.window;
        if self.swept_at.is_none_or(|at| now.saturating_duration_since(at) >= window / SWEEPS) {
            self.parties.retain(|_, at| now.saturating_duration_since(*at) < window);
            self.weight = self.weight.min(self.parties.len());
            self.swept_at = Some(now);
        }
    }

    /// Whether this party met trouble within the window.
    pub(super) fn holds(&self, now: Instant, party: Party) -> bool {
        self.parties.get(&party).is_some_and(|at| now.saturating_duration_since(*at) < self.window)
    }

    /// Notes a success, which outweighs the trouble of one party.
    pub(super) fn outweigh(&mut self) {
        self.weight = self.weight.saturating_sub(1);
    }

    /// Parties that met trouble and are not outweighed by successes.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// Forgets everything and returns the parties.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = Party> + use<> {
        self.weight = 0;
        std::mem::take(&mut self.parties).into_keys()
    }
}
