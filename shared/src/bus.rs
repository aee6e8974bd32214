//! The bus as a port: topics that fan out to queues, at least once, in any order.
//!
//! Two adapters stand behind it: [`aws`] (SNS → SQS) and [`postgres`] (pgmq). Which one is used is
//! said by `BUS` and never guessed. One conformance suite (`shared/tests/bus_conformance.rs`) holds
//! both to the same behaviour.

mod adaptive_rate;
mod attributes;
pub mod aws;
mod limits;
pub mod postgres;
pub mod settings;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

pub use adaptive_rate::TopicPace;
pub use attributes::attributes_in;
pub use limits::{Unpublishable, check};
pub use settings::{BusSettings, connect};

/// The most attributes a message may carry: SQS discards a raw delivery with more, silently.
pub const MAX_ATTRIBUTES: usize = 10;

/// The most bytes of body, attribute names and attribute values together (SNS and SQS: 256 KiB).
pub const MAX_MESSAGE_BYTES: usize = 256 * 1024;

/// The most bytes of bodies and attributes that one receive returns, however many messages were
/// asked for; a single message is returned whatever its size. Three batches of this size, read into
/// memory, fit a pod of 256 MiB.
pub const MAX_RECEIVE_BYTES: usize = 4 * 1024 * 1024;

/// The longest delay of a message that is sent to a queue (SQS: 15 minutes).
pub const MAX_DELAY: Duration = Duration::from_secs(15 * 60);

/// The attribute in which a dead-lettered message carries why it was put there. (What SQS moves by
/// its own redrive policy, received too often, has none.)
pub const REASON_ATTRIBUTE: &str = "deadLetterReason";

/// A shared handle to whichever adapter was configured.
pub type SharedBus = Arc<dyn Bus>;

/// A message to publish: a body and string attributes, by which subscriptions filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The text of the message; JSON in this suite.
    pub body: String,
    /// At most [`MAX_ATTRIBUTES`] string attributes.
    pub attributes: BTreeMap<String, String>,
}

/// A message received under a visibility timeout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// What settles or extends this receipt; a later receipt of the same message has another.
    pub receipt: Receipt,
    /// The bus's own id of the message, the same at each redelivery.
    pub message_id: String,
    /// The text as it lies in the queue: raw, or an SNS JSON envelope (`contract::Envelope` reads
    /// both).
    pub body: String,
    /// The queue's message attributes (empty where an SNS envelope carries them).
    pub attributes: BTreeMap<String, String>,
    /// How many times the message was received, this time included.
    pub receive_count: u32,
    /// When the message was put into the queue.
    pub sent_at: DateTime<Utc>,
}

impl Message {
    /// Bytes of body, attribute names and attribute values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        limits::message_bytes(
            &self.body,
            self.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())),
        )
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

/// What a consumer says of a message it received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// Its effect is durable: remove it.
    Done,
    /// Not now: make it visible again after this long (zero: at once).
    RetryAfter(Duration),
    /// It can never succeed: move it to the dead-letter queue with this reason.
    Reject(String),
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

/// Why a call to the bus failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bus could not be reached or answered that it is overloaded; the same call may succeed
    /// later.
    #[error("{action}: the bus is unavailable")]
    Unavailable {
        /// What was attempted.
        action: &'static str,
        /// What went wrong underneath.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The bus refused the call as it stands: a missing topic or queue, a permission, a malformed
    /// name.
    #[error("{action}: the bus refused it")]
    Misconfigured {
        /// What was attempted.
        action: &'static str,
        /// What went wrong underneath.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Why one message of a batch was not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The bus did not take this entry, by its own fault: publish it again.
    #[error("not accepted now: {0}")]
    Retry(String),
    /// The message can never be published: too large, too many attributes, forbidden characters.
    #[error("unpublishable: {0}")]
    Unpublishable(String),
}

/// What every adapter does. All calls are bounded in time; none panics on foreign input.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Publishes to a topic (an ARN, or the name behind it). One result a message, in order;
    /// entries that the bus refused in passing were tried again inside, entry by entry.
    ///
    /// # Errors
    /// [`Error`] when no entry's fate is known; every message is then to be published again.
    async fn publish(
        &self,
        topic: &str,
        messages: &[Message],
    ) -> Result<Vec<Result<(), PublishError>>, Error>;

    /// Puts messages straight into a queue (a URL, or the name behind it), visible after `delay`
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

    /// Receives up to `max` messages, of [`MAX_RECEIVE_BYTES`] together, hidden from others for
    /// `visibility`, waiting up to `wait` for the first. Messages received more often than the
    /// queue allows are in its dead-letter queue instead.
    ///
    /// # Errors
    /// [`Error`] when the queue could not be read.
    async fn receive(
        &self,
        queue: &str,
        max: usize,
        visibility: Duration,
        wait: Duration,
    ) -> Result<Vec<Received>, Error>;

    /// Settles receipts, batched. A stale receipt, one whose message was received again since, is
    /// ignored: the message belongs to whoever received it last. So is one whose message is gone.
    ///
    /// # Errors
    /// [`Error`] when some receipts could not be settled; they will be delivered again.
    async fn settle(
        &self,
        queue: &str,
        settlements: Vec<(Received, Settlement)>,
    ) -> Result<(), Error>;

    /// Hides received messages for `visibility` from now on; stale receipts are ignored, as by
    /// [`Bus::settle`].
    ///
    /// # Errors
    /// [`Error`] when some could not be extended.
    async fn extend(
        &self,
        queue: &str,
        receipts: &[Receipt],
        visibility: Duration,
    ) -> Result<(), Error>;

    /// Counts a queue.
    ///
    /// # Errors
    /// [`Error`] when the queue could not be read.
    async fn depth(&self, queue: &str) -> Result<Depth, Error>;

    /// Counts the dead letters of `queue`.
    ///
    /// # Errors
    /// [`Error`] when the dead-letter queue could not be read.
    async fn dead_letter_depth(&self, queue: &str) -> Result<Depth, Error>;

    /// Looks at up to `max` dead letters of `queue` without taking them away.
    ///
    /// # Errors
    /// [`Error`] when the dead-letter queue could not be read.
    async fn dead_letters(&self, queue: &str, max: usize) -> Result<Vec<Received>, Error>;

    /// Moves up to `max` dead letters of `queue` back into it; returns how many.
    ///
    /// # Errors
    /// [`Error`] when they could not be moved; none is lost, some may be there twice.
    async fn redrive(&self, queue: &str, max: usize) -> Result<u64, Error>;

    /// Removes the dead letters of `queue` that have been there for longer than `kept`; returns how
    /// many. Where the bus is infrastructure (aws) the queues have a retention of their own, and
    /// nothing is done.
    ///
    /// # Errors
    /// [`Error`] when they could not be removed; some may be gone.
    async fn purge_dead_letters(&self, queue: &str, kept: Duration) -> Result<u64, Error>;

    /// Removes the dead letters of `queue` that concern a user, by the attribute or the body's
    /// field `userId`; returns how many. SQS cannot look for messages: there they stay until the
    /// retention of the dead-letter queue ends, and nothing is done.
    ///
    /// # Errors
    /// [`Error`] when they could not be removed; some may be gone.
    async fn erase_dead_letters(&self, queue: &str, user_id: &str) -> Result<u64, Error>;

    /// Creates what the process needs where the bus is our own (postgres: topic, queue, dead-letter
    /// queue and subscription); where it is infrastructure (aws), checks that it is there.
    /// Idempotent.
    ///
    /// # Errors
    /// [`Error::Misconfigured`] naming what is missing, [`Error::Unavailable`] when it could not be
    /// told.
    async fn ensure(&self, topology: &Topology) -> Result<(), Error>;
}

/// Topics, queues and the subscriptions between them that one process relies on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topology {
    /// Topics that are published to.
    pub topics: Vec<String>,
    /// Queues that are received from.
    pub queues: Vec<QueueSpec>,
}

/// A queue, its dead-letter rule and where its messages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSpec {
    /// URL or name.
    pub queue: String,
    /// After this many receipts without a settlement a message goes to the dead-letter queue
    /// `{name}-dlq`.
    pub max_receive_count: u32,
    /// The topics it is subscribed to, each with its filter.
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
