//! What a message means here: read, checked, and sorted by what it does.

use chrono::{DateTime, Utc};
use recurrence::{Delivery, Timetable};
use shared::{
    bus::Received,
    contract::{
        DecodeError, DeliveryState, Envelope, EventType, ItemId, NoTimetable, OutcomeData,
        ReminderData, bounds,
    },
};
use uuid::Uuid;

use crate::identity::{Source, notification_id};

/// An event and what it does.
#[derive(Debug, Clone, PartialEq)]
pub struct Incoming {
    /// The event.
    pub event: Envelope,
    /// What it does.
    pub effect: Effect,
}

/// What an event does.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Keeps a notification, or takes it back.
    Notification {
        /// Who asked.
        source: Source,
        /// Whose it is.
        id: Uuid,
        /// What is asked.
        change: Change,
    },
    /// Tells how a delivery stands.
    Outcome {
        /// Whose occurrence it is.
        notification_id: Uuid,
        /// How it stands.
        data: OutcomeData,
    },
    /// Takes a user and everything of theirs away.
    Erasure {
        /// The receipt that the user was given.
        receipt: ItemId,
    },
    /// Is remembered in the catalogue, no more.
    Remembered,
    /// Is one of our own facts coming back.
    OwnFact,
}

/// What is asked of a notification.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It is new, and looks like this.
    Create(Box<Wanted>),
    /// It now looks like this.
    Update(Box<Wanted>),
    /// It is no more.
    Delete,
}

impl Change {
    pub(crate) const fn is_delete(&self) -> bool {
        matches!(self, Self::Delete)
    }
}

/// What a notification is to look like, and when it is delivered.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What it looks like.
    pub data: ReminderData,
    /// Its deliveries.
    pub timetable: Timetable,
    /// Of one that recurs: the first that follows the event. It is searched for here, and not in
    /// the transaction that applies a batch.
    next: Option<(DateTime<Utc>, Option<Delivery>)>,
}

impl PartialEq for Wanted {
    fn eq(&self, other: &Self) -> bool {
        self.data == other.data
    }
}

impl Wanted {
    /// Returns the effect that the data of an event asks for.
    ///
    /// # Errors
    /// [`Refusal`]: its rule cannot be followed.
    pub fn of(data: ReminderData, occurred_at: DateTime<Utc>) -> Result<Self, Refusal> {
        let timetable = data.timetable()?;
        let next = data.recurrence.is_some().then(|| {
            (occurred_at, timetable.unacknowledged_after(occurred_at, data.acknowledged).next())
        });
        Ok(Self { data, timetable, next })
    }

    /// The first delivery after a time that is not of an acknowledged occurrence.
    #[must_use]
    pub fn next_after(&self, time: DateTime<Utc>) -> Option<Delivery> {
        match self.next {
            Some((occurred_at, next)) if occurred_at == time => next,
            _ => self.timetable.unacknowledged_after(time, self.data.acknowledged).next(),
        }
    }

    /// Whether an occurrence is acknowledged.
    #[must_use]
    pub fn is_done_with(&self, date: DateTime<Utc>) -> bool {
        self.data.acknowledged.is_some_and(|acknowledged| date <= acknowledged)
    }
}

/// Why a message is dead-lettered.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] DecodeError),
    /// It asks for a rule that cannot be followed.
    #[error(transparent)]
    Timetable(#[from] NoTimetable),
    /// It asks for what cannot be done.
    #[error("{0}")]
    Invalid(&'static str),
    /// It belongs to another queue.
    #[error("event-service does not consume {0}")]
    Misrouted(EventType),
}

impl Incoming {
    /// Reads a message.
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
            return Ok(Effect::Remembered);
        }
        EventType::UserErased => {
            return Ok(Effect::Erasure { receipt: event.erased()?.receipt_id });
        }
        EventType::NotificationCreated
        | EventType::NotificationUpdated
        | EventType::NotificationDeleted => {
            return Ok(Effect::OwnFact);
        }
        EventType::NotificationSend | EventType::NotificationReconcile => {
            return Err(Refusal::Misrouted(event.event_type));
        }
    };
    Ok(Effect::Notification { source, id: notification_id(source, &event.item_id), change })
}

fn reminder(event: &Envelope) -> Result<Wanted, Refusal> {
    Wanted::of(event.reminder()?, event.occurred_at)
}

fn outcome(event: &Envelope) -> Result<Effect, Refusal> {
    let data = event.outcome()?;
    let source = Source::ALL.into_iter().find(|source| source.as_str() == data.source);
    let source = source.ok_or(Refusal::Invalid("source: expected reminder or notification"))?;
    let told = data.state.event_type();
    if told != Some(event.event_type) || data.state == DeliveryState::Pending {
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
