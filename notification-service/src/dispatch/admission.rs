//! Whether a lane may send, to whom, and how much at once. Pure: time is passed in.
//!
//! Trouble is charged to whom it belongs. What a provider says of one address pauses that address
//! ([`pauses`]); a circuit breaker ([`breaker`]) opens when more users meet the same trouble than
//! succeed, for the platform it concerns (APNs, Web Push, Android) or, when the provider throttles,
//! for the whole channel. What concerns our account, key or project stops the channel at once,
//! unless others succeed. All of a user's devices are one piece of evidence.
//!
//! The window is the concurrency limit. It starts at its maximum; trouble of more users than
//! succeed narrows it, and each acceptance widens it by one, so that it doubles with each round
//! trip: a provider that just recovered is not met with the whole backlog at once.

use std::time::{Duration, Instant};

use super::{
    address_pauses::{AddressKey, Pauses},
    circuit_breaker::{Breaker, Passage, ProbePace},
    failure_evidence::{Evidence, Party},
    permits as share,
};
use crate::{
    channels::outcome::{MAX_RETRY_AFTER, Outcome, Reason},
    delivery::reason,
    device::DeviceType,
};

/// The narrowest window is this part of the widest, but not less than [`LEAST_WINDOW`] where that
/// is at most half of it: attempts that are not answered must not fill it.
const NARROWEST: usize = 16;
/// Attempts that may be in flight however much trouble there is.
const LEAST_WINDOW: usize = 32;
/// Attempts that one user may have in flight where the window is wide enough for others'.
pub(super) const LEAST_IN_FLIGHT: usize = 4;
/// Users whose trouble opens a breaker, where they are more than those who succeed.
pub(super) const SEVERAL: usize = 5;
/// For how long the trouble of one user narrows the window once.
const TROUBLE_WINDOW: Duration = Duration::from_secs(10);
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
    /// Time at which it was let in.
    pub(super) began: Instant,
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
    /// Send one message of those that may probe.
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
    /// To the channel or its platform, whose breaker is open: the attempt does not count. Try again
    /// after this long.
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
        let platform = || Platform { breaker: Breaker::new(SEVERAL, pace), reason: None };
        Self {
            lane: Breaker::new(1, pace),
            throttle: Breaker::new(SEVERAL, ProbePace { first: pace.fresh, ..pace }),
            platforms: [platform(), platform(), platform()],
            pauses: Pauses::default(),
            trouble: Evidence::within(TROUBLE_WINDOW),
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
        match self.lane.next_probe().max(self.throttle.next_probe()) {
            None => Turn::Open,
            Some(at) if now >= at => Turn::Probe,
            Some(at) => Turn::Closed(at),
        }
    }

    /// Closes the lane for so long: the provider's quota of the day is used up.
    pub(super) fn quota_used_up(&mut self, now: Instant, wait: Duration) {
        self.used_up_until = Some(after(now, wait));
    }

    /// Whether one more may be in flight.
    #[must_use]
    pub(super) fn has_slot(&self) -> bool {
        self.in_flight < self.window
    }

    /// Attempts that one user may have in flight now: a bounded part of the window, and no more
    /// than are left for others.
    #[must_use]
    pub(super) fn share_of_user(&self) -> usize {
        share::of_user(
            share::part(self.window, LEAST_IN_FLIGHT),
            self.window.saturating_sub(self.in_flight),
        )
    }

    /// Lets a job in, keeps it waiting or sends it back.
    pub(super) fn admit(&mut self, now: Instant, origin: Origin) -> Admission {
        let probes_lane = match self.lane_passage(now, origin.party) {
            Ok(probes) => probes,
            Err(hold) => return Admission::Back(hold),
        };
        let probes_platform = match self.platform_passage(now, origin) {
            Ok(probes) => probes,
            Err(hold) => return Admission::Back(hold),
        };
        if let Some(paused) = self.pauses.of(now, origin.address) {
            let hold =
                Hold { wait: paused.wait, reason: Some(paused.reason), worn_out: paused.worn_out };
            return Admission::Back(hold);
        }
        // Probes are few, and must not wait for what is never answered.
        if !(probes_lane || probes_platform || self.has_slot()) {
            return Admission::Wait;
        }
        self.pauses.attempt_starts(origin.address);
        if probes_lane {
            self.lane.probe_starts(now, origin.party);
            self.throttle.probe_starts(now, origin.party);
        }
        if let (true, Some(platform)) = (probes_platform, origin.platform) {
            self.platforms[platform as usize].breaker.probe_starts(now, origin.party);
        }
        self.in_flight += 1;
        Admission::Enter(Ticket { origin, began: now, probes_lane, probes_platform })
    }

    /// Returns `true` if an attempt of this party probes the channel, or why it may not be made
    /// now.
    fn lane_passage(&mut self, now: Instant, party: Party) -> Result<bool, Hold> {
        if let Some(until) = self.used_up_until.filter(|until| now < *until) {
            let reason = Some(reason::DAILY_QUOTA_EXCEEDED.into());
            return Err(Hold {
                wait: until.saturating_duration_since(now),
                reason,
                worn_out: false,
            });
        }
        match (self.lane.passage(now, party), self.throttle.passage(now, party)) {
            (Passage::Held(wait), Passage::Held(other)) => {
                Err(Hold { wait: wait.max(other), ..Hold::default() })
            }
            (Passage::Held(wait), _) | (_, Passage::Held(wait)) => {
                Err(Hold { wait, ..Hold::default() })
            }
            (lane, throttle) => Ok(lane == Passage::Probe || throttle == Passage::Probe),
        }
    }

    /// Returns `true` if an attempt probes its platform, or why it may not be made now.
    fn platform_passage(&mut self, now: Instant, origin: Origin) -> Result<bool, Hold> {
        let Some(platform) = origin.platform else { return Ok(false) };
        let platform = &mut self.platforms[platform as usize];
        match platform.breaker.passage(now, origin.party) {
            Passage::Free => Ok(false),
            Passage::Probe => Ok(true),
            Passage::Held(wait) => {
                Err(Hold { wait, reason: platform.reason.clone(), worn_out: false })
            }
        }
    }

    /// One fewer is in flight.
    pub(super) fn leave(&mut self, ticket: &Ticket) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.pauses.attempt_ends(ticket.origin.address);
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
        let is_paused =
            self.throttle.is_open() || self.used_up_until.is_some_and(|until| now < until);
        if self.lane.is_open() { 2 } else { u8::from(is_paused) }
    }

    /// Whether the breaker of a platform is open.
    #[must_use]
    pub(super) fn is_stopped(&self, platform: DeviceType) -> bool {
        self.platforms[platform as usize].breaker.is_open()
    }

    /// Learns from an attempt that ended.
    pub(super) fn learn(
        &mut self,
        now: Instant,
        ticket: &Ticket,
        outcome: &Outcome,
    ) -> (Change, Charge) {
        match outcome {
            Outcome::Sent { .. } => (self.succeeded(now, ticket, true), Charge::Delivery),
            Outcome::Gone { .. } | Outcome::Rejected { .. } => {
                (self.succeeded(now, ticket, false), Charge::Delivery)
            }
            Outcome::Unavailable { .. } => {
                self.met_trouble(now, ticket.origin.party);
                (Change::Same, Charge::Delivery)
            }
            Outcome::Throttled { retry_after, reason } => self.throttled(
                now,
                ticket,
                retry_after.unwrap_or(THROTTLED).min(MAX_RETRY_AFTER),
                reason,
            ),
            Outcome::Refused { reason } => self.refused(now, ticket, reason),
            Outcome::Misconfigured { reason } => self.misconfigured(now, ticket, reason),
            Outcome::KeyRefused { .. } => {
                let opened = self.lane.failed_for_all(now, ticket.origin.party, ticket.probes_lane);
                self.stopped(opened)
            }
        }
    }

    fn succeeded(&mut self, now: Instant, ticket: &Ticket, was_sent: bool) -> Change {
        let party = ticket.origin.party;
        self.window = (self.window + 1).min(self.widest);
        self.trouble.succeed(now, party);
        let lane_closed = self.lane.succeeded(now, party, ticket.began);
        let throttle_closed = self.throttle.succeeded(now, party, ticket.began);
        let change = if lane_closed || throttle_closed { Change::Recovered } else { Change::Same };
        let Some(platform) = ticket.origin.platform else {
            self.pauses.end(ticket.origin.address);
            return change;
        };
        if !was_sent {
            // It says nothing of the key by which FCM speaks to the platform.
            return change;
        }
        self.pauses.end(ticket.origin.address);
        if self.platforms[platform as usize].breaker.succeeded(now, party, ticket.began) {
            return Change::PlatformRecovered(platform);
        }
        change
    }

    fn throttled(
        &mut self,
        now: Instant,
        ticket: &Ticket,
        asked: Duration,
        reason: &Reason,
    ) -> (Change, Charge) {
        let opened = self.throttle.failed(now, ticket.origin.party, asked, ticket.probes_lane);
        if opened {
            self.narrow_to(0);
            self.pauses.end_all();
        }
        if self.throttle.is_open() {
            let change = if opened { Change::Paused(asked) } else { Change::Same };
            return (change, Charge::Breaker(asked.max(Duration::from_secs(1))));
        }
        self.met_trouble(now, ticket.origin.party);
        self.pauses.charge(now, ticket.origin.address, asked, reason.clone());
        (Change::Same, Charge::Delivery)
    }

    fn refused(&mut self, now: Instant, ticket: &Ticket, reason: &Reason) -> (Change, Charge) {
        let party = ticket.origin.party;
        // The provider let us in and knew the token: the channel as a whole works.
        let lane_closed = self.lane.succeeded(now, party, ticket.began);
        let change = if lane_closed { Change::Recovered } else { Change::Same };
        if let Some(platform) = ticket.origin.platform {
            let known = &mut self.platforms[platform as usize];
            let opened = known.breaker.failed(now, party, Duration::ZERO, ticket.probes_platform);
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

    fn misconfigured(
        &mut self,
        now: Instant,
        ticket: &Ticket,
        reason: &Reason,
    ) -> (Change, Charge) {
        let opened = self.lane.failed(now, ticket.origin.party, Duration::ZERO, ticket.probes_lane);
        if !self.lane.is_open() {
            // Others succeed, or showed lately that this user's trouble is not theirs.
            self.pauses.charge(now, ticket.origin.address, Duration::ZERO, reason.clone());
            return (Change::Same, Charge::Delivery);
        }
        self.stopped(opened)
    }

    fn stopped(&mut self, opened: bool) -> (Change, Charge) {
        if opened {
            self.narrow_to(0);
        }
        (if opened { Change::Stopped } else { Change::Same }, Charge::Breaker(self.lane.hold()))
    }

    /// Narrows the window when more users meet trouble than succeed; each user's counts once for a
    /// while.
    fn met_trouble(&mut self, now: Instant, party: Party) {
        if self.trouble.fail(now, party) && self.trouble.is_general(now, 1, 1) {
            self.narrow_to(self.window - (self.window / 8).max(1));
        }
    }

    fn narrow_to(&mut self, window: usize) {
        let narrowest = (self.widest / NARROWEST).max(LEAST_WINDOW.min(self.widest / 2)).max(1);
        self.window = window.max(narrowest);
    }
}

/// Returns `at + wait`, or an hour after `at` where the clock cannot represent the sum.
pub(super) fn after(at: Instant, wait: Duration) -> Instant {
    at.checked_add(wait).or_else(|| at.checked_add(MAX_RETRY_AFTER)).unwrap_or(at)
}

#[cfg(test)]
mod tests;
