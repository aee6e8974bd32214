//! Received events and their effect.

use chrono::{DateTime, Utc};
use contract::{Envelope, ItemId, NoDeliverySchedule, OutcomeData, ReminderData};
use recurrence::{Delivery, DeliverySchedule};
use uuid::Uuid;

use super::identity::Source;

/// An event and its effect.
#[derive(Debug, Clone, PartialEq)]
pub struct Incoming {
    /// The decoded event.
    pub event: Envelope,
    /// Effect of the event.
    pub effect: Effect,
}

impl Incoming {
    /// Returns the outcome if the event republishes one.
    #[must_use]
    pub fn republished_outcome(&self) -> Option<&OutcomeData> {
        match &self.effect {
            Effect::Outcome { data, .. } if data.republished => Some(data),
            _ => None,
        }
    }
}

/// Effect of an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Stores or deletes a notification.
    Notification {
        /// Requester of the notification.
        source: Source,
        /// Id of the notification.
        id: Uuid,
        /// Requested change.
        change: Change,
    },
    /// Reports the state of a delivery.
    Outcome {
        /// Notification that the occurrence belongs to.
        notification_id: Uuid,
        /// State of the delivery.
        data: OutcomeData,
    },
    /// Erases a user.
    Erasure {
        /// Receipt that the user was given.
        receipt: ItemId,
    },
    /// Recorded in the catalogue, without any further effect.
    RecordOnly,
    /// An event that event-service published itself.
    OwnEvent,
}

/// Requested change of a notification.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Creates the notification.
    Create(Box<RequestedNotification>),
    /// Replaces the notification.
    Update(Box<RequestedNotification>),
    /// Deletes the notification.
    Delete,
}

impl Change {
    pub(crate) const fn is_delete(&self) -> bool {
        matches!(self, Self::Delete)
    }
}

/// Requested content and schedule of a notification.
#[derive(Debug, Clone)]
pub struct RequestedNotification {
    /// Content and schedule as the event states them.
    pub data: ReminderData,
    /// Delivery times that follow from the data.
    pub schedule: DeliverySchedule,
    /// First delivery after the event, for a recurring notification. It is computed when the event
    /// is decoded, and not in the transaction that applies the batch.
    next: Option<(DateTime<Utc>, Option<Delivery>)>,
}

impl PartialEq for RequestedNotification {
    fn eq(&self, other: &Self) -> bool {
        self.data == other.data
    }
}

impl RequestedNotification {
    /// Computes the delivery times of an event's data. A paused notification has none, and is
    /// stored without its rule and its snooze, so that no occurrence follows those of before.
    ///
    /// # Errors
    /// [`NoDeliverySchedule`]: its rule cannot be followed.
    pub fn of(
        mut data: ReminderData,
        occurred_at: DateTime<Utc>,
    ) -> Result<Self, NoDeliverySchedule> {
        if data.paused {
            (data.recurrence, data.snooze) = (None, None);
            return Ok(Self { data, schedule: DeliverySchedule::never(), next: None });
        }
        let schedule = data.schedule()?;
        let next = data.recurrence.is_some().then(|| {
            (occurred_at, schedule.unacknowledged_after(occurred_at, data.acknowledged).next())
        });
        Ok(Self { data, schedule, next })
    }

    /// Returns the first delivery after a time, other than those of acknowledged occurrences.
    #[must_use]
    pub fn next_after(&self, time: DateTime<Utc>) -> Option<Delivery> {
        match self.next {
            Some((occurred_at, next)) if occurred_at == time => next,
            _ => self.schedule.unacknowledged_after(time, self.data.acknowledged).next(),
        }
    }

    /// Returns `true` if the occurrence of this date is acknowledged.
    #[must_use]
    pub fn is_acknowledged(&self, date: DateTime<Utc>) -> bool {
        self.data.acknowledged.is_some_and(|acknowledged| date <= acknowledged)
    }
}
