//! The transactional outbox: a change and the message that tells of it are one transaction; a relay publishes
//! afterwards, at least once, and deletes what the topic acknowledged entry by entry.
//!
//! A row is written already leased to its writer, which hands the message to its own relay in memory as soon as the
//! transaction is committed: no polling stands between the commit and the topic. Whatever is not published that way
//! (the process died, the bus was away) is taken by any process's sweep once the lease has run out. Rows are claimed by
//! their state, never by a cursor alone, so a row that commits late is not lost.

mod relay;
mod store;
mod sweep;

use std::{sync::Arc, time::Duration};

use sqlx::PgExecutor;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::Instant,
};
use uuid::Uuid;

use crate::{
    bus::{self, Message, Unpublishable},
    contract::Event,
};
pub use relay::Relay;

/// For how long a row belongs to the process that wrote or claimed it. Longer than a message may wait in memory
/// (`FRESH`) and be published (`relay::PUBLISH_LIMIT`) together: whoever publishes a row still owns it.
pub const LEASE: Duration = Duration::from_secs(30);

/// For how long a message that was handed over may wait in memory; after that its row is left to the sweep, which would
/// publish it a second time.
const FRESH: Duration = Duration::from_secs(8);
/// Messages handed over in memory and not yet published: their number and their bytes. Beyond it they are left to the
/// sweep.
const HANDOFF: usize = 20_000;
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

    /// The message that tells of an event, checked: a request whose message no bus would take is refused
    /// instead of being answered and parked.
    ///
    /// # Errors
    /// [`WriteError`]: it cannot be written, or can never be published.
    pub fn checked<D: serde::Serialize>(event: &Event<D>) -> Result<Self, WriteError> {
        let message = Self::of(event)?;
        bus::check(&message.message, STAMPS)?;
        Ok(message)
    }
}

/// Room for what a statement may still write into the attributes: the item's version, up to 19 digits.
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

/// Writes messages into the outbox, in the caller's transaction; hand them to [`Handoff::after_commit`] once it is
/// committed. A message whose id is already there is the same message and stays as it is.
///
/// # Errors
/// When the statement fails.
pub async fn insert(executor: impl PgExecutor<'_>, messages: &[OutboxMessage]) -> Result<(), sqlx::Error> {
    if messages.is_empty() {
        return Ok(());
    }
    store::insert(executor, messages, LEASE).await
}

/// The way from a committed transaction to the relay of this process.
#[derive(Debug, Clone)]
pub struct Handoff {
    sender: mpsc::Sender<HandedOver>,
    /// Bytes that are left of [`HANDOFF_BYTES`].
    room: Arc<Semaphore>,
}

/// A message in memory, with its share of the room.
#[derive(Debug)]
struct HandedOver {
    message: OutboxMessage,
    since: Instant,
    room: OwnedSemaphorePermit,
}

impl Handoff {
    fn new() -> (Self, mpsc::Receiver<HandedOver>) {
        let (sender, receiver) = mpsc::channel(HANDOFF);
        (Self { sender, room: Arc::new(Semaphore::new(HANDOFF_BYTES)) }, receiver)
    }

    /// Hands over messages whose rows are committed. When the relay has no room for them (the bus is away), the rows
    /// wait for the sweep.
    pub fn after_commit(&self, messages: impl IntoIterator<Item = OutboxMessage>) {
        let since = Instant::now();
        let left = messages.into_iter().filter(|message| !self.hand_over(message, since)).count();
        if left > 0 {
            relay::count_left_to_sweep(left);
        }
    }

    /// Whether there was room for it.
    fn hand_over(&self, message: &OutboxMessage, since: Instant) -> bool {
        let bytes = u32::try_from(message.message.bytes()).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(bytes) else { return false };
        let Ok(place) = self.sender.try_reserve() else { return false };
        place.send(HandedOver { message: message.clone(), since, room });
        true
    }
}

impl HandedOver {
    /// Whether its row is this process's for as long as a publish may take.
    fn is_fresh(&self) -> bool {
        self.since.elapsed() <= FRESH
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::contract::new_id;

    fn message(bytes: usize) -> OutboxMessage {
        let message = Message { body: "x".repeat(bytes), attributes: BTreeMap::new() };
        OutboxMessage { event_id: new_id(), message }
    }

    #[test]
    fn leaves_messages_to_sweep_when_their_bytes_exceed_the_room() {
        let (handoff, mut receiver) = Handoff::new();
        let share = HANDOFF_BYTES / 64;
        handoff.after_commit((0..100).map(|_| message(share)));
        let mut taken = Vec::new();
        while let Ok(message) = receiver.try_recv() {
            taken.push(message);
        }
        assert_eq!(taken.len(), 64);

        handoff.after_commit([message(share)]);
        assert!(receiver.try_recv().is_err(), "messages in memory keep their room until they are published");
        taken.pop();
        handoff.after_commit([message(share)]);
        assert!(receiver.try_recv().is_ok());
    }

    #[test]
    fn publishes_no_message_whose_lease_may_run_out_meanwhile() {
        let (handoff, mut receiver) = Handoff::new();
        handoff.after_commit([message(1)]);
        let mut handed_over = receiver.try_recv().unwrap();
        assert!(handed_over.is_fresh());
        handed_over.since -= FRESH;
        assert!(!handed_over.is_fresh());
        assert!(FRESH + relay::PUBLISH_LIMIT < LEASE);
    }
}
