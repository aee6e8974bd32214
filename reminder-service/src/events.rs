//! Reminders as the messages of the contract: what each change of one tells the other services.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::json;
use shared::{
    contract::{
        self, Bounds, Event, EventType, NotifyContent, OutOfBounds, ReminderData, Schema, new_id,
    },
    http::{ApiError, Identity},
    outbox::{OutboxMessage, WriteError},
    telemetry::Traceparent,
};
use uuid::Uuid;

use crate::reminder::{Channel, Details, Fold, Gap, Handled, Priority, Recurrence};

/// Whose change it is and which trace it belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The user.
    pub identity: &'a Identity,
    /// The trace of the request.
    pub traceparent: Traceparent,
}

/// A message that is complete but for what the database decides: the change's time and the
/// reminder's version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unstamped(OutboxMessage);

impl Unstamped {
    /// The message as it stands; the statement that writes it to the outbox puts `occurredAt` and
    /// `version` in.
    #[must_use]
    pub fn message(&self) -> &OutboxMessage {
        &self.0
    }

    /// The message as it was written to the outbox.
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

/// Why a change cannot be told, and so is not made.
#[derive(Debug, thiserror::Error)]
pub enum Untellable {
    /// It is outside of what the other services read.
    #[error(transparent)]
    OutOfBounds(#[from] OutOfBounds),
    /// The message cannot be written into the outbox.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl From<Untellable> for ApiError {
    fn from(error: Untellable) -> Self {
        match error {
            Untellable::OutOfBounds(error) => Self::invalid(error.to_string()),
            Untellable::Write(error) => error.into(),
        }
    }
}

/// `reminder:created`.
///
/// # Errors
/// [`Untellable`]: the reminder is not to be made.
pub fn created(origin: Origin<'_>, id: Uuid, details: &Details) -> Result<Unstamped, Untellable> {
    let data = data(details, Handled::default())?;
    Ok(unstamped(EventType::ReminderCreated, origin, id, data)?)
}

/// `reminder:updated`, with everything that the reminder now says.
///
/// # Errors
/// [`Untellable`]: the change is not to be made.
pub fn updated(
    origin: Origin<'_>,
    id: Uuid,
    details: &Details,
    handled: Handled,
) -> Result<Unstamped, Untellable> {
    Ok(unstamped(EventType::ReminderUpdated, origin, id, data(details, handled)?)?)
}

/// `reminder:deleted`.
///
/// # Errors
/// [`WriteError`]: the deletion is not to be made.
pub fn deleted(origin: Origin<'_>, id: Uuid) -> Result<Unstamped, WriteError> {
    unstamped(EventType::ReminderDeleted, origin, id, json!({}))
}

/// `user:erased`: the item is the receipt.
///
/// # Errors
/// [`WriteError`]: the erasure is not to be made.
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
        // Whoever is erased is written to no more, and an address that nobody vouches for is not
        // written to at all.
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

/// The data of a reminder, within the bounds that every consumer reads.
fn data(details: &Details, handled: Handled) -> Result<ReminderData, OutOfBounds> {
    let data = ReminderData {
        date: details.schedule.date,
        notify_offsets: details.schedule.offsets.as_slice().to_vec(),
        recurrence: details.schedule.recurrence.clone().map(Into::into),
        snooze: handled.snooze.map(|it| contract::Snooze { date: it.date, until: it.until }),
        acknowledged: handled.acknowledged,
        content: NotifyContent {
            channels: details.channels.as_slice().iter().copied().map(Into::into).collect(),
            title: details.title.as_ref().map(|it| it.as_str().to_owned()),
            message: details.message.as_str().to_owned(),
            url: details.url.as_ref().map(|it| it.as_str().to_owned()),
            data: details.data.as_map().clone(),
            priority: details.priority.into(),
            locale: details.locale.as_ref().map(|it| it.as_str().to_owned()),
            time_zone: details.schedule.time_zone.name().to_owned(),
            expires_after_minutes: details.expires_after.minutes(),
        },
    };
    data.check(&Bounds::REMINDER)?;
    Ok(data)
}

impl From<Recurrence> for contract::Recurrence {
    fn from(it: Recurrence) -> Self {
        let gap = match it.gap {
            Gap::Shift => contract::GapPolicy::Shift,
            Gap::Skip => contract::GapPolicy::Skip,
        };
        let fold = match it.fold {
            Fold::First => contract::FoldPolicy::First,
            Fold::Second => contract::FoldPolicy::Second,
            Fold::Both => contract::FoldPolicy::Both,
        };
        Self { rrule: it.rrule, exdates: it.exdates, gap, fold }
    }
}

impl From<contract::Recurrence> for Recurrence {
    fn from(it: contract::Recurrence) -> Self {
        let gap = match it.gap {
            contract::GapPolicy::Shift => Gap::Shift,
            contract::GapPolicy::Skip => Gap::Skip,
        };
        let fold = match it.fold {
            contract::FoldPolicy::First => Fold::First,
            contract::FoldPolicy::Second => Fold::Second,
            contract::FoldPolicy::Both => Fold::Both,
        };
        Self { rrule: it.rrule, exdates: it.exdates, gap, fold }
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
