//! What one transaction of the intake writes, and what follows from its commit.

use std::{sync::Arc, time::Instant};

use chrono::{DateTime, Utc};
use shared::{
    contract::{Channel, DeliveryState, new_id},
    outbox::OutboxMessage,
};

use super::plan::{Fate, Planned};
use crate::{
    delivery::{Delivery, Dispatch, reason},
    dispatch::{Job, MIN_POSTPONEMENT, NoPermit, ReservedPermits, is_urgent},
    events::{self, DeliveryOutcome},
    store::intake::NewDelivery,
};

/// Places in the lanes.
pub(super) struct Reserved {
    pub(super) push: ReservedPermits,
    pub(super) email: ReservedPermits,
}

/// Rows, messages, and jobs for the lanes.
pub(super) struct Batch<'a> {
    at: DateTime<Utc>,
    lease_ends: Instant,
    pub(super) rows: Vec<NewDelivery<'a>>,
    pub(super) messages: Vec<OutboxMessage>,
    pub(super) pushes: Vec<Job>,
    pub(super) emails: Vec<Job>,
    pub(super) pushes_wait: bool,
    pub(super) emails_wait: bool,
}

impl<'a> Batch<'a> {
    /// An empty batch, written at this time; what it leases is leased until then.
    pub(super) fn begin(at: DateTime<Utc>, lease_ends: Instant) -> Self {
        let (rows, messages, pushes, emails) = Default::default();
        Self {
            at,
            lease_ends,
            rows,
            messages,
            pushes,
            emails,
            pushes_wait: false,
            emails_wait: false,
        }
    }

    /// Adds a delivery: to be made at once where there is a place for it; ended where it is missed.
    pub(super) fn add(
        &mut self,
        dispatch: &'a Arc<Dispatch>,
        planned: &Planned,
        is_missed: bool,
        reserved: &mut Reserved,
    ) -> Result<(), serde_json::Error> {
        let (key, fate) =
            (planned.key, if is_missed { Fate::Ended(reason::MISSED) } else { planned.fate });
        let (state, reason, deferred_until) = match fate {
            Fate::Made => (DeliveryState::Pending, None, None),
            Fate::Deferred(until) => {
                (DeliveryState::Deferred, Some(reason::QUIET_HOURS), Some(until))
            }
            Fate::Ended(reason) => (DeliveryState::Suppressed, Some(reason), None),
        };
        let (leased, waits) = match (fate, planned.not_before) {
            (Fate::Made, None) => self.hand_out(dispatch, planned, reserved),
            (Fate::Made, waits) => (false, waits),
            _ => (false, None),
        };
        let not_before = waits.map(|(until, _)| until);
        let reason = waits.map_or(reason, |(_, reason)| Some(reason));
        match fate {
            Fate::Made => {}
            Fate::Deferred(until) => {
                self.messages.extend(events::outcome(
                    dispatch,
                    key,
                    &DeliveryOutcome::deferred(until, self.at),
                )?);
            }
            Fate::Ended(reason) => {
                self.messages.extend(events::outcome(
                    dispatch,
                    key,
                    &DeliveryOutcome::suppressed(reason, self.at),
                )?);
            }
        }
        let user_id = &dispatch.user_id;
        self.rows.push(NewDelivery {
            key,
            id: new_id(),
            user_id,
            state,
            reason,
            deferred_until,
            not_before,
            leased,
        });
        Ok(())
    }

    /// Makes a job of a delivery if there is a place for it; else it is left waiting, for a while
    /// where its user has their share. Returns whether the delivery was leased, and when it may be
    /// claimed otherwise and why not now.
    fn hand_out(
        &mut self,
        dispatch: &Arc<Dispatch>,
        planned: &Planned,
        reserved: &mut Reserved,
    ) -> (bool, Option<(DateTime<Utc>, &'static str)>) {
        let (places, jobs, wait) = match planned.key.channel {
            Channel::Push => (&mut reserved.push, &mut self.pushes, &mut self.pushes_wait),
            Channel::Email => (&mut reserved.email, &mut self.emails, &mut self.emails_wait),
        };
        let place = match places.take(&dispatch.user_id, is_urgent(dispatch)) {
            Ok(place) => place,
            Err(NoPermit::UserShareUsed) => {
                return (false, Some((self.at + MIN_POSTPONEMENT, reason::RATE_LIMITED)));
            }
            Err(NoPermit::DispatcherFull) => {
                *wait = true;
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
        jobs.push(Job { delivery, lease_ends: self.lease_ends, permit: place });
        (true, None)
    }
}
