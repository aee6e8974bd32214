//! Out of queues: ten messages a call, so a batch takes several.

use std::{collections::BTreeMap, time::Duration};

use aws_config::timeout::TimeoutConfig;
use aws_sdk_sqs::{
    config,
    types::{Message, MessageSystemAttributeName as System},
};
use chrono::{DateTime, Utc};
use futures::future::join_all;

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
    /// One call waits; when it comes back full, more is there, and short calls beside each other fetch it.
    pub(super) async fn receive_from(
        &self,
        url: &str,
        max: usize,
        visibility: Duration,
        wait: Duration,
    ) -> Result<Vec<Received>, Error> {
        let visibility = seconds(visibility, MAX_VISIBILITY);
        let mut messages = self.receive_call(url, max, visibility, seconds(wait, MAX_WAIT)).await?;
        let mut full = messages.len() == max.min(BATCH);
        while full && messages.len() < max {
            let wanted = (max - messages.len()).min(BATCH * CALLS);
            let calls = (0..wanted.div_ceil(BATCH)).map(|call| {
                let share = (wanted - call * BATCH).min(BATCH);
                self.receive_call(url, share, visibility, 0)
            });
            let before = messages.len();
            // What was received is returned though another call failed: it is hidden, and nobody else gets it.
            messages.extend(join_all(calls).await.into_iter().filter_map(Result::ok).flatten());
            full = messages.len() - before == wanted;
        }
        Ok(messages)
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
