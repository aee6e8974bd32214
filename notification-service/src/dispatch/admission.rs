//! Admission control of one channel: decides if a delivery may be attempted now, has to wait for
//! another attempt to end, or is postponed. Pure: time is passed in.
//!
//! A failure is charged to its cause. A failure of one address pauses that address
//! ([`address_pauses`](super::address_pauses)). A circuit breaker
//! ([`circuit_breaker`](super::circuit_breaker)) opens when more users meet the same failure than
//! succeed: the breaker of the platform that the failure concerns (APNs, Web Push, Android), or, if
//! the provider throttles, a breaker of the whole channel. A failure of the account, key or project
//! opens the channel's breaker at once, unless other users succeed. All devices of a user count as
//! one.

mod apply_outcome;

use std::time::{Duration, Instant};

use contract::Reason;

use super::{
    address_pauses::{AddressKey, AddressPauses},
    circuit_breaker::{BreakerDecision, CircuitBreaker, ProbeIntervals, SEVERAL, after},
    concurrency_limit::ConcurrencyLimit,
    failure_evidence::UserDigest,
};
use crate::domain::device::DeviceType;

/// User, address and platform that the failure of an attempt counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AttemptTarget {
    /// Digest of the user.
    pub(super) user: UserDigest,
    /// Digest of the device or mailbox.
    pub(super) address: AddressKey,
    /// Platform of a device.
    pub(super) platform: Option<DeviceType>,
}

/// Record of an admitted attempt; its outcome is applied with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    /// Target of the attempt.
    pub(super) target: AttemptTarget,
    /// Time at which the attempt was admitted.
    pub(super) began: Instant,
    /// `true` if the attempt probes an open circuit breaker of the channel.
    pub(super) probes_channel: bool,
    /// `true` if the attempt probes the open circuit breaker of its platform.
    pub(super) probes_platform: bool,
}

/// State of the channel: of its circuit breakers and its quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BreakerState {
    /// Every delivery may be attempted.
    Closed,
    /// One of the deliveries that may probe is attempted.
    HalfOpen,
    /// No delivery is attempted before this time.
    Open(Instant),
}

/// Decision on a delivery that is to be attempted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Admission {
    /// The attempt may start.
    Admitted(Ticket),
    /// The concurrency limit is reached.
    Wait,
    /// The delivery must not be attempted now: it is released to the ledger, and no attempt counts.
    Postponed(Postponement),
}

/// Reason and length of a postponement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Postponement {
    /// Time before which the delivery is not attempted.
    pub(super) wait: Duration,
    /// Provider's reason; `None` if a breaker of the whole channel is open.
    pub(super) reason: Option<Reason>,
    /// `true` if the address failed so often in a row that a delivery which waited long enough
    /// fails.
    pub(super) fails_persistently: bool,
}

/// Change of the channel's state that an outcome caused; for the log and the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transition {
    /// The state is as before.
    Unchanged,
    /// The provider throttles the channel, which pauses for this long.
    Throttled(Duration),
    /// The breaker of the channel opened.
    Opened,
    /// The breakers of the channel closed.
    Closed,
    /// The breaker of a platform opened.
    PlatformOpened(DeviceType),
    /// The breaker of a platform closed.
    PlatformClosed(DeviceType),
}

/// Party that an attempt is charged to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Charge {
    /// The delivery: the attempt counts.
    Delivery,
    /// The channel or the platform, whose breaker is open: the attempt does not count, and another
    /// one may follow after this long.
    Breaker(Duration),
}

/// Admission control of one channel.
#[derive(Debug)]
pub(super) struct AdmissionControl {
    channel: CircuitBreaker,
    throttle: CircuitBreaker,
    platforms: [Platform; 3],
    pauses: AddressPauses,
    concurrency: ConcurrencyLimit,
    /// Time at which the provider's quota of the day is checked again, while it is used up.
    quota_used_up_until: Option<Instant>,
}

#[derive(Debug)]
struct Platform {
    breaker: CircuitBreaker,
    reason: Option<Reason>,
}

impl AdmissionControl {
    /// Creates an admission control with closed breakers that lets `max_in_flight` messages be in
    /// flight.
    #[must_use]
    pub(super) fn new(max_in_flight: usize, probes: ProbeIntervals) -> Self {
        let platform = || Platform { breaker: CircuitBreaker::new(SEVERAL, probes), reason: None };
        Self {
            channel: CircuitBreaker::new(1, probes),
            throttle: CircuitBreaker::new(
                SEVERAL,
                ProbeIntervals { first: probes.fresh, ..probes },
            ),
            platforms: [platform(), platform(), platform()],
            pauses: AddressPauses::default(),
            concurrency: ConcurrencyLimit::new(max_in_flight),
            quota_used_up_until: None,
        }
    }

    /// State of the channel now.
    #[must_use]
    pub(super) fn state(&self, now: Instant) -> BreakerState {
        if let Some(until) = self.quota_used_up_until.filter(|until| now < *until) {
            return BreakerState::Open(until);
        }
        match self.channel.next_probe().max(self.throttle.next_probe()) {
            None => BreakerState::Closed,
            Some(at) if now >= at => BreakerState::HalfOpen,
            Some(at) => BreakerState::Open(at),
        }
    }

    /// Stops the channel for this long: the provider's quota of the day is used up.
    pub(super) fn quota_used_up(&mut self, now: Instant, wait: Duration) {
        self.quota_used_up_until = Some(after(now, wait));
    }

    /// Attempts that one user may have in flight now.
    #[must_use]
    pub(super) fn limit_per_user(&self) -> usize {
        self.concurrency.limit_per_user()
    }

    /// Decides if an attempt at this target may start now.
    pub(super) fn admit(&mut self, now: Instant, target: AttemptTarget) -> Admission {
        let probes_channel = match self.check_channel(now, target.user) {
            Ok(probes) => probes,
            Err(postponement) => return Admission::Postponed(postponement),
        };
        let probes_platform = match self.check_platform(now, target) {
            Ok(probes) => probes,
            Err(postponement) => return Admission::Postponed(postponement),
        };
        if let Some(pause) = self.pauses.of(now, target.address) {
            return Admission::Postponed(Postponement {
                wait: pause.wait,
                reason: Some(pause.reason),
                fails_persistently: pause.fails_persistently,
            });
        }
        // Probes are few, and must not wait behind attempts that are never answered.
        if !(probes_channel || probes_platform || self.concurrency.has_capacity()) {
            return Admission::Wait;
        }
        self.pauses.attempt_starts(target.address);
        if probes_channel {
            self.channel.probe_starts(now, target.user);
            self.throttle.probe_starts(now, target.user);
        }
        if let (true, Some(platform)) = (probes_platform, target.platform) {
            self.platforms[platform as usize].breaker.probe_starts(now, target.user);
        }
        self.concurrency.attempt_starts();
        Admission::Admitted(Ticket { target, began: now, probes_channel, probes_platform })
    }

    /// Returns `true` if an attempt of this user probes the channel, or the reason for which it
    /// must not start now.
    fn check_channel(&mut self, now: Instant, user: UserDigest) -> Result<bool, Postponement> {
        if let Some(until) = self.quota_used_up_until.filter(|until| now < *until) {
            return Err(Postponement {
                wait: until.saturating_duration_since(now),
                reason: Some(Reason::DailyQuotaExceeded),
                fails_persistently: false,
            });
        }
        match (self.channel.decide(now, user), self.throttle.decide(now, user)) {
            (BreakerDecision::Deny(wait), BreakerDecision::Deny(other)) => {
                Err(Postponement { wait: wait.max(other), ..Postponement::default() })
            }
            (BreakerDecision::Deny(wait), _) | (_, BreakerDecision::Deny(wait)) => {
                Err(Postponement { wait, ..Postponement::default() })
            }
            (channel, throttle) => {
                Ok(channel == BreakerDecision::Probe || throttle == BreakerDecision::Probe)
            }
        }
    }

    /// Returns `true` if an attempt probes its platform, or the reason for which it must not start
    /// now.
    fn check_platform(
        &mut self,
        now: Instant,
        target: AttemptTarget,
    ) -> Result<bool, Postponement> {
        let Some(platform) = target.platform else { return Ok(false) };
        let platform = &mut self.platforms[platform as usize];
        match platform.breaker.decide(now, target.user) {
            BreakerDecision::Allow => Ok(false),
            BreakerDecision::Probe => Ok(true),
            BreakerDecision::Deny(wait) => {
                Err(Postponement { wait, reason: platform.reason, fails_persistently: false })
            }
        }
    }

    /// Counts an attempt that ended, whatever its outcome.
    pub(super) fn leave(&mut self, ticket: &Ticket) {
        self.concurrency.attempt_ends();
        self.pauses.attempt_ends(ticket.target.address);
    }

    /// Number of attempts in flight.
    #[must_use]
    pub(super) fn in_flight(&self) -> usize {
        self.concurrency.in_flight()
    }

    /// Number of addresses that are paused or were until lately.
    #[must_use]
    pub(super) fn paused_addresses(&self) -> usize {
        self.pauses.len()
    }

    /// State as a number for the metric: 0 sending, 1 throttled or without quota, 2 stopped.
    #[must_use]
    pub(super) fn level(&self, now: Instant) -> u8 {
        let is_paused =
            self.throttle.is_open() || self.quota_used_up_until.is_some_and(|until| now < until);
        if self.channel.is_open() { 2 } else { u8::from(is_paused) }
    }

    /// Returns `true` if the breaker of a platform is open.
    #[must_use]
    pub(super) fn is_platform_open(&self, platform: DeviceType) -> bool {
        self.platforms[platform as usize].breaker.is_open()
    }
}

#[cfg(test)]
mod tests;
