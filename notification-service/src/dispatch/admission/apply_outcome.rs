//! Effects of an attempt's outcome on the breakers, the pauses and the concurrency limit.

use std::time::{Duration, Instant};

use contract::Reason;

use super::{AdmissionControl, Charge, Ticket, Transition};
use crate::channels::outcome::{MAX_RETRY_AFTER, Outcome};

/// Wait after a throttle that names none (FCM: 60 seconds first).
const THROTTLED: Duration = Duration::from_secs(60);

impl AdmissionControl {
    /// Applies the outcome of an attempt; returns the change of state, and the party that the
    /// attempt is charged to.
    pub(in crate::dispatch) fn apply(
        &mut self,
        now: Instant,
        ticket: &Ticket,
        outcome: &Outcome,
    ) -> (Transition, Charge) {
        match *outcome {
            Outcome::Sent { .. } => (self.succeeded(now, ticket, true), Charge::Delivery),
            Outcome::Gone { .. } | Outcome::Rejected { .. } => {
                (self.succeeded(now, ticket, false), Charge::Delivery)
            }
            Outcome::Unavailable { .. } => {
                self.concurrency.failed(now, ticket.target.user);
                (Transition::Unchanged, Charge::Delivery)
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
                let opened =
                    self.channel.failed_for_all(now, ticket.target.user, ticket.probes_channel);
                self.stopped(opened)
            }
        }
    }

    fn succeeded(&mut self, now: Instant, ticket: &Ticket, was_sent: bool) -> Transition {
        let user = ticket.target.user;
        self.concurrency.succeeded(now, user);
        let channel_closed = self.channel.succeeded(now, user, ticket.began);
        let throttle_closed = self.throttle.succeeded(now, user, ticket.began);
        let transition = if channel_closed || throttle_closed {
            Transition::Closed
        } else {
            Transition::Unchanged
        };
        let Some(platform) = ticket.target.platform else {
            self.pauses.clear(ticket.target.address);
            return transition;
        };
        if !was_sent {
            // It says nothing of the key by which FCM authenticates to the platform.
            return transition;
        }
        self.pauses.clear(ticket.target.address);
        if self.platforms[platform as usize].breaker.succeeded(now, user, ticket.began) {
            return Transition::PlatformClosed(platform);
        }
        transition
    }

    fn throttled(
        &mut self,
        now: Instant,
        ticket: &Ticket,
        asked: Duration,
        reason: Reason,
    ) -> (Transition, Charge) {
        let opened = self.throttle.failed(now, ticket.target.user, asked, ticket.probes_channel);
        if opened {
            self.concurrency.narrow();
            self.pauses.clear_all();
        }
        if self.throttle.is_open() {
            let transition =
                if opened { Transition::Throttled(asked) } else { Transition::Unchanged };
            return (transition, Charge::Breaker(asked.max(Duration::from_secs(1))));
        }
        self.concurrency.failed(now, ticket.target.user);
        self.pauses.pause(now, ticket.target.address, asked, reason);
        (Transition::Unchanged, Charge::Delivery)
    }

    fn refused(&mut self, now: Instant, ticket: &Ticket, reason: Reason) -> (Transition, Charge) {
        let user = ticket.target.user;
        // The provider accepted our credentials and knew the token: the channel as a whole works.
        let channel_closed = self.channel.succeeded(now, user, ticket.began);
        let transition = if channel_closed { Transition::Closed } else { Transition::Unchanged };
        if let Some(platform) = ticket.target.platform {
            let known = &mut self.platforms[platform as usize];
            let opened = known.breaker.failed(now, user, Duration::ZERO, ticket.probes_platform);
            known.reason = Some(reason);
            if opened {
                self.pauses.clear_all();
                return (
                    Transition::PlatformOpened(platform),
                    Charge::Breaker(known.breaker.first_wait()),
                );
            }
            if known.breaker.is_open() {
                return (transition, Charge::Breaker(known.breaker.first_wait()));
            }
        }
        self.pauses.pause(now, ticket.target.address, Duration::ZERO, reason);
        (transition, Charge::Delivery)
    }

    fn misconfigured(
        &mut self,
        now: Instant,
        ticket: &Ticket,
        reason: Reason,
    ) -> (Transition, Charge) {
        let opened =
            self.channel.failed(now, ticket.target.user, Duration::ZERO, ticket.probes_channel);
        if !self.channel.is_open() {
            // Other users succeed, or showed lately that this user's failure is not theirs.
            self.pauses.pause(now, ticket.target.address, Duration::ZERO, reason);
            return (Transition::Unchanged, Charge::Delivery);
        }
        self.stopped(opened)
    }

    fn stopped(&mut self, opened: bool) -> (Transition, Charge) {
        if opened {
            self.concurrency.narrow();
        }
        let transition = if opened { Transition::Opened } else { Transition::Unchanged };
        (transition, Charge::Breaker(self.channel.first_wait()))
    }
}
