//! The transactional outbox: a change and its message are written in one transaction. A relay
//! publishes the message afterwards, at least once, and deletes each row that the topic
//! acknowledged.
//!
//! A new row is leased to its writer, which passes the message to the relay of its own process in
//! memory as soon as the transaction is committed: no polling stands between the commit and the
//! topic. Rows that are not published that way (the process died, the bus was unreachable) are
//! claimed by the recovery task of any process once the lease has expired. Rows are claimed by
//! their state, never by a cursor alone, so a row that commits late is not lost.

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

use bus::{Message, Unpublishable};
use contract::Event;
pub use memory_queue::RelayHandle;
pub use relay::{Relay, USER_EVENTS_PER_SECOND};

/// Lease of a row for the process that wrote or claimed it. It is longer than a message may wait in
/// memory (`MAX_TIME_IN_MEMORY`) and be published (`publisher::PUBLISH_LIMIT`) together, so the
/// process that publishes a row still owns it.
pub const LEASE: Duration = Duration::from_secs(30);

/// Longest time that a message may wait in memory. After that its row is left to the recovery task,
/// which would publish it a second time.
const MAX_TIME_IN_MEMORY: Duration = Duration::from_secs(8);
/// Most bytes of messages in memory that are not yet published. Messages beyond this limit, or
/// beyond `fair_queue::MAX_MESSAGES`, are left to the recovery task.
const MAX_MEMORY_BYTES: usize = 16 * 1024 * 1024;

/// A message on its way through the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxMessage {
    /// The event's identity and the row's key.
    pub event_id: Uuid,
    /// The message to publish.
    pub message: Message,
}

impl OutboxMessage {
    /// Builds the message of an event.
    ///
    /// # Errors
    /// If the data of the event cannot be written as JSON.
    pub fn of<D: serde::Serialize>(event: &Event<D>) -> Result<Self, serde_json::Error> {
        Ok(Self { event_id: event.event_id, message: event.to_message()? })
    }

    /// Id of the user that the event concerns, by which messages are throttled; empty if the
    /// message names none.
    pub(crate) fn user(&self) -> &str {
        self.message.attributes.get("userId").map_or("", String::as_str)
    }

    /// Builds the message of an event and checks it, so that a request whose message no bus accepts
    /// is refused and not answered with success.
    ///
    /// # Errors
    /// [`WriteError`] if the message cannot be written, or can never be published.
    pub fn checked<D: serde::Serialize>(event: &Event<D>) -> Result<Self, WriteError> {
        let message = Self::of(event)?;
        bus::check(&message.message, RESERVED_BYTES)?;
        Ok(message)
    }
}

/// Bytes reserved for attributes that a statement may add later: the version of the item, up to 19
/// digits.
const RESERVED_BYTES: usize = 32;

/// Reason that a message cannot be written into the outbox.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The data cannot be written as JSON.
    #[error("write an event as JSON")]
    Json(#[from] serde_json::Error),
    /// The bus never accepts the message.
    #[error(transparent)]
    Unpublishable(#[from] Unpublishable),
}

/// Writes messages into the outbox, in the caller's transaction. Pass them to
/// [`RelayHandle::after_commit`] once the transaction is committed. A message whose id already
/// exists is the same message and stays unchanged.
///
/// # Errors
/// If the statement fails.
pub async fn insert(
    executor: impl PgExecutor<'_>,
    messages: &[OutboxMessage],
) -> Result<(), sqlx::Error> {
    if messages.is_empty() {
        return Ok(());
    }
    store::insert(executor, messages, LEASE).await
}

/// Writes messages into the outbox without a lease, in the caller's transaction: for a writer that
/// has no relay. The relay of any process of the service publishes them with its next scan.
///
/// # Errors
/// If the statement fails.
pub async fn insert_unleased(
    executor: impl PgExecutor<'_>,
    messages: &[OutboxMessage],
) -> Result<(), sqlx::Error> {
    if messages.is_empty() {
        return Ok(());
    }
    store::insert_unleased(executor, messages).await
}
