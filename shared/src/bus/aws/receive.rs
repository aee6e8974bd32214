//! Out of queues: ten messages a call, so a batch takes several.

use std::{collections::BTreeMap, sync::PoisonError, time::Duration};

use aws_config::timeout::TimeoutConfig;
use aws_sdk_sqs::{
    config,
    types::{Message, MessageSystemAttributeName as System},
};
use chrono::{DateTime, Utc};
use futures::{StreamExt as _, stream::FuturesUnordered};

use super::{
    AwsBus, BATCH, CALLS,
    config::{ATTEMPT, OPERATION},
    error, seconds,
};
use crate::bus::{Error, Receipt, Received};

const RECEIVE: &str = "receive from a queue";
/// SQS's limits: how long a poll may wait and a message be hidden, in seconds.
const MAX_WAIT: i32 = 20;
pub(super) const MAX_VISIBILITY: i32 = 12 * 60 * 60;

impl AwsBus {
    /// One call waits; when it comes back full, more is there, and short calls beside each other fetch it. A queue that
    /// had a whole batch the last time is asked by short calls at once.
    pub(super) async fn receive_from(
        &self,
        url: &str,
        max: usize,
        visibility: Duration,
        wait: Duration,
    ) -> Result<Vec<Received>, Error> {
        let visibility = seconds(visibility, MAX_VISIBILITY);
        let mut messages = Vec::new();
        if self.was_full(url) {
            messages = self.receive_at_once(url, max, visibility).await;
        }
        if messages.is_empty() {
            let share = max.min(BATCH);
            messages = self.receive_call(url, share, visibility, seconds(wait, MAX_WAIT)).await?;
            if messages.len() == share && max > share {
                messages.extend(self.receive_at_once(url, max - share, visibility).await);
            }
        }
        self.note_full(url, messages.len() == max);
        Ok(messages)
    }

    /// Short calls beside each other, until one comes back less than full. A call's failure only ends it: what others
    /// received is hidden by now, and must be returned.
    async fn receive_at_once(&self, url: &str, max: usize, visibility: i32) -> Vec<Received> {
        let (mut messages, mut asked, mut full) = (Vec::with_capacity(max), 0, true);
        let mut calls = FuturesUnordered::new();
        loop {
            while full && asked < max && calls.len() < CALLS {
                let share = (max - asked).min(BATCH);
                asked += share;
                calls.push(async move { (share, self.receive_call(url, share, visibility, 0).await) });
            }
            let Some((share, received)) = calls.next().await else { return messages };
            let received = received.unwrap_or_default();
            full &= received.len() == share;
            messages.extend(received);
        }
    }

    fn was_full(&self, url: &str) -> bool {
        self.full.lock().unwrap_or_else(PoisonError::into_inner).contains(url)
    }

    fn note_full(&self, url: &str, full: bool) {
        let mut queues = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        if !full {
            queues.remove(url);
        } else if !queues.contains(url) {
            queues.insert(url.to_owned());
        }
    }

    async fn receive_call(&self, url: &str, max: usize, visibility: i32, wait: i32) -> Result<Vec<Received>, Error> {
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
        let answer = call.send().await.map_err(|error| error::of(RECEIVE, error))?;
        Ok(answer.messages.unwrap_or_default().into_iter().filter_map(received).collect())
    }
}

/// Attributes that are no text (binary ones; this suite writes none) are left out.
fn received(message: Message) -> Option<Received> {
    let system = |name| message.attributes().and_then(|attributes| attributes.get(&name));
    let receive_count = system(System::ApproximateReceiveCount).and_then(|count| count.parse().ok()).unwrap_or(1);
    let sent_at = system(System::SentTimestamp)
        .and_then(|text| DateTime::from_timestamp_millis(text.parse().ok()?))
        .unwrap_or_else(Utc::now);
    let attributes = message.message_attributes.unwrap_or_default();
    let attributes: BTreeMap<String, String> =
        attributes.into_iter().filter_map(|(name, value)| Some((name, value.string_value?))).collect();
    Some(Received {
        // Without it the message could not be settled; SQS always gives one.
        receipt: Receipt(message.receipt_handle?),
        message_id: message.message_id.unwrap_or_default(),
        body: message.body.unwrap_or_default(),
        attributes,
        receive_count,
        sent_at,
    })
}
