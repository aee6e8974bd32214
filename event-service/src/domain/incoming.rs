//! Decodes and validates messages of the event queue, and sorts them by their effect.

use bus::Received;
use chrono::{DateTime, Utc};
use contract::{
    DecodeError, DeliveryState, Envelope, EventType, ItemId, NoDeliverySchedule, OutcomeData,
    Reason, ReminderData, bounds,
};
use recurrence::{Delivery, DeliverySchedule};
use uuid::Uuid;

use super::identity::{Source, notification_id};

/// An event and its effect.
#[derive(Debug, Clone, PartialEq)]
pub struct Incoming {
    /// The decoded event.
    pub event: Envelope,
    /// Effect of the event.
    pub effect: Effect,
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
    /// Computes the delivery times of an event's data.
    ///
    /// # Errors
    /// [`Refusal`]: its rule cannot be followed.
    pub fn of(data: ReminderData, occurred_at: DateTime<Utc>) -> Result<Self, Refusal> {
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

/// Reason why a message is dead-lettered.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The message cannot be decoded.
    #[error(transparent)]
    Unreadable(#[from] DecodeError),
    /// The recurrence rule cannot be followed.
    #[error(transparent)]
    DeliverySchedule(#[from] NoDeliverySchedule),
    /// A field has a value that is not allowed.
    #[error("{0}")]
    Invalid(&'static str),
    /// The event type belongs to another queue.
    #[error("event-service does not consume {0}")]
    Misrouted(EventType),
}

impl Refusal {
    /// Returns the reason code of the dead letter.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Unreadable(_) => Reason::Unreadable,
            Self::DeliverySchedule(_) | Self::Invalid(_) => Reason::Invalid,
            Self::Misrouted(_) => Reason::Misrouted,
        }
    }
}

impl Incoming {
    /// Decodes a message.
    ///
    /// # Errors
    /// [`Refusal`]: it can never be applied.
    pub fn read(received: &Received) -> Result<Self, Refusal> {
        let event = Envelope::decode(received)?;
        let effect = effect(&event)?;
        Ok(Self { event, effect })
    }
}

fn effect(event: &Envelope) -> Result<Effect, Refusal> {
    let (source, change) = match event.event_type {
        EventType::ReminderCreated => {
            (Source::Reminder, Change::Create(Box::new(reminder(event)?)))
        }
        EventType::ReminderUpdated => {
            (Source::Reminder, Change::Update(Box::new(reminder(event)?)))
        }
        EventType::ReminderDeleted => (Source::Reminder, Change::Delete),
        EventType::NotificationCreate => {
            (Source::Notification, Change::Create(Box::new(reminder(event)?)))
        }
        EventType::NotificationUpdate => {
            (Source::Notification, Change::Update(Box::new(reminder(event)?)))
        }
        EventType::NotificationDelete => (Source::Notification, Change::Delete),
        EventType::NotificationSent
        | EventType::NotificationFailed
        | EventType::NotificationSuppressed
        | EventType::NotificationDeferred => {
            return outcome(event);
        }
        EventType::DeviceRegistered | EventType::DeviceRemoved | EventType::DeviceInvalidated => {
            return Ok(Effect::RecordOnly);
        }
        EventType::UserErased => {
            return Ok(Effect::Erasure { receipt: event.erased()?.receipt_id });
        }
        EventType::NotificationCreated
        | EventType::NotificationUpdated
        | EventType::NotificationDeleted => {
            return Ok(Effect::OwnEvent);
        }
        EventType::NotificationSend | EventType::NotificationReconcile => {
            return Err(Refusal::Misrouted(event.event_type));
        }
    };
    Ok(Effect::Notification { source, id: notification_id(source, &event.item_id), change })
}

fn reminder(event: &Envelope) -> Result<RequestedNotification, Refusal> {
    RequestedNotification::of(event.reminder()?, event.occurred_at)
}

fn outcome(event: &Envelope) -> Result<Effect, Refusal> {
    let data = event.outcome()?;
    let source = Source::ALL.into_iter().find(|source| source.as_str() == data.source);
    let source = source.ok_or(Refusal::Invalid("source: expected reminder or notification"))?;
    let event_type = data.state.event_type();
    if event_type != Some(event.event_type) || data.state == DeliveryState::Pending {
        return Err(Refusal::Invalid("state: is not the event type's"));
    }
    let ends = [DeliveryState::Sent, DeliveryState::Failed, DeliveryState::Suppressed];
    if data.corrects.is_some_and(|corrected| {
        corrected == data.state || ![corrected, data.state].iter().all(|state| ends.contains(state))
    }) {
        return Err(Refusal::Invalid("corrects: expected another end than state"));
    }
    if data.deliveries < 0 {
        return Err(Refusal::Invalid("deliveries: expected no less than 0"));
    }
    if ![Some(data.due_at), Some(data.at), data.until].into_iter().flatten().all(bounds::is_instant)
    {
        return Err(Refusal::Invalid("dueAt, at, until: expected a year between 0001 and 9999"));
    }
    Ok(Effect::Outcome { notification_id: notification_id(source, &event.item_id), data })
}
