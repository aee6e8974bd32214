//! Circuit breaker of a provider, or of one platform behind it. Pure: time is passed in.
//!
//! It opens when more parties meet trouble than succeed. While it is open, probes find out whether
//! the provider works again, one at a time at first every tenth of a second and later more rarely;
//! a probe that is not answered keeps no other from being made. A party that has not met the
//! trouble yet may make the next one, a party that has only after a wait that doubles. A success
//! closes the breaker and shows that the trouble was its parties' own: for a while they do not
//! count. So parties whose trouble is their own neither keep it open for others nor open it again
//! and again.

use std::time::{Duration, Instant};

use super::{
    admission::{SEVERAL, after},
    failure_evidence::{Evidence, Parties, Party},
};

/// For how long the trouble of a party counts.
const WINDOW: Duration = Duration::from_secs(60);
/// For how long a party does not count whose trouble was refuted.
const REFUTED_WINDOW: Duration = Duration::from_secs(10 * 60);
/// Parties that are remembered as refuted, or as having probed in vain.
const MAX_PARTIES: usize = 1_000;
/// Part of the time for which the breaker has been open that lies between probes.
const PART_OF_AGE: u32 = 20;
/// Deliveries that are held look again one after the other: so many a second, however many there
/// are.
const LOOKS_PER_SECOND: u32 = 1_000;

/// Distance between the probes of an open breaker.
#[derive(Debug, Clone, Copy)]
pub struct ProbePace {
    /// Between probes of parties that have not met the trouble; a tenth of it at first.
    pub fresh: Duration,
    /// Until any party may probe, at first.
    pub first: Duration,
    /// That wait doubles up to this.
    pub longest: Duration,
}

impl Default for ProbePace {
    fn default() -> Self {
        Self {
            fresh: Duration::from_secs(1),
            first: Duration::from_secs(5),
            longest: Duration::from_secs(60),
        }
    }
}

/// Answer of a breaker to a party that wants to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passage {
    /// The breaker is closed.
    Free,
    /// The breaker is half-open: this attempt may be its probe.
    Probe,
    /// The breaker is open; look again after this long.
    Held(Duration),
}

/// Circuit breaker.
#[derive(Debug)]
pub(super) struct Breaker {
    /// Parties whose trouble opens it while nobody succeeds.
    opens_at: usize,
    pace: ProbePace,
    evidence: Evidence,
    refuted: Parties,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    since: Instant,
    fresh_at: Instant,
    known_at: Instant,
    wait: Duration,
    /// Parties that probed: whatever it told, others come first.
    probed: Parties,
    /// Time at which the last of those that are held looks again: of parties that have not met the
    /// trouble, and of those that have.
    looks: [Instant; 2],
}

impl Breaker {
    /// A closed breaker. It opens on the trouble of `opens_at` parties when nobody succeeds, and
    /// else of [`SEVERAL`] that are more than those who do.
    pub(super) fn new(opens_at: usize, pace: ProbePace) -> Self {
        let refuted = Parties::new(REFUTED_WINDOW, MAX_PARTIES);
        Self { opens_at, pace, evidence: Evidence::within(WINDOW), refuted, open: None }
    }

    /// Whether it is open or half-open.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Time of the next probe; `None` while it is closed.
    pub(super) fn next_probe(&self) -> Option<Instant> {
        self.open.as_ref().map(|open| open.fresh_at.min(open.known_at))
    }

    /// How long what met its trouble waits before it may be a probe.
    pub(super) fn hold(&self) -> Duration {
        self.pace.first
    }

    /// Decides if a party may send. A delivery that is held gets its place in the line of those
    /// that look again.
    pub(super) fn passage(&mut self, now: Instant, party: Party) -> Passage {
        let Some(open) = &mut self.open else { return Passage::Free };
        let met_it = self.evidence.holds(now, party) || self.refuted.contains(now, party);
        let is_fresh = !met_it && !open.probed.contains(now, party);
        if now >= open.known_at || (is_fresh && now >= open.fresh_at) {
            return Passage::Probe;
        }
        let look = &mut open.looks[usize::from(!is_fresh)];
        *look = after(now.max(*look), Duration::from_secs(1) / LOOKS_PER_SECOND);
        let wait = look.saturating_duration_since(now);
        let age = now.saturating_duration_since(open.since);
        // The longer it lasts, the more rarely a party looks again that has met it.
        let (wait, least) = if is_fresh {
            (wait, spacing(self.pace, age))
        } else {
            (wait.max(age / 2), self.pace.first)
        };
        Passage::Held(wait.clamp(least, self.pace.longest.max(least)))
    }

    /// Notes that a party's probe is on its way; the next one follows at a distance, answered or
    /// not.
    pub(super) fn probe_starts(&mut self, now: Instant, party: Party) {
        if let Some(open) = &mut self.open {
            open.fresh_at =
                after(now, spacing(self.pace, now.saturating_duration_since(open.since)));
            if now >= open.known_at {
                open.known_at = after(now, open.wait);
            }
            open.probed.add(now, party);
        }
    }

    /// Notes trouble of a party, which the provider asked to wait for `asked`; returns whether the
    /// breaker opened.
    pub(super) fn failed(
        &mut self,
        now: Instant,
        party: Party,
        asked: Duration,
        is_probe: bool,
    ) -> bool {
        if !self.is_open() && self.refuted.contains(now, party) {
            return false;
        }
        let is_new = self.evidence.fail(now, party);
        match &mut self.open {
            Some(open) if is_probe => {
                if !is_new {
                    open.wait =
                        open.wait.saturating_mul(2).min(self.pace.longest.max(asked)).max(asked);
                }
                open.known_at = open.known_at.max(after(now, open.wait));
                false
            }
            Some(_) => false,
            None if self.evidence.is_general(now, self.opens_at, SEVERAL) => {
                self.open(now, asked);
                true
            }
            None => false,
        }
    }

    /// Notes trouble that is everybody's whoever met it; returns whether the breaker opened.
    pub(super) fn failed_for_all(&mut self, now: Instant, party: Party, is_probe: bool) -> bool {
        if self.is_open() {
            return self.failed(now, party, Duration::ZERO, is_probe);
        }
        self.evidence.fail(now, party);
        self.open(now, Duration::ZERO);
        true
    }

    fn open(&mut self, now: Instant, asked: Duration) {
        let wait = self.pace.first.max(asked);
        self.open = Some(Open {
            since: now,
            fresh_at: after(now, spacing(self.pace, Duration::ZERO)),
            known_at: after(now, wait),
            wait,
            probed: Parties::new(self.pace.longest, MAX_PARTIES),
            looks: [now; 2],
        });
    }

    /// Notes the success of an attempt that began at `began`; returns whether it closed the
    /// breaker. One that began before the breaker opened says nothing of what has happened since.
    pub(super) fn succeeded(&mut self, now: Instant, party: Party, began: Instant) -> bool {
        self.evidence.succeed(now, party);
        if self.open.take_if(|open| began >= open.since).is_none() {
            return false;
        }
        for refuted in self.evidence.clear() {
            self.refuted.add(now, refuted);
        }
        true
    }
}

/// Distance between the probes of a breaker that has been open for as long as `age`.
fn spacing(pace: ProbePace, age: Duration) -> Duration {
    (age / PART_OF_AGE).clamp(pace.fresh / 10, pace.fresh)
}
