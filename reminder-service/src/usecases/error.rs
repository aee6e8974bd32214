//! Error of the use cases.

use std::time::Duration;

use contract::OutOfBounds;
use service::{idempotency, outbox::WriteError};

use super::compute::TaskError;
use crate::{
    domain::{
        caller::UnusableEmail,
        precondition::OtherVersion,
        reminder::{
            EditRefusal, InvalidDetails, InvalidDueDate, InvalidField, InvalidRecurrence,
            InvalidSnoozeEnd, NothingDelivered, Paused,
        },
    },
    peers,
};

/// Refusal or failure of a use case: nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller has no such reminder. It does not say if another user has it.
    #[error("there is no such reminder")]
    MissingReminder,
    /// The caller has no such calendar feed.
    #[error("there is no such calendar feed")]
    MissingFeed,
    /// The caller has the largest number of calendar feeds.
    #[error("you have {max} calendar feeds, which is the limit; revoke one first")]
    TooManyFeeds {
        /// Largest number of feeds.
        max: i64,
    },
    /// The reminder has another version than the client expects.
    #[error(transparent)]
    OtherVersion(#[from] OtherVersion),
    /// Other requests changed the reminder again and again.
    #[error("other requests are changing the reminder; try again")]
    Contended,
    /// The caller has the largest number of reminders.
    #[error("you have {max} reminders, which is the limit; delete some first")]
    QuotaExceeded {
        /// Largest number of reminders.
        max: u32,
    },
    /// The rules of the caller's reminders take longer to search than one request may.
    #[error(
        "the rules of your reminders take too long to search; ask for an earlier or a shorter time"
    )]
    TooCostly,
    /// The reminder has no delivery in the future.
    #[error("date: at least one delivery (date minus an offset) must be in the future")]
    NoDeliveryAhead,
    /// The caller has used too many e-mail addresses today.
    #[error("channels: the daily limit of different e-mail addresses is reached")]
    TooManyAddresses {
        /// Time until the limit starts again.
        retry_after: Duration,
    },
    /// The caller cannot use the channel e-mail.
    #[error(transparent)]
    UnusableEmail(#[from] UnusableEmail),
    /// A field breaks its rule.
    #[error(transparent)]
    InvalidField(#[from] InvalidField),
    /// The recurrence rule is invalid, or contradicts `isRecurring`.
    #[error(transparent)]
    InvalidRecurrence(#[from] InvalidRecurrence),
    /// The local due date has no usable instant.
    #[error(transparent)]
    InvalidDueDate(#[from] InvalidDueDate),
    /// The end of a snooze is not in the allowed time.
    #[error(transparent)]
    InvalidSnoozeEnd(#[from] InvalidSnoozeEnd),
    /// There is no occurrence to act on.
    #[error(transparent)]
    NothingDelivered(#[from] NothingDelivered),
    /// The reminder is paused.
    #[error(transparent)]
    Paused(#[from] Paused),
    /// The occurrence cannot be edited.
    #[error(transparent)]
    Edit(#[from] EditRefusal),
    /// A field is outside of the bounds that the other services accept.
    #[error(transparent)]
    OutOfBounds(#[from] OutOfBounds),
    /// The event of the change cannot be written to the outbox.
    #[error(transparent)]
    Event(#[from] WriteError),
    /// The idempotency key cannot be used.
    #[error(transparent)]
    Idempotency(#[from] idempotency::Error),
    /// The answer cannot be written as JSON.
    #[error("write an answer as JSON")]
    Json(#[from] serde_json::Error),
    /// A statement failed.
    #[error("change the reminders database")]
    Sql(#[from] sqlx::Error),
    /// A rule could not be expanded.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// Another service does not answer.
    #[error(transparent)]
    Peer(#[from] peers::Error),
}

impl From<InvalidDetails> for Error {
    fn from(error: InvalidDetails) -> Self {
        match error {
            InvalidDetails::Field(error) => error.into(),
            InvalidDetails::Recurrence(error) => error.into(),
            InvalidDetails::DueDate(error) => error.into(),
        }
    }
}
