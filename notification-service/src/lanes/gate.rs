//! Whether a lane may send, to whom, and how much at once. Pure: time is passed in.
//!
//! Trouble is charged to whom it belongs. What a provider says of one address pauses that address ([`pauses`]); a circuit
//! breaker ([`breaker`]) opens only on the same trouble of several users, for the platform it concerns (APNs, Web Push,
//! Android) or, when the provider throttles, for the whole channel. What concerns our account, key or project stops the
//! channel at once. All of a user's devices are one piece of evidence.
//!
//! The window is the concurrency limit. It starts at its maximum; trouble narrows it, and each acceptance widens it by one,
//! so that it doubles with each round trip: a provider that just recovered is not met with the whole backlog at once.

mod breaker;
mod evidence;
mod pauses;

use std::time::{Duration, Instant};

pub use breaker::ProbePace;
use breaker::{Breaker, Passage};
use evidence::Evidence;
pub(super) use evidence::Party;
pub(super) use pauses::AddressKey;
use pauses::Pauses;

use crate::{
    channels::outcome::{MAX_RETRY_AFTER, Outcome, Reason},
    delivery::reason,
    device::DeviceType,
};

/// The narrowest window is this part of the widest.
const NARROWEST: usize = 16;
/// Users whose trouble, not outweighed by successes, opens the breaker of a platform or of a throttled channel.
const SEVERAL: usize = 5;
/// For how long the trouble of one user narrows the window once.
const TROUBLE_WINDOW: Duration = Duration::from_secs(10);
/// For how long a user whose trouble stopped the channel, and was refuted, is not believed again.
const REFUTED_WINDOW: Duration = Duration::from_secs(10 * 60);
/// The wait after a throttle that names none (FCM: 60 seconds first).
const THROTTLED: Duration = Duration::from_secs(60);

/// Where an attempt goes, as far as trouble is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    /// The user.
    pub(super) party: Party,
    /// The device or mailbox.
    pub(super) address: AddressKey,
    /// The platform of a device.
    pub(super) platform: Option<DeviceType>,
}

/// The part of an attempt that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    /// Where it goes.
    pub(super) origin: Origin,
    /// Whether it probes the open breaker of the lane.
    pub(super) probes_lane: bool,
    /// Whether it probes the open breaker of its platform.
    pub(super) probes_platform: bool,
}

/// What the lane may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Send.
    Open,
    /// Send one message, to see.
    Probe,
    /// Nothing before this time.
    Closed(Instant),
}

/// Whether a job may enter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Admission {
    /// It has a permit.
    Enter(Ticket),
    /// There is no permit just now.
    Wait,
    /// It must not be attempted now: it goes back to the ledger, and its attempts are not counted.
    Back(Hold),
}

/// Why a job goes back, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Hold {
    /// Not before.
    pub(super) wait: Duration,
    /// The provider's reason; none where the lane as a whole is closed.
    pub(super) reason: Option<Reason>,
    /// Its address failed so often that it ends if it waited long enough.
    pub(super) worn_out: bool,
}

/// What changed with an outcome; for the log and the alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    Same,
    /// The channel is throttled and pauses for this long.
    Paused(Duration),
    /// The channel is stopped.
    Stopped,
    /// The channel sends again.
    Recovered,
    /// A platform is stopped.
    PlatformStopped(DeviceType),
    /// A platform is sent to again.
    PlatformRecovered(DeviceType),
}

/// To whom an attempt is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Charge {
    /// To its delivery.
    Delivery,
    /// To the channel or its platform, whose breaker is open: the attempt does not count. Try again after this long.
    Breaker(Duration),
}

/// The gate of one lane.
#[derive(Debug)]
pub(super) struct Gate {
    lane: Breaker,
    throttle: Breaker,
    platforms: [Platform; 3],
    pauses: Pauses,
    trouble: Evidence,
    refuted: Evidence,
    /// When the quota of the day is looked at again, while it is used up.
    used_up_until: Option<Instant>,
    widest: usize,
    window: usize,
    in_flight: usize,
}

#[derive(Debug)]
struct Platform {
    breaker: Breaker,
    reason: Option<Reason>,
}

impl Gate {
    /// An open gate that lets `widest` messages be in flight.
    #[must_use]
    pub(super) fn new(widest: usize, pace: ProbePace) -> Self {
        let widest = widest.max(1);
        let platform =
            || Platform { breaker: Breaker::new(SEVERAL, ProbePace { fresh: pace.fresh / 4, ..pace }), reason: None };
        Self {
            lane: Breaker::new(1, pace),
            throttle: Breaker::new(SEVERAL, ProbePace { first: pace.fresh, ..pace }),
            platforms: [platform(), platform(), platform()],
            pauses: Pauses::default(),
            trouble: Evidence::within(TROUBLE_WINDOW),
            refuted: Evidence::within(REFUTED_WINDOW),
            used_up_until: None,
            widest,
            window: widest,
            in_flight: 0,
        }
    }

    /// What the lane may do now.
    #[must_use]
    pub(super) fn turn(&self, now: Instant) -> Turn {
        if let Some(until) = self.used_up_until.filter(|until| now < *until) {
            return Turn::Closed(until);
        }
        match self.lane.next_probe(now).max(self.throttle.next_probe(now)) {
            None => Turn::Open,
            Some(at) if now >= at => Turn::Probe,
            Some(at) => Turn::Closed(at),
        }
    }

    /// Closes the lane for so long: the provider's quota of the day is used up.
    pub(super) fn quota_used_up(&mut self, now: Instant, wait: Duration) {
        self.used_up_until = Some(after(now, wait));
    }

    /// Notes that the probe is on its way: there is only one at a time.
    pub(super) fn probe_starts(&mut self) {
        self.lane.probe_starts();
        self.throttle.probe_starts();
    }

    /// Notes that the probe ended without having told anything: the next is due at once.
    pub(super) fn probe_was_lost(&mut self) {
        self.lane.probe_was_lost();
        self.throttle.probe_was_lost();
    }

    /// Whether one more may be in flight.
    #[must_use]
    pub(super) fn has_slot(&self) -> bool {
        self.in_flight < self.window
    }

    /// Lets a job in, keeps it waiting or sends it back. `is_probe`: it was claimed as the probe of a closed lane.
    pub(super) fn admit(&mut self, now: Instant, origin: Origin, is_probe: bool) -> Admission {
        if let Some(hold) = self.closed_to(now, origin, is_probe) {
            return Admission::Back(hold);
        }
        if !is_probe && !self.has_slot() {
            return Admission::Wait;
        }
        let mut probes_platform = false;
        if let Some(platform) = origin.platform {
            let platform = &mut self.platforms[platform as usize];
            match platform.breaker.passage(now, origin.party, false) {
                Passage::Free => {}
                Passage::Probe => probes_platform = true,
                Passage::Held(wait) => {
                    let reason = platform.reason.clone();
                    return Admission::Back(Hold { wait, reason, worn_out: false });
                }
            }
        }
        if let Some(paused) = self.pauses.of(now, origin.address) {
            let hold = Hold { wait: paused.wait, reason: Some(paused.reason), worn_out: paused.worn_out };
            return Admission::Back(hold);
        }
        self.pauses.attempt_starts(origin.address);
        if let (true, Some(platform)) = (probes_platform, origin.platform) {
            self.platforms[platform as usize].breaker.probe_starts();
        }
        self.in_flight += 1;
        Admission::Enter(Ticket { origin, probes_lane: is_probe, probes_platform })
    }

    /// Why nothing of this party may be sent on the channel now.
    fn closed_to(&self, now: Instant, origin: Origin, is_probe: bool) -> Option<Hold> {
        if let Some(until) = self.used_up_until.filter(|until| now < *until) {
            let reason = Some(reason::DAILY_QUOTA_EXCEEDED.into());
            return Some(Hold { wait: until.saturating_duration_since(now), reason, worn_out: false });
        }
        let breakers = [&self.lane, &self.throttle];
        if !is_probe {
            return breakers.iter().any(|breaker| breaker.is_open()).then(Hold::default);
        }
        let held = breakers.iter().filter_map(|breaker| match breaker.passage(now, origin.party, true) {
            Passage::Held(wait) => Some(wait),
            Passage::Free | Passage::Probe => None,
        });
        Some(Hold { wait: held.max()?, ..Hold::default() })
    }

    /// One fewer is in flight. Whoever's probe it was may make the next.
    pub(super) fn leave(&mut self, ticket: &Ticket) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.pauses.attempt_ends(ticket.origin.address);
        if ticket.probes_lane {
            self.probe_was_lost();
        }
        if let (true, Some(platform)) = (ticket.probes_platform, ticket.origin.platform) {
            self.platforms[platform as usize].breaker.probe_was_lost();
        }
    }

    /// How many are in flight.
    #[must_use]
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// How many addresses are paused or lately were.
    #[must_use]
    pub(super) fn paused_addresses(&self) -> usize {
        self.pauses.len()
    }

    /// 0 open, 1 throttled or without quota, 2 stopped.
    #[must_use]
    pub(super) fn level(&self, now: Instant) -> u8 {
        let is_paused = self.throttle.is_open() || self.used_up_until.is_some_and(|until| now < until);
        if self.lane.is_open() { 2 } else { u8::from(is_paused) }
    }

    /// Whether the breaker of a platform is open.
    #[must_use]
    pub(super) fn is_stopped(&self, platform: DeviceType) -> bool {
        self.platforms[platform as usize].breaker.is_open()
    }

    /// Learns from an attempt that ended.
    pub(super) fn learn(&mut self, now: Instant, ticket: &Ticket, outcome: &Outcome) -> (Change, Charge) {
        match outcome {
            Outcome::Sent { .. } => (self.succeeded(now, ticket, true), Charge::Delivery),
            Outcome::Gone { .. } | Outcome::Rejected { .. } => (self.succeeded(now, ticket, false), Charge::Delivery),
            Outcome::Unavailable { .. } => {
                if self.trouble.add(now, ticket.origin.party) {
                    self.narrow_to(self.window - (self.window / 8).max(1));
                }
                self.probe_told_nothing(now, ticket);
                (Change::Same, Charge::Delivery)
            }
            Outcome::Throttled { retry_after, reason } => {
                self.throttled(now, ticket, retry_after.unwrap_or(THROTTLED).min(MAX_RETRY_AFTER), reason)
            }
            Outcome::Refused { reason } => self.refused(now, ticket, reason),
            Outcome::Misconfigured { reason } => self.misconfigured(now, ticket, reason),
        }
    }

    fn succeeded(&mut self, now: Instant, ticket: &Ticket, was_sent: bool) -> Change {
        self.window = (self.window + 1).min(self.widest);
        let mut change = Change::Same;
        if let Some(refuted) = self.lane.succeeded() {
            change = Change::Recovered;
            for party in refuted.filter(|party| *party != ticket.origin.party) {
                self.refuted.add(now, party);
            }
        }
        if self.throttle.succeeded().is_some() {
            change = Change::Recovered;
        }
        let Some(platform) = ticket.origin.platform else {
            self.pauses.end(ticket.origin.address);
            return change;
        };
        if !was_sent {
            // It says nothing of the key by which FCM speaks to the platform.
            self.platforms[platform as usize].breaker.probe_told_nothing(now, ticket.probes_platform);
            return change;
        }
        self.pauses.end(ticket.origin.address);
        if self.platforms[platform as usize].breaker.succeeded().is_some() {
            change = Change::PlatformRecovered(platform);
        }
        change
    }

    fn throttled(&mut self, now: Instant, ticket: &Ticket, asked: Duration, reason: &Reason) -> (Change, Charge) {
        let opened = self.throttle.failed(now, ticket.origin.party, asked, ticket.probes_lane);
        self.lane.probe_told_nothing(now, ticket.probes_lane);
        self.platform_told_nothing(now, ticket);
        if opened {
            self.narrow_to(0);
            self.pauses.end_all();
        }
        if self.throttle.is_open() {
            let change = if opened { Change::Paused(asked) } else { Change::Same };
            return (change, Charge::Breaker(asked.max(Duration::from_secs(1))));
        }
        if self.trouble.add(now, ticket.origin.party) {
            self.narrow_to(self.window - (self.window / 8).max(1));
        }
        self.pauses.charge(now, ticket.origin.address, asked, reason.clone());
        (Change::Same, Charge::Delivery)
    }

    fn refused(&mut self, now: Instant, ticket: &Ticket, reason: &Reason) -> (Change, Charge) {
        // The provider let us in and knew the token: the channel as a whole works.
        let change = if self.lane.succeeded().is_some() { Change::Recovered } else { Change::Same };
        self.throttle.probe_told_nothing(now, ticket.probes_lane);
        if let Some(platform) = ticket.origin.platform {
            let known = &mut self.platforms[platform as usize];
            let opened = known.breaker.failed(now, ticket.origin.party, Duration::ZERO, ticket.probes_platform);
            known.reason = Some(reason.clone());
            if opened {
                self.pauses.end_all();
                return (Change::PlatformStopped(platform), Charge::Breaker(known.breaker.hold()));
            }
            if known.breaker.is_open() {
                return (change, Charge::Breaker(known.breaker.hold()));
            }
        }
        self.pauses.charge(now, ticket.origin.address, Duration::ZERO, reason.clone());
        (change, Charge::Delivery)
    }

    fn misconfigured(&mut self, now: Instant, ticket: &Ticket, reason: &Reason) -> (Change, Charge) {
        self.throttle.probe_told_nothing(now, ticket.probes_lane);
        self.platform_told_nothing(now, ticket);
        if !self.lane.is_open() && self.refuted.holds(now, ticket.origin.party) {
            // It stopped the channel lately, and others showed that the channel works.
            self.pauses.charge(now, ticket.origin.address, Duration::ZERO, reason.clone());
            return (Change::Same, Charge::Delivery);
        }
        let opened = self.lane.failed(now, ticket.origin.party, Duration::ZERO, ticket.probes_lane);
        if opened {
            self.narrow_to(0);
        }
        (if opened { Change::Stopped } else { Change::Same }, Charge::Breaker(self.lane.hold()))
    }

    fn probe_told_nothing(&mut self, now: Instant, ticket: &Ticket) {
        self.lane.probe_told_nothing(now, ticket.probes_lane);
        self.throttle.probe_told_nothing(now, ticket.probes_lane);
        self.platform_told_nothing(now, ticket);
    }

    fn platform_told_nothing(&mut self, now: Instant, ticket: &Ticket) {
        if let Some(platform) = ticket.origin.platform {
            self.platforms[platform as usize].breaker.probe_told_nothing(now, ticket.probes_platform);
        }
    }

    fn narrow_to(&mut self, window: usize) {
        self.window = window.max(self.widest / NARROWEST).max(1);
    }
}

/// Returns `at + wait`, or an hour after `at` where the clock cannot represent the sum.
fn after(at: Instant, wait: Duration) -> Instant {
    at.checked_add(wait).or_else(|| at.checked_add(MAX_RETRY_AFTER)).unwrap_or(at)
}

#[cfg(test)]
mod tests;
