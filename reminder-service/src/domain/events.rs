//! Events of reminders, by which the other services learn of each change. The statement that writes
//! an event to the outbox sets its time and its version.

use chrono::{DateTime, Utc};
use contract::{
    Bounds, ErasedData, Event, EventType, NotifyContent, OutOfBounds, ReminderData, Schema, new_id,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    caller::Origin,
    reminder::{Details, Handled, Reminder},
};

/// Builds `reminder:created`.
///
/// # Errors
/// If a field is outside of the bounds that the other services accept.
pub fn created(
    origin: &Origin,
    id: Uuid,
    details: &Details,
) -> Result<Event<ReminderData>, OutOfBounds> {
    let data = data(details, Handled::default())?;
    Ok(event(EventType::ReminderCreated, origin, id, data))
}

/// Builds `reminder:created` of a reminder that may have occurrences with other texts.
///
/// # Errors
/// If a field is outside of the bounds that the other services accept.
pub fn created_as(
    origin: &Origin,
    reminder: &Reminder,
) -> Result<Event<ReminderData>, OutOfBounds> {
    Ok(event(EventType::ReminderCreated, origin, reminder.id, data_of(reminder)?))
}

/// Builds `reminder:updated` with all fields of the reminder after the change.
///
/// # Errors
/// If a field is outside of the bounds that the other services accept.
pub fn updated(origin: &Origin, reminder: &Reminder) -> Result<Event<ReminderData>, OutOfBounds> {
    Ok(event(EventType::ReminderUpdated, origin, reminder.id, data_of(reminder)?))
}

/// Builds `reminder:deleted`.
#[must_use]
pub fn deleted(origin: &Origin, id: Uuid) -> Event<Value> {
    event(EventType::ReminderDeleted, origin, id, json!({}))
}

/// Builds `user:erased`, whose item is the receipt.
#[must_use]
pub fn erased(origin: &Origin, receipt: Uuid) -> Event<ErasedData> {
    event(EventType::UserErased, origin, receipt, ErasedData { receipt_id: receipt.into() })
}

fn event<D>(event_type: EventType, origin: &Origin, id: Uuid, data: D) -> Event<D> {
    let caller = &origin.caller;
    Event {
        event_type,
        event_id: new_id(),
        occurred_at: DateTime::<Utc>::UNIX_EPOCH,
        user_id: caller.user_id.clone(),
        // An erased user and an unverified address receive no e-mail.
        user_email: (event_type != EventType::UserErased && caller.email_verified)
            .then(|| caller.email.clone()),
        item_id: id.into(),
        version: 0,
        schema: Schema::V2,
        traceparent: Some(origin.traceparent),
        data,
    }
}

/// The data of a stored reminder, within the bounds that every consumer accepts.
pub(super) fn data_of(reminder: &Reminder) -> Result<ReminderData, OutOfBounds> {
    let data = data(&reminder.details, reminder.handled)?;
    let changed_occurrences = reminder.changed_occurrences.iter().cloned().map(Into::into);
    let data = ReminderData {
        paused: reminder.paused_at.is_some(),
        changed_occurrences: changed_occurrences.collect(),
        ..data
    };
    data.check(&Bounds::REMINDER)?;
    Ok(data)
}

fn data(details: &Details, handled: Handled) -> Result<ReminderData, OutOfBounds> {
    let data = ReminderData {
        date: details.schedule.date,
        notify_offsets: details.schedule.offsets.as_slice().to_vec(),
        recurrence: details.schedule.recurrence.clone().map(Into::into),
        snooze: handled
            .snooze
            .map(|snooze| contract::Snooze { date: snooze.date, until: snooze.until }),
        acknowledged: handled.acknowledged,
        paused: false,
        changed_occurrences: Vec::new(),
        content: NotifyContent {
            channels: details.channels.as_slice().to_vec(),
            title: details.title.as_ref().map(|title| title.as_str().to_owned()),
            message: details.message.as_str().to_owned(),
            url: details.url.as_ref().map(|url| url.as_str().to_owned()),
            data: details.data.as_map().clone(),
            priority: details.priority,
            locale: details.locale.as_ref().map(|locale| locale.as_str().to_owned()),
            time_zone: details.schedule.time_zone.name().to_owned(),
            expires_after_minutes: details.expires_after.minutes(),
        },
    };
    data.check(&Bounds::REMINDER)?;
    Ok(data)
}

#[cfg(test)]
mod tests;
