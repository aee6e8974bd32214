//! The bus as a port: topics that fan out to queues, at least once, in any order.
//!
//! There are two adapters: [`aws`] (SNS → SQS) and [`postgres`] (pgmq). The variable `BUS` selects
//! one; there is no default. One conformance suite (`tests/bus_conformance.rs`) tests both for the
//! same behaviour.

mod adaptive_rate;
mod attributes;
#[cfg(feature = "aws")]
pub mod aws;
mod limits;
mod packing;
#[cfg(feature = "postgres")]
pub mod postgres;
mod publish_results;
pub mod settings;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use contract::{RawMessage, Reason};

pub use adaptive_rate::AdaptiveRate;
pub use attributes::attributes_in;
pub use contract::{MAX_ATTRIBUTES, Message};
pub use limits::{Unpublishable, check};
pub use packing::{MAX_PACK_BYTES, MAX_PACK_EVENTS, Packing};
pub use publish_results::PublishResults;
pub use settings::{BusSettings, connect};

/// Most bytes of body, attribute names and attribute values together (SNS and SQS: 256 KiB).
pub const MAX_MESSAGE_BYTES: usize = 256 * 1024;

/// Most bytes of bodies and attributes that one receive returns, however many messages were
/// requested; a single message is returned whatever its size. Three batches of this size, read into
/// memory, fit a pod of 256 MiB.
pub const MAX_RECEIVE_BYTES: usize = 4 * 1024 * 1024;

/// Longest delay of a message that is sent to a queue (SQS: 15 minutes).
pub const MAX_DELAY: Duration = Duration::from_secs(15 * 60);

/// Attribute of a dead letter with the reason code. (Messages that SQS moves by its
/// own redrive policy, as they were received too often, have none.)
pub const REASON_ATTRIBUTE: &str = "deadLetterReason";

/// Attribute that explains the reason of a dead-lettered message.
pub const DETAIL_ATTRIBUTE: &str = "deadLetterDetail";

/// A shared handle to the configured adapter.
pub type SharedBus = Arc<dyn Bus>;

/// A message received under a visibility timeout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Handle by which this receipt is settled or extended; a later receipt of the same message has
    /// another.
    pub receipt: Receipt,
    /// Id that the bus gave the message, the same at each redelivery.
    pub message_id: String,
    /// Text as it is stored in the queue: raw, or an SNS JSON envelope (`contract::Envelope` reads
    /// both).
    pub body: String,
    /// Message attributes of the queue (empty if an SNS envelope carries them).
    pub attributes: BTreeMap<String, String>,
    /// Number of times that the message was received, including this one.
    pub receive_count: u32,
    /// Time at which the message was put into the queue.
    pub sent_at: DateTime<Utc>,
}

impl<'a> From<&'a Received> for RawMessage<'a> {
    fn from(received: &'a Received) -> Self {
        Self {
            body: &received.body,
            attributes: &received.attributes,
            message_id: &received.message_id,
            sent_at: received.sent_at,
        }
    }
}

impl Received {
    /// Bytes of body, attribute names and attribute values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        limits::message_bytes(
            &self.body,
            self.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())),
        )
    }
}

/// An opaque handle to one receipt of one message.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Receipt(pub String);

/// Decision of a consumer on a message that it received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// The effect of the message is durable: remove the message.
    Done,
    /// Make the message visible again after this time (zero: at once).
    RetryAfter(Duration),
    /// The message can never be handled: move it to the dead-letter queue.
    Reject(Rejection),
}

/// Reason for moving a message to the dead-letter queue, with an explanation that quotes no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Reason code.
    pub reason: Reason,
    /// Explanation.
    pub detail: String,
}

impl Rejection {
    /// Rejects for a reason.
    #[must_use]
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// Counts of a queue, as far as the bus knows them (SQS: approximate).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Messages that a receive could return now.
    pub visible: u64,
    /// Messages received and not yet settled.
    pub in_flight: u64,
    /// Messages whose delay has not passed.
    pub delayed: u64,
}

/// Error of a call to the bus.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bus could not be reached or answered that it is overloaded; the same call may succeed
    /// later.
    #[error("{action}: the bus is unavailable")]
    Unavailable {
        /// The attempted action.
        action: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The bus refused the call as it stands: a missing topic or queue, a permission, a malformed
    /// name.
    #[error("{action}: refused by the bus")]
    Misconfigured {
        /// The attempted action.
        action: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Reason that one message of a batch was not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The bus did not accept this message for a reason of its own: publish it again.
    #[error("temporarily refused by the bus: {0}")]
    Retry(String),
    /// The message can never be published: too large, too many attributes, forbidden characters.
    #[error("unpublishable: {0}")]
    Unpublishable(String),
}

/// Operations of every adapter. All calls are bounded in time; none panics on foreign input.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Publishes to a topic (an ARN, or the name in it). Returns one result for each message, in
    /// order. Messages that failed temporarily have been retried one by one.
    ///
    /// # Errors
    /// [`Error`] if no result is known; every message must then be published again.
    async fn publish(
        &self,
        topic: &str,
        messages: &[Message],
    ) -> Result<Vec<Result<(), PublishError>>, Error>;

    /// Sends messages directly to a queue (a URL, or the name in it), visible after `delay`
    /// (at most [`MAX_DELAY`]).
    ///
    /// # Errors
    /// As [`Bus::publish`].
    async fn send(
        &self,
        queue: &str,
        messages: &[Message],
        delay: Duration,
    ) -> Result<Vec<Result<(), PublishError>>, Error>;

    /// Receives up to `max` messages with at most [`MAX_RECEIVE_BYTES`] together, hidden from other
    /// consumers for `visibility`; waits up to `wait` for the first. Messages received more often
    /// than the queue allows are moved to its dead-letter queue instead.
    ///
    /// # Errors
    /// [`Error`] if the queue could not be read.
    async fn receive(
        &self,
        queue: &str,
        max: usize,
        visibility: Duration,
        wait: Duration,
    ) -> Result<Vec<Received>, Error>;

    /// Settles receipts in batches. A stale receipt is ignored: its message was received again
    /// since and belongs to the last receiver, or was removed.
    ///
    /// # Errors
    /// [`Error`] if some receipts could not be settled; their messages will be delivered again.
    async fn settle(
        &self,
        queue: &str,
        settlements: Vec<(Received, Settlement)>,
    ) -> Result<(), Error>;

    /// Hides received messages for `visibility` from now on; stale receipts are ignored, as by
    /// [`Bus::settle`].
    ///
    /// # Errors
    /// [`Error`] if some could not be extended.
    async fn extend(
        &self,
        queue: &str,
        receipts: &[Receipt],
        visibility: Duration,
    ) -> Result<(), Error>;

    /// Counts the messages of a queue.
    ///
    /// # Errors
    /// [`Error`] if the queue could not be read.
    async fn depth(&self, queue: &str) -> Result<Depth, Error>;

    /// Counts the dead letters of `queue`.
    ///
    /// # Errors
    /// [`Error`] if the dead-letter queue could not be read.
    async fn dead_letter_depth(&self, queue: &str) -> Result<Depth, Error>;

    /// Returns up to `max` dead letters of `queue` without removing them.
    ///
    /// # Errors
    /// [`Error`] if the dead-letter queue could not be read.
    async fn dead_letters(&self, queue: &str, max: usize) -> Result<Vec<Received>, Error>;

    /// Moves up to `max` dead letters of `queue` back into it; returns their number.
    ///
    /// # Errors
    /// [`Error`] if they could not be moved; none is lost, some may exist twice.
    async fn redrive(&self, queue: &str, max: usize) -> Result<u64, Error>;

    /// Removes dead letters of `queue` that are older than `kept`; returns their number. Does
    /// nothing if the bus is infrastructure (aws), where queues have a retention of their own.
    ///
    /// # Errors
    /// [`Error`] if they could not be removed; some may have been removed.
    async fn purge_dead_letters(&self, queue: &str, kept: Duration) -> Result<u64, Error>;

    /// Removes dead letters of `queue` that concern a user, by the attribute `userId` or the field
    /// `userId` of the body; returns their number. Does nothing on SQS, which cannot search
    /// messages: they stay until the retention of the dead-letter queue ends.
    ///
    /// # Errors
    /// [`Error`] if they could not be removed; some may have been removed.
    async fn erase_dead_letters(&self, queue: &str, user_id: &str) -> Result<u64, Error>;

    /// Creates the topics, queues, dead-letter queues and subscriptions of the process (postgres),
    /// or checks that they exist if the bus is infrastructure (aws). Idempotent.
    ///
    /// # Errors
    /// [`Error::Misconfigured`] with the names that are missing, [`Error::Unavailable`] if they
    /// could not be checked.
    async fn ensure(&self, topology: &Topology) -> Result<(), Error>;
}

/// Topics, queues and subscriptions that one process needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topology {
    /// Topics that the process publishes to.
    pub topics: Vec<String>,
    /// Queues that the process receives from.
    pub queues: Vec<QueueSpec>,
}

/// A queue, its dead-letter rule and its subscriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSpec {
    /// URL or name.
    pub queue: String,
    /// Number of receipts without a settlement after which a message is moved to the dead-letter
    /// queue `{name}-dlq`.
    pub max_receive_count: u32,
    /// Topics that the queue is subscribed to, each with a filter.
    pub subscriptions: Vec<Subscription>,
}

/// A queue's subscription to a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// ARN or name.
    pub topic: String,
    /// Attribute → accepted values, all of which must match; empty accepts everything (an SNS
    /// filter policy of strings).
    pub filter: BTreeMap<String, Vec<String>>,
}
