//! The transactional outbox: a change and the message that tells of it are one transaction; a relay
//! publishes afterwards, at least once, and deletes what the topic acknowledged entry by entry.
//!
//! A row is written already leased to its writer, which hands the message to its own relay in
//! memory as soon as the transaction is committed: no polling stands between the commit and the
//! topic. Whatever is not published that way (the process died, the bus was away) is taken by any
//! process's sweep once the lease has run out. Rows are claimed by their state, never by a cursor
//! alone, so a row that commits late is not lost.

mod fair_queue;
mod memory_queue;
mod publisher;
mod recovery;
mod relay;
mod shares;
mod store;
mod throttled_users;

use std::time::Duration;

use sqlx::PgExecutor;
use uuid::Uuid;

use crate::{
    bus::{self, Message, Unpublishable},
    contract::Event,
};
pub use memory_queue::Handoff;
pub use relay::{Relay, USER_EVENTS_PER_SECOND};

/// For how long a row belongs to the process that wrote or claimed it. Longer than a message may
/// wait in memory (`FRESH`) and be published (`publisher::PUBLISH_LIMIT`) together: whoever
/// publishes a row still owns it.
pub const LEASE: Duration = Duration::from_secs(30);

/// For how long a message that was handed over may wait in memory; after that its row is left to
/// the sweep, which would publish it a second time.
const FRESH: Duration = Duration::from_secs(8);
/// Bytes of messages handed over in memory and not yet published; beyond it, and beyond
/// `fair_queue::MESSAGES`, they are left to the sweep.
const HANDOFF_BYTES: usize = 16 * 1024 * 1024;

/// A message on its way through the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxMessage {
    /// The event's identity and the row's key.
    pub event_id: Uuid,
    /// What is published.
    pub message: Message,
}

impl OutboxMessage {
    /// The message that tells of an event.
    ///
    /// # Errors
    /// When its data cannot be written as JSON.
    pub fn of<D: serde::Serialize>(event: &Event<D>) -> Result<Self, serde_json::Error> {
        Ok(Self { event_id: event.event_id, message: event.to_message()? })
    }

    /// The user whose event it is, who waits when there are too many of them; empty where it does
    /// not say.
    pub(crate) fn user(&self) -> &str {
        self.message.attributes.get("userId").map_or("", String::as_str)
    }

    /// The message that tells of an event, checked: a request whose message no bus would take is
    /// refused instead of being answered and parked.
    ///
    /// # Errors
    /// [`WriteError`]: it cannot be written, or can never be published.
    pub fn checked<D: serde::Serialize>(event: &Event<D>) -> Result<Self, WriteError> {
        let message = Self::of(event)?;
        bus::check(&message.message, STAMPS)?;
        Ok(message)
    }
}

/// Room for what a statement may still write into the attributes: the item's version, up to 19
/// digits.
const STAMPS: usize = 32;

/// Why a message cannot go into the outbox.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Its data cannot be written as JSON.
    #[error("write an event as JSON")]
    Json(#[from] serde_json::Error),
    /// The bus would never take it.
    #[error(transparent)]
    Unpublishable(#[from] Unpublishable),
}

/// Writes messages into the outbox, in the caller's transaction; hand them to
/// [`Handoff::after_commit`] once it is committed. A message whose id is already there is the same
/// message and stays as it is.
///
/// # Errors
/// When the statement fails.
pub async fn insert(
    executor: impl PgExecutor<'_>,
    messages: &[OutboxMessage],
) -> Result<(), sqlx::Error> {
    if messages.is_empty() {
        return Ok(());
    }
    store::insert(executor, messages, LEASE).await
}
