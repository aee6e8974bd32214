//! Circuit breaker of a provider, or of one platform behind it. Pure: time is passed in.
//!
//! It opens on the trouble of several parties that no success outweighs. While it is open, single probes find out
//! whether the provider works again: a party that has not met the trouble yet may probe after a short while, one that has
//! only after a wait that doubles. So parties whose trouble is their own cannot keep it open for others.

use std::time::{Duration, Instant};

use super::{
    after,
    evidence::{Evidence, Party},
};

/// For how long the trouble of a party counts.
const WINDOW: Duration = Duration::from_secs(60);

/// Distance between the probes of an open breaker.
#[derive(Debug, Clone, Copy)]
pub struct ProbePace {
    /// Until a party that has not met the trouble may probe.
    pub fresh: Duration,
    /// Until any party may probe, at first.
    pub first: Duration,
    /// That wait doubles up to this.
    pub longest: Duration,
}

impl Default for ProbePace {
    fn default() -> Self {
        Self { fresh: Duration::from_secs(1), first: Duration::from_secs(5), longest: Duration::from_secs(60) }
    }
}

/// Answer of a breaker to a party that wants to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passage {
    /// The breaker is closed.
    Free,
    /// The breaker is half-open: this attempt is its probe.
    Probe,
    /// The breaker is open; look again after this long.
    Held(Duration),
}

/// Circuit breaker.
#[derive(Debug)]
pub(super) struct Breaker {
    opens_at: usize,
    pace: ProbePace,
    evidence: Evidence,
    open: Option<Open>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    since: Instant,
    fresh_at: Instant,
    known_at: Instant,
    wait: Duration,
    probing: bool,
}

impl Breaker {
    /// A closed breaker that opens on the trouble of `opens_at` parties.
    pub(super) fn new(opens_at: usize, pace: ProbePace) -> Self {
        Self { opens_at, pace, evidence: Evidence::within(WINDOW), open: None }
    }

    /// Whether it is open or half-open.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// When the next probe may be made by a party that has not met the trouble; `None` while it is closed.
    pub(super) fn next_probe(&self, now: Instant) -> Option<Instant> {
        let open = self.open?;
        Some(if open.probing { after(now, self.pace.fresh) } else { open.fresh_at.min(open.known_at) })
    }

    /// How long what met its trouble waits before it may be a probe.
    pub(super) fn hold(&self) -> Duration {
        self.pace.first
    }

    /// Whether a party may send. `is_probe`: the attempt is the probe that is on its way already.
    pub(super) fn passage(&self, now: Instant, party: Party, is_probe: bool) -> Passage {
        let Some(open) = self.open else { return Passage::Free };
        let is_fresh = !self.evidence.holds(now, party);
        let may_probe = now >= open.known_at || (is_fresh && now >= open.fresh_at);
        if may_probe && (is_probe || !open.probing) {
            return Passage::Probe;
        }
        // The longer it lasts, the more rarely what waits looks again; at first, who has not met it does so soon.
        let least = if is_fresh { self.pace.fresh } else { self.pace.first };
        let age = now.saturating_duration_since(open.since);
        Passage::Held((age / 2).clamp(least, self.pace.longest.max(least)))
    }

    /// Notes that the probe is on its way: there is one at a time.
    pub(super) fn probe_starts(&mut self) {
        if let Some(open) = &mut self.open {
            open.probing = true;
        }
    }

    /// Notes that a probe ended without having told anything: the next may be made at once.
    pub(super) fn probe_was_lost(&mut self) {
        if let Some(open) = &mut self.open {
            open.probing = false;
        }
    }

    /// Notes that the probe, if it was one, met something else than the trouble that the breaker is open for.
    pub(super) fn probe_told_nothing(&mut self, now: Instant, was_probe: bool) {
        let pace = self.pace;
        if let (true, Some(open)) = (was_probe, &mut self.open) {
            open.probing = false;
            open.fresh_at = after(now, pace.fresh);
            open.known_at = open.known_at.max(open.fresh_at);
        }
    }

    /// Notes trouble of a party, which the provider asked to wait for `asked`; returns whether the breaker opened.
    pub(super) fn failed(&mut self, now: Instant, party: Party, asked: Duration, is_probe: bool) -> bool {
        let is_new = self.evidence.add(now, party);
        let Some(open) = &mut self.open else {
            if !is_new || self.evidence.weight() < self.opens_at {
                return false;
            }
            let wait = self.pace.first.max(asked);
            let (fresh_at, known_at) = (after(now, self.pace.fresh), after(now, wait));
            self.open = Some(Open { since: now, fresh_at, known_at, wait, probing: false });
            return true;
        };
        if is_probe {
            if !is_new {
                open.wait = open.wait.saturating_mul(2).min(self.pace.longest.max(asked)).max(asked);
            }
            open.probing = false;
            open.fresh_at = after(now, self.pace.fresh);
            open.known_at = open.known_at.max(after(now, open.wait));
        }
        false
    }

    /// Notes a success: it outweighs one party's trouble, and closes an open breaker. Returns the parties whose trouble it
    /// refutes when the breaker closed.
    pub(super) fn succeeded(&mut self) -> Option<impl Iterator<Item = Party> + use<>> {
        self.evidence.outweigh();
        self.open.take()?;
        Some(self.evidence.clear())
    }
}
