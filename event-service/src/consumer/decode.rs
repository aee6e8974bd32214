//! Decodes and validates messages of the event queue, and sorts them by their effect.

use bus::Received;
use contract::{
    DecodeError, DeliveryState, Envelope, EventType, NoDeliverySchedule, Reason, bounds,
};

use crate::domain::{
    identity::{Source, notification_id},
    incoming::{Change, Effect, Incoming, RequestedNotification},
};

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

/// Decodes a message and determines its effect.
///
/// # Errors
/// [`Refusal`]: it can never be applied.
pub fn decode(received: &Received) -> Result<Incoming, Refusal> {
    let event = Envelope::decode(received)?;
    let effect = effect(&event)?;
    Ok(Incoming { event, effect })
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
    Ok(RequestedNotification::of(event.reminder()?, event.occurred_at)?)
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
