//! Ledger rows, messages and jobs of one transaction that accepts occurrences.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use contract::{Channel, DeliveryState, Reason, new_id};
use service::outbox::OutboxMessage;

use super::planned_deliveries::{InitialState, PlannedDelivery};
use crate::{
    clock::DbClock,
    dispatch::{Job, MIN_POSTPONEMENT, NoPermit, ReservedPermits, is_urgent},
    domain::{
        delivery::{Delivery, Dispatch},
        events::{self, DeliveryOutcome},
    },
    store::intake::NewDelivery,
};

/// Longest time for which a delivery is held in memory until it is due. One that is due later, as
/// far as is known, waits in the ledger.
const MAX_HELD: Duration = Duration::from_secs(2);

/// Permits reserved from the dispatchers.
pub(super) struct Reservations {
    pub(super) push: ReservedPermits,
    pub(super) email: ReservedPermits,
}

/// Rows and messages to write, and jobs for the dispatchers.
pub(super) struct LedgerBatch<'a> {
    clock: &'a DbClock,
    at: DateTime<Utc>,
    lease_ends: Instant,
    pub(super) rows: Vec<NewDelivery<'a>>,
    pub(super) messages: Vec<OutboxMessage>,
    pub(super) pushes: Vec<Job>,
    pub(super) emails: Vec<Job>,
    pub(super) pushes_wait: bool,
    pub(super) emails_wait: bool,
}

impl<'a> LedgerBatch<'a> {
    /// Creates an empty batch that is written now and leases rows until `lease_ends`.
    pub(super) fn begin(clock: &'a DbClock, lease_ends: Instant) -> Self {
        let at = clock.now();
        let (rows, messages, pushes, emails) = Default::default();
        let (pushes_wait, emails_wait) = (false, false);
        Self { clock, at, lease_ends, rows, messages, pushes, emails, pushes_wait, emails_wait }
    }

    /// Adds a delivery. It is leased if there is a permit for it, and ends if it is missed.
    pub(super) fn add(
        &mut self,
        dispatch: &'a Arc<Dispatch>,
        planned: &PlannedDelivery,
        is_missed: bool,
        reservations: &mut Reservations,
    ) -> Result<(), serde_json::Error> {
        let key = planned.key;
        let initial =
            if is_missed { InitialState::Suppressed(Reason::Missed) } else { planned.state };
        let (state, reason, deferred_until) = match initial {
            InitialState::Pending => (DeliveryState::Pending, None, None),
            InitialState::Deferred(until) => {
                (DeliveryState::Deferred, Some(Reason::QuietHours), Some(until))
            }
            InitialState::Suppressed(reason) => (DeliveryState::Suppressed, Some(reason), None),
        };
        let (leased, delay) = match (initial, planned.not_before) {
            (InitialState::Pending, None) => self.lease(dispatch, planned, reservations),
            (InitialState::Pending, delay) => (false, delay),
            _ => (false, None),
        };
        let not_before = delay.map(|(until, _)| until);
        let reason = delay.map_or(reason, |(_, reason)| Some(reason));
        let outcome = match initial {
            InitialState::Pending => None,
            InitialState::Deferred(until) => Some(DeliveryOutcome::deferred(until, self.at)),
            InitialState::Suppressed(reason) => Some(DeliveryOutcome::suppressed(reason, self.at)),
        };
        // The outcome of an occurrence that ended before its release is published by the scheduler.
        if let Some(outcome) = outcome.filter(|_| dispatch.send.ended.is_none()) {
            self.messages.extend(
                events::outcome(dispatch, key, &outcome)
                    .as_ref()
                    .map(OutboxMessage::of)
                    .transpose()?,
            );
        }
        let user_id = &dispatch.user_id;
        self.rows.push(NewDelivery {
            key,
            id: new_id(),
            user_id,
            state,
            reason,
            deferred_until,
            due_at: dispatch.send.due_at,
            not_before,
            leased,
        });
        Ok(())
    }

    /// Makes a job of a delivery if there is a permit for it; else the delivery waits in the
    /// ledger, for a while if its user holds their share of the permits. Returns `true` if the
    /// delivery is leased; otherwise the time before which it is not claimed, and the reason.
    fn lease(
        &mut self,
        dispatch: &Arc<Dispatch>,
        planned: &PlannedDelivery,
        reservations: &mut Reservations,
    ) -> (bool, Option<(DateTime<Utc>, Reason)>) {
        let (permits, jobs, waits) = match planned.key.channel {
            Channel::Push => (&mut reservations.push, &mut self.pushes, &mut self.pushes_wait),
            Channel::Email => (&mut reservations.email, &mut self.emails, &mut self.emails_wait),
        };
        let starts_at = self.clock.instant_of(dispatch.send.due_at);
        let latest = Instant::now() + MAX_HELD;
        let Some(starts_at) = starts_at.filter(|starts_at| *starts_at <= latest) else {
            *waits = true;
            return (false, None);
        };
        let permit = match permits.take(&dispatch.user_id, is_urgent(dispatch)) {
            Ok(permit) => permit,
            Err(NoPermit::UserShareUsed) => {
                return (false, Some((self.at + MIN_POSTPONEMENT, Reason::RateLimited)));
            }
            Err(NoPermit::DispatcherFull) => {
                *waits = true;
                return (false, None);
            }
        };
        let delivery = Delivery {
            key: planned.key,
            dispatch: Arc::clone(dispatch),
            address: planned.address.clone(),
            attempts: 0,
            first_attempt_at: None,
            fence: 0,
            deferred_until: None,
        };
        jobs.push(Job { delivery, starts_at, lease_ends: self.lease_ends, permit });
        (true, None)
    }
}
