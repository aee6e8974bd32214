//! Publishes to topics and sends to queues, in concurrent calls of at most ten entries and 256 KiB.
//!
//! The group of each message is a digest of its user. SNS passes the group on, and a standard queue
//! of SQS delivers messages of other groups first while one group has many in flight ("fair
//! queues"). There is no order within a group. If a topic or queue does not support groups, as in
//! older emulators, messages are sent without one.

use std::{borrow::Cow, collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use aws_sdk_sns::types::{MessageAttributeValue as TopicAttribute, PublishBatchRequestEntry};
use aws_sdk_sqs::types::{MessageAttributeValue as QueueAttribute, SendMessageBatchRequestEntry};
use futures::{StreamExt as _, stream};
use sha2::{Digest as _, Sha256};

use super::{ATTEMPTS, AwsBus, BATCH, CALLS, batch::position, error, pause, seconds};
use crate::{Error, MAX_DELAY, MAX_MESSAGE_BYTES, Message, PublishError, limits};

const PUBLISH: &str = "publish to a topic";
const SEND: &str = "send to a queue";

/// A message as it is sent.
#[derive(Debug, Clone)]
pub(super) struct Entry<'a> {
    /// Index in the caller's slice.
    pub(super) index: usize,
    pub(super) body: Cow<'a, str>,
    pub(super) attributes: Cow<'a, BTreeMap<String, String>>,
}

/// Destination of entries.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target<'a> {
    /// A topic by ARN.
    Topic(&'a str),
    /// A queue by URL, with a delay in seconds.
    Queue(&'a str, i32),
}

/// Failure of a whole call.
enum CallError {
    /// The content of an entry is refused.
    Content(String),
    Other(Error),
}

type PublishResult = Result<(), PublishError>;

impl AwsBus {
    pub(super) async fn publish_to(
        &self,
        topic: &str,
        messages: &[Message],
    ) -> Result<Vec<PublishResult>, Error> {
        self.put(Target::Topic(topic), messages).await
    }

    pub(super) async fn send_to(
        &self,
        queue: &str,
        messages: &[Message],
        delay: Duration,
    ) -> Result<Vec<PublishResult>, Error> {
        if delay > MAX_DELAY {
            return Err(Error::Misconfigured {
                action: SEND,
                source: "the delay is over 15 min".into(),
            });
        }
        let url = self.queue_url(queue).await?;
        self.put(Target::Queue(&url, seconds(delay, 900)), messages).await
    }

    async fn put(
        &self,
        target: Target<'_>,
        messages: &[Message],
    ) -> Result<Vec<PublishResult>, Error> {
        let mut entries = Vec::with_capacity(messages.len());
        let results = messages.iter().enumerate().map(|(index, message)| {
            let body = limits::wire_body(message)?;
            entries.push(Entry { index, body, attributes: Cow::Borrowed(&message.attributes) });
            Ok(())
        });
        let mut results: Vec<PublishResult> = results.collect();
        for (index, result) in self.put_entries(target, entries).await? {
            results[index] = result;
        }
        Ok(results)
    }

    /// Sends entries in calls; returns an error only if none of the calls succeeded.
    pub(super) async fn put_entries(
        &self,
        target: Target<'_>,
        entries: Vec<Entry<'_>>,
    ) -> Result<Vec<(usize, PublishResult)>, Error> {
        let calls: Vec<_> =
            split_into_calls(entries).into_iter().map(|call| self.put_call(target, call)).collect();
        let calls: Vec<_> = stream::iter(calls).buffer_unordered(CALLS).collect().await;
        let (mut results, mut reached, mut failure) = (Vec::new(), false, None);
        for (known, error) in calls {
            reached |= error.is_none();
            results.extend(known);
            failure = failure.or(error);
        }
        match failure {
            Some(error) if !reached => Err(error),
            _ => Ok(results),
        }
    }

    /// Makes one call, and retries the entries of it that failed.
    async fn put_call(
        &self,
        target: Target<'_>,
        entries: Vec<Entry<'_>>,
    ) -> (Vec<(usize, PublishResult)>, Option<Error>) {
        let mut known = Vec::with_capacity(entries.len());
        let mut left = entries;
        for attempt in 1..=ATTEMPTS {
            let results = match self.call(target, &left).await {
                Ok(results) => results,
                Err(CallError::Content(problem))
                    if attempt < ATTEMPTS && self.refuses_groups(&problem) =>
                {
                    continue;
                }
                Err(CallError::Content(_)) if left.len() > 1 => {
                    known.extend(self.put_one_by_one(target, left).await);
                    return (known, None);
                }
                Err(CallError::Content(problem)) => vec![Err(PublishError::Unpublishable(problem))],
                Err(CallError::Other(error)) => {
                    let problem = error::text(&error);
                    known.extend(
                        left.iter()
                            .map(|entry| (entry.index, Err(PublishError::Retry(problem.clone())))),
                    );
                    return (known, Some(error));
                }
            };
            let last = attempt == ATTEMPTS;
            let mut again = Vec::new();
            for (entry, result) in left.into_iter().zip(results) {
                match result {
                    Err(PublishError::Retry(_)) if !last => again.push(entry),
                    result => known.push((entry.index, result)),
                }
            }
            left = again;
            if left.is_empty() {
                break;
            }
            pause(attempt).await;
        }
        (known, None)
    }

    /// Sends each entry in a call of its own, to find the one that is refused.
    async fn put_one_by_one(
        &self,
        target: Target<'_>,
        entries: Vec<Entry<'_>>,
    ) -> Vec<(usize, PublishResult)> {
        let mut known = Vec::with_capacity(entries.len());
        for entry in entries {
            let result = match self.call(target, std::slice::from_ref(&entry)).await {
                Ok(mut results) => results.pop().unwrap_or(Ok(())),
                Err(CallError::Content(problem)) => Err(PublishError::Unpublishable(problem)),
                Err(CallError::Other(error)) => Err(PublishError::Retry(error::text(&error))),
            };
            known.push((entry.index, result));
        }
        known
    }

    /// Makes one call; returns a result for each entry, in order.
    async fn call(
        &self,
        target: Target<'_>,
        entries: &[Entry<'_>],
    ) -> Result<Vec<PublishResult>, CallError> {
        // An entry that the answer does not contain may not have been accepted.
        let mut results =
            vec![Err(PublishError::Retry("not in the answer".to_owned())); entries.len()];
        let mut settle = |id: &str, result: PublishResult| {
            if let Some(entry) = results.get_mut(position(id)) {
                *entry = result;
            }
        };
        let names_groups = self.names_groups.load(Ordering::Relaxed);
        match target {
            Target::Topic(arn) => {
                let request = topic_entries(entries, names_groups)
                    .map_err(|error| CallError::Content(error.to_string()))?;
                let call = self
                    .sns
                    .publish_batch()
                    .topic_arn(arn)
                    .set_publish_batch_request_entries(Some(request));
                let answer = call.send().await.map_err(|error| call_error(PUBLISH, error))?;
                answer
                    .successful()
                    .iter()
                    .for_each(|entry| settle(entry.id().unwrap_or_default(), Ok(())));
                for entry in answer.failed() {
                    let (code, message) = (entry.code(), entry.message());
                    let failure = self.entry_error(code, message, entry.sender_fault());
                    settle(entry.id(), Err(failure));
                }
            }
            Target::Queue(url, delay) => {
                let request = queue_entries(entries, delay, names_groups)
                    .map_err(|error| CallError::Content(error.to_string()))?;
                let call = self.sqs.send_message_batch().queue_url(url).set_entries(Some(request));
                let answer = call.send().await.map_err(|error| call_error(SEND, error))?;
                answer.successful().iter().for_each(|entry| settle(entry.id(), Ok(())));
                for entry in answer.failed() {
                    let (code, message) = (entry.code(), entry.message());
                    let failure = self.entry_error(code, message, entry.sender_fault());
                    settle(entry.id(), Err(failure));
                }
            }
        }
        Ok(results)
    }

    /// Error of an entry that failed; one that is refused only for its group is retried without
    /// one.
    fn entry_error(&self, code: &str, message: Option<&str>, sender_fault: bool) -> PublishError {
        match message {
            Some(problem) if self.refuses_groups(problem) => {
                PublishError::Retry(problem.to_owned())
            }
            _ => error::classify_entry(code, message, sender_fault),
        }
    }

    /// Returns whether the group of a message is refused. Messages are sent without groups from
    /// then on.
    fn refuses_groups(&self, problem: &str) -> bool {
        let is_refused = problem.contains("MessageGroupId");
        if is_refused && self.names_groups.swap(false, Ordering::Relaxed) {
            tracing::warn!(
                problem,
                "topic refuses message groups, queues are not fair among users"
            );
        }
        is_refused
    }
}

fn call_error<E>(action: &'static str, error: aws_sdk_sqs::error::SdkError<E>) -> CallError
where
    E: std::error::Error + aws_sdk_sqs::error::ProvideErrorMetadata + Send + Sync + 'static,
{
    match error.as_service_error() {
        Some(refused) if error::is_content_refused(refused) => {
            CallError::Content(error::text(&error))
        }
        _ => CallError::Other(error::classify(action, error)),
    }
}

/// Splits entries into calls, in order.
fn split_into_calls(entries: Vec<Entry<'_>>) -> Vec<Vec<Entry<'_>>> {
    let (mut calls, mut call, mut bytes) = (Vec::new(), Vec::new(), 0);
    for entry in entries {
        let attributes =
            entry.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let size = limits::message_bytes(&entry.body, attributes);
        if !call.is_empty() && (call.len() == BATCH || bytes + size > MAX_MESSAGE_BYTES) {
            calls.push(std::mem::take(&mut call));
            bytes = 0;
        }
        bytes += size;
        call.push(entry);
    }
    if !call.is_empty() {
        calls.push(call);
    }
    calls
}

/// Group of a message: a digest of the id of its user, which may contain characters that a group
/// may not, and is not disclosed.
fn group(entry: &Entry<'_>) -> Option<String> {
    let digest = Sha256::digest(entry.attributes.get("userId")?);
    Some(digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect())
}

fn topic_entries(
    entries: &[Entry<'_>],
    names_groups: bool,
) -> Result<Vec<PublishBatchRequestEntry>, aws_sdk_sns::error::BuildError> {
    let entry = |(index, entry): (usize, &Entry<'_>)| {
        let mut builder = PublishBatchRequestEntry::builder()
            .id(index.to_string())
            .message(entry.body.as_ref())
            .set_message_group_id(names_groups.then(|| group(entry)).flatten());
        for (name, value) in entry.attributes.iter() {
            let value =
                TopicAttribute::builder().data_type("String").string_value(value).build()?;
            builder = builder.message_attributes(name, value);
        }
        builder.build()
    };
    entries.iter().enumerate().map(entry).collect()
}

fn queue_entries(
    entries: &[Entry<'_>],
    delay: i32,
    names_groups: bool,
) -> Result<Vec<SendMessageBatchRequestEntry>, aws_sdk_sqs::error::BuildError> {
    let entry = |(index, entry): (usize, &Entry<'_>)| {
        let mut builder = SendMessageBatchRequestEntry::builder()
            .id(index.to_string())
            .message_body(entry.body.as_ref())
            .delay_seconds(delay)
            .set_message_group_id(names_groups.then(|| group(entry)).flatten());
        for (name, value) in entry.attributes.iter() {
            let value =
                QueueAttribute::builder().data_type("String").string_value(value).build()?;
            builder = builder.message_attributes(name, value);
        }
        builder.build()
    };
    entries.iter().enumerate().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derives_group_from_user_by_digest() {
        let entry = |user: &str| {
            let attributes = BTreeMap::from([("userId".to_owned(), user.to_owned())]);
            Entry { index: 0, body: "{}".into(), attributes: Cow::Owned(attributes) }
        };
        let (ada, grace) =
            (group(&entry("ada lovelace")).unwrap(), group(&entry("grace")).unwrap());
        assert_ne!(ada, grace);
        assert!(ada.len() == 32 && ada.bytes().all(|byte| byte.is_ascii_hexdigit()), "{ada}");
        let nobody = Entry { index: 0, body: "{}".into(), attributes: Cow::Owned(BTreeMap::new()) };
        assert_eq!(group(&nobody), None);
        assert_eq!(
            topic_entries(&[entry("grace")], true).unwrap()[0].message_group_id(),
            Some(&*grace)
        );
        assert_eq!(
            queue_entries(&[entry("grace")], 0, true).unwrap()[0].message_group_id(),
            Some(&*grace)
        );
        assert_eq!(topic_entries(&[entry("grace")], false).unwrap()[0].message_group_id(), None);
    }

    #[test]
    fn splits_calls_by_number_and_size() {
        let entries = |number: usize, size: usize| {
            let body = "x".repeat(size);
            let entry = |index| Entry {
                index,
                body: Cow::Owned(body.clone()),
                attributes: Cow::Owned(BTreeMap::new()),
            };
            (0..number).map(entry).collect::<Vec<_>>()
        };
        let sizes = |entries| split_into_calls(entries).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(entries(23, 100)), [10, 10, 3]);
        assert_eq!(sizes(entries(5, 100_000)), [2, 2, 1]);
        assert_eq!(sizes(entries(2, MAX_MESSAGE_BYTES)), [1, 1]);
        assert!(split_into_calls(Vec::new()).is_empty());
    }
}
