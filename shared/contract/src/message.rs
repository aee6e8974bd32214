//! A message as the bus carries it, independent of any adapter.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

/// Most attributes of a message: SQS silently discards a raw delivery with more.
pub const MAX_ATTRIBUTES: usize = 10;

/// A message to publish: a body and string attributes, by which subscriptions filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The text of the message; JSON in this suite.
    pub body: String,
    /// At most [`MAX_ATTRIBUTES`] string attributes.
    pub attributes: BTreeMap<String, String>,
}

/// Parts of a received message that an event is read from.
#[derive(Debug, Clone, Copy)]
pub struct RawMessage<'a> {
    /// Text as it is stored in the queue: raw, or an SNS JSON envelope.
    pub body: &'a str,
    /// Message attributes of the queue (empty if an SNS envelope carries them).
    pub attributes: &'a BTreeMap<String, String>,
    /// Id that the bus gave the message, the same at each redelivery.
    pub message_id: &'a str,
    /// Time at which the message was put into the queue.
    pub sent_at: DateTime<Utc>,
}

impl Message {
    /// Bytes of body, attribute names and attribute values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, value)| name.len() + value.len());
        self.body.len() + attributes.sum::<usize>()
    }
}
