//! Events of reminders: the messages by which the other services learn of each change.

use chrono::{DateTime, SecondsFormat, Utc};
use contract::{
    Bounds, Event, EventType, NotifyContent, OutOfBounds, ReminderData, Schema, Traceparent, new_id,
};
use rest::Identity;
use serde::Serialize;
use serde_json::json;
use service::{
    http::ApiError,
    outbox::{OutboxMessage, WriteError},
};
use uuid::Uuid;

use crate::domain::reminder::{Channel, Details, Fold, Gap, Handled, Priority, Recurrence};

/// Caller and trace of the request that causes a change.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The caller.
    pub identity: &'a Identity,
    /// The trace of the request.
    pub traceparent: Traceparent,
}

/// A message without the two attributes that the database decides: the time of the change and the
/// version of the reminder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unstamped(OutboxMessage);

impl Unstamped {
    /// The message without `occurredAt` and `version`, which the statement adds that writes it to
    /// the outbox.
    #[must_use]
    pub fn message(&self) -> &OutboxMessage {
        &self.0
    }

    /// The complete message, as it was written to the outbox.
    #[must_use]
    pub fn stamped(mut self, occurred_at: DateTime<Utc>, version: i64) -> OutboxMessage {
        let attributes = &mut self.0.message.attributes;
        attributes.insert(
            "occurredAt".to_owned(),
            occurred_at.to_rfc3339_opts(SecondsFormat::Millis, true),
        );
        attributes.insert("version".to_owned(), version.to_string());
        self.0
    }
}

/// Reason for which the event of a change cannot be published. The change is not made.
#[derive(Debug, thiserror::Error)]
pub enum UnpublishableChange {
    /// A field is outside of the bounds that the other services accept.
    #[error(transparent)]
    OutOfBounds(#[from] OutOfBounds),
    /// The message cannot be written to the outbox.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl From<UnpublishableChange> for ApiError {
    fn from(error: UnpublishableChange) -> Self {
        match error {
            UnpublishableChange::OutOfBounds(error) => Self::invalid(error.to_string()),
            UnpublishableChange::Write(error) => error.into(),
        }
    }
}

/// Builds `reminder:created`.
///
/// # Errors
/// [`UnpublishableChange`]: the reminder must not be created.
pub fn created(
    origin: Origin<'_>,
    id: Uuid,
    details: &Details,
) -> Result<Unstamped, UnpublishableChange> {
    let data = data(details, Handled::default())?;
    Ok(unstamped(EventType::ReminderCreated, origin, id, data)?)
}

/// Builds `reminder:updated` with all fields of the reminder after the change.
///
/// # Errors
/// [`UnpublishableChange`]: the change must not be made.
pub fn updated(
    origin: Origin<'_>,
    id: Uuid,
    details: &Details,
    handled: Handled,
) -> Result<Unstamped, UnpublishableChange> {
    Ok(unstamped(EventType::ReminderUpdated, origin, id, data(details, handled)?)?)
}

/// Builds `reminder:deleted`.
///
/// # Errors
/// [`WriteError`]: the reminder must not be deleted.
pub fn deleted(origin: Origin<'_>, id: Uuid) -> Result<Unstamped, WriteError> {
    unstamped(EventType::ReminderDeleted, origin, id, json!({}))
}

/// Builds `user:erased`, whose item is the receipt.
///
/// # Errors
/// [`WriteError`]: the user must not be erased.
pub fn erased(origin: Origin<'_>, receipt: Uuid) -> Result<Unstamped, WriteError> {
    let data = contract::ErasedData { receipt_id: receipt.into() };
    unstamped(EventType::UserErased, origin, receipt, data)
}

fn unstamped<D: Serialize>(
    event_type: EventType,
    origin: Origin<'_>,
    id: Uuid,
    data: D,
) -> Result<Unstamped, WriteError> {
    let event = Event {
        event_type,
        event_id: new_id(),
        occurred_at: DateTime::UNIX_EPOCH,
        user_id: origin.identity.user_id.clone(),
        // An erased user and an unverified address receive no e-mail.
        user_email: (event_type != EventType::UserErased && origin.identity.email_verified)
            .then(|| origin.identity.email.clone()),
        item_id: id.into(),
        version: 0,
        schema: Schema::V2,
        traceparent: Some(origin.traceparent),
        data,
    };
    OutboxMessage::checked(&event).map(Unstamped)
}

/// The data of a reminder, within the bounds that every consumer accepts.
fn data(details: &Details, handled: Handled) -> Result<ReminderData, OutOfBounds> {
    let data = ReminderData {
        date: details.schedule.date,
        notify_offsets: details.schedule.offsets.as_slice().to_vec(),
        recurrence: details.schedule.recurrence.clone().map(Into::into),
        snooze: handled
            .snooze
            .map(|snooze| contract::Snooze { date: snooze.date, until: snooze.until }),
        acknowledged: handled.acknowledged,
        content: NotifyContent {
            channels: details.channels.as_slice().iter().copied().map(Into::into).collect(),
            title: details.title.as_ref().map(|title| title.as_str().to_owned()),
            message: details.message.as_str().to_owned(),
            url: details.url.as_ref().map(|url| url.as_str().to_owned()),
            data: details.data.as_map().clone(),
            priority: details.priority.into(),
            locale: details.locale.as_ref().map(|locale| locale.as_str().to_owned()),
            time_zone: details.schedule.time_zone.name().to_owned(),
            expires_after_minutes: details.expires_after.minutes(),
        },
    };
    data.check(&Bounds::REMINDER)?;
    Ok(data)
}

impl From<Recurrence> for contract::Recurrence {
    fn from(recurrence: Recurrence) -> Self {
        let gap = match recurrence.gap {
            Gap::Shift => contract::GapPolicy::Shift,
            Gap::Skip => contract::GapPolicy::Skip,
        };
        let fold = match recurrence.fold {
            Fold::First => contract::FoldPolicy::First,
            Fold::Second => contract::FoldPolicy::Second,
            Fold::Both => contract::FoldPolicy::Both,
        };
        Self { rrule: recurrence.rrule, exdates: recurrence.exdates, gap, fold }
    }
}

impl From<contract::Recurrence> for Recurrence {
    fn from(recurrence: contract::Recurrence) -> Self {
        let gap = match recurrence.gap {
            contract::GapPolicy::Shift => Gap::Shift,
            contract::GapPolicy::Skip => Gap::Skip,
        };
        let fold = match recurrence.fold {
            contract::FoldPolicy::First => Fold::First,
            contract::FoldPolicy::Second => Fold::Second,
            contract::FoldPolicy::Both => Fold::Both,
        };
        Self { rrule: recurrence.rrule, exdates: recurrence.exdates, gap, fold }
    }
}

impl From<Channel> for contract::Channel {
    fn from(channel: Channel) -> Self {
        match channel {
            Channel::Email => Self::Email,
            Channel::Push => Self::Push,
        }
    }
}

impl From<contract::Channel> for Channel {
    fn from(channel: contract::Channel) -> Self {
        match channel {
            contract::Channel::Email => Self::Email,
            contract::Channel::Push => Self::Push,
        }
    }
}

impl From<Priority> for contract::Priority {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::Normal => Self::Normal,
            Priority::High => Self::High,
        }
    }
}

impl From<contract::Priority> for Priority {
    fn from(priority: contract::Priority) -> Self {
        match priority {
            contract::Priority::Normal => Self::Normal,
            contract::Priority::High => Self::High,
        }
    }
}

#[cfg(test)]
mod tests;
