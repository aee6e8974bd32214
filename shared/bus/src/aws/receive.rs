//! Receives from queues: a call returns at most ten messages, so a batch takes several calls.

use std::{collections::BTreeMap, sync::PoisonError, time::Duration};

use aws_config::timeout::TimeoutConfig;
use aws_sdk_sqs::{
    config,
    types::{Message, MessageAttributeValue, MessageSystemAttributeName as System},
};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use chrono::{DateTime, Utc};
use futures::{StreamExt as _, stream::FuturesUnordered};

use super::{
    AwsBus, BATCH, CALLS,
    config::{ATTEMPT, OPERATION},
    error, seconds,
};
use crate::{Error, MAX_RECEIVE_BYTES, Receipt, Received};

const RECEIVE: &str = "receive from a queue";
/// Concurrent calls for one receive: their answers are in memory before their size is known.
const RECEIVE_CALLS: usize = 8;
/// Limits of SQS in seconds: longest wait of a poll, longest visibility timeout.
const MAX_WAIT: i32 = 20;
pub(super) const MAX_VISIBILITY: i32 = 12 * 60 * 60;

impl AwsBus {
    /// Makes one call that waits; if it returns a full batch, concurrent short calls fetch more
    /// messages. If the last receive of the queue was full, short calls are made first.
    pub(super) async fn receive_from(
        &self,
        url: &str,
        max: usize,
        visibility: Duration,
        wait: Duration,
    ) -> Result<Vec<Received>, Error> {
        let visibility = seconds(visibility, MAX_VISIBILITY);
        let mut batch = ReceivedBatch::new(max);
        if let Some(largest) = self.was_full(url) {
            batch.largest = largest;
            self.receive_concurrently(url, &mut batch, visibility).await;
        }
        if batch.messages.is_empty() {
            let share = max.min(BATCH);
            batch.add(self.receive_call(url, share, visibility, seconds(wait, MAX_WAIT)).await?);
            if batch.messages.len() == share {
                self.receive_concurrently(url, &mut batch, visibility).await;
            }
        }
        self.set_full(url, batch.is_full().then_some(batch.largest));
        Ok(batch.messages)
    }

    /// Makes concurrent short calls until one returns less than a full batch or enough messages are
    /// received. A failed call ends only itself: messages of other calls are hidden and must be
    /// returned.
    async fn receive_concurrently(&self, url: &str, batch: &mut ReceivedBatch, visibility: i32) {
        let (mut asked, mut full) = (batch.messages.len(), true);
        let mut calls = FuturesUnordered::new();
        loop {
            while full && asked < batch.max && calls.len() < batch.calls() {
                let share = (batch.max - asked).min(BATCH);
                asked += share;
                calls.push(
                    async move { (share, self.receive_call(url, share, visibility, 0).await) },
                );
            }
            let Some((share, received)) = calls.next().await else { return };
            let received = received.unwrap_or_default();
            full &= received.len() == share;
            batch.add(received);
        }
    }

    fn was_full(&self, url: &str) -> Option<usize> {
        self.full.lock().unwrap_or_else(PoisonError::into_inner).get(url).copied()
    }

    fn set_full(&self, url: &str, full: Option<usize>) {
        let mut queues = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        match (full, queues.get_mut(url)) {
            (None, _) => drop(queues.remove(url)),
            (Some(largest), Some(known)) => *known = largest,
            (Some(largest), None) => drop(queues.insert(url.to_owned(), largest)),
        }
    }

    async fn receive_call(
        &self,
        url: &str,
        max: usize,
        visibility: i32,
        wait: i32,
    ) -> Result<Vec<Received>, Error> {
        let waited = Duration::from_secs(u64::from(wait.unsigned_abs()));
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(ATTEMPT + waited)
            .operation_timeout(OPERATION + waited)
            .build();
        let call = self
            .sqs
            .receive_message()
            .queue_url(url)
            .max_number_of_messages(i32::try_from(max.clamp(1, BATCH)).unwrap_or(1))
            .visibility_timeout(visibility)
            .wait_time_seconds(wait)
            .message_attribute_names("All")
            .message_system_attribute_names(System::ApproximateReceiveCount)
            .message_system_attribute_names(System::SentTimestamp)
            .customize()
            .config_override(config::Builder::new().timeout_config(timeouts));
        let answer = call.send().await.map_err(|error| error::classify(RECEIVE, error))?;
        Ok(answer.messages.unwrap_or_default().into_iter().filter_map(received).collect())
    }
}

/// Messages that the calls of one receive returned.
struct ReceivedBatch {
    /// Most messages to receive.
    max: usize,
    messages: Vec<Received>,
    bytes: usize,
    /// Bytes of the largest answer, by which the next ones are estimated; at first that of the
    /// previous receive.
    largest: usize,
}

impl ReceivedBatch {
    fn new(max: usize) -> Self {
        Self { max, messages: Vec::with_capacity(max.min(BATCH * CALLS)), bytes: 0, largest: 0 }
    }

    fn add(&mut self, received: Vec<Received>) {
        let bytes = received.iter().map(Received::bytes).sum();
        self.bytes += bytes;
        self.largest = self.largest.max(bytes);
        self.messages.extend(received);
    }

    /// Number of calls that may be in flight, if each answer is as large as the largest one so far.
    /// If messages grow suddenly, the total exceeds [`MAX_RECEIVE_BYTES`] by at most the answers of
    /// [`RECEIVE_CALLS`] calls.
    fn calls(&self) -> usize {
        let left = MAX_RECEIVE_BYTES.saturating_sub(self.bytes);
        let calls = left.checked_div(self.largest).unwrap_or(RECEIVE_CALLS).min(RECEIVE_CALLS);
        if self.messages.is_empty() { calls.max(1) } else { calls }
    }

    /// Returns whether the queue probably has more messages.
    fn is_full(&self) -> bool {
        self.messages.len() >= self.max || self.calls() == 0
    }
}

/// Converts a message. Binary attributes, which this suite never writes, are read as Base64 text.
fn received(message: Message) -> Option<Received> {
    let system = |name| message.attributes().and_then(|attributes| attributes.get(&name));
    let receive_count =
        system(System::ApproximateReceiveCount).and_then(|count| count.parse().ok()).unwrap_or(1);
    let sent_at = system(System::SentTimestamp)
        .and_then(|text| DateTime::from_timestamp_millis(text.parse().ok()?))
        .unwrap_or_else(Utc::now);
    let attributes = message.message_attributes.unwrap_or_default();
    let attributes: BTreeMap<String, String> =
        attributes.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect();
    Some(Received {
        // A message without a receipt could not be settled; SQS always sends one.
        receipt: Receipt(message.receipt_handle?),
        message_id: message.message_id.unwrap_or_default(),
        body: message.body.unwrap_or_default(),
        attributes,
        receive_count,
        sent_at,
    })
}

fn text(value: MessageAttributeValue) -> Option<String> {
    value
        .string_value
        .or_else(|| value.binary_value.map(|bytes| BASE64_STANDARD.encode(bytes.into_inner())))
}

#[cfg(test)]
mod tests {
    use aws_sdk_sqs::primitives::Blob;

    use super::*;
    use crate::MAX_MESSAGE_BYTES;

    fn messages(number: usize, bytes: usize) -> Vec<Received> {
        let body = "x".repeat(bytes);
        let message = || Message::builder().receipt_handle("r").body(&body).build();
        (0..number).filter_map(|_| received(message())).collect()
    }

    #[test]
    fn reads_binary_attributes_as_text() {
        let binary =
            MessageAttributeValue::builder().data_type("Binary").binary_value(Blob::new([0, 255]));
        let number = MessageAttributeValue::builder().data_type("Number").string_value("1");
        let message = Message::builder()
            .receipt_handle("r")
            .message_attributes("binary", binary.build().unwrap())
            .message_attributes("number", number.build().unwrap());
        let attributes = received(message.build()).unwrap().attributes;
        assert_eq!((attributes["binary"].as_str(), attributes["number"].as_str()), ("AP8=", "1"));
    }

    #[test]
    fn makes_fewer_calls_when_messages_are_large() {
        let mut batch = ReceivedBatch::new(500);
        assert_eq!(batch.calls(), RECEIVE_CALLS);
        batch.add(messages(10, 1_000));
        assert_eq!(batch.calls(), RECEIVE_CALLS);
        batch.add(messages(10, MAX_MESSAGE_BYTES));
        assert_eq!((batch.calls(), batch.is_full()), (0, true));
    }

    #[test]
    fn is_full_when_all_messages_were_gathered() {
        let mut batch = ReceivedBatch::new(10);
        batch.add(messages(9, 1));
        assert!(!batch.is_full());
        batch.add(messages(1, 1));
        assert!(batch.is_full());
    }
}
