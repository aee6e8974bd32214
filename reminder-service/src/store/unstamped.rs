//! Message of a change before the database stamps it with its time and version.

use chrono::{DateTime, SecondsFormat, Utc};
use contract::Event;
use serde::Serialize;
use service::outbox::{OutboxMessage, WriteError};

/// A message without the two attributes that the database decides: the time of the change and the
/// version of the reminder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unstamped(OutboxMessage);

impl Unstamped {
    /// The message of an event.
    ///
    /// # Errors
    /// [`WriteError`]: the change must not be made.
    pub fn of<D: Serialize>(event: &Event<D>) -> Result<Self, WriteError> {
        OutboxMessage::checked(event).map(Self)
    }

    /// The message without `occurredAt` and `version`, which the statement adds that writes it to
    /// the outbox.
    #[must_use]
    pub(super) fn message(&self) -> &OutboxMessage {
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
