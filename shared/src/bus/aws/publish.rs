//! Into topics and queues: calls of at most ten entries and 256 KiB, several at once.
//!
//! Each message names its user as its group, by a digest. SNS passes the group on, and a standard
//! queue of SQS delivers messages of other groups first while one group has many in flight (its
//! "fair queues"). There is no order within a group. Where topics or queues do not know groups, as
//! those of older emulators, messages go without.

use std::{borrow::Cow, collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use aws_sdk_sns::types::{MessageAttributeValue as TopicAttribute, PublishBatchRequestEntry};
use aws_sdk_sqs::types::{MessageAttributeValue as QueueAttribute, SendMessageBatchRequestEntry};
use futures::{StreamExt as _, stream};
use sha2::{Digest as _, Sha256};

use super::{ATTEMPTS, AwsBus, BATCH, CALLS, batch::position, error, pause, seconds};
use crate::bus::{Error, MAX_DELAY, MAX_MESSAGE_BYTES, Message, PublishError, limits};

const PUBLISH: &str = "publish to a topic";
const SEND: &str = "send to a queue";

/// A message as it goes on the wire.
#[derive(Debug, Clone)]
pub(super) struct Entry<'a> {
    /// Where in the caller's slice it is.
    pub(super) place: usize,
    pub(super) body: Cow<'a, str>,
    pub(super) attributes: Cow<'a, BTreeMap<String, String>>,
}

/// Where entries go.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target<'a> {
    /// By ARN.
    Topic(&'a str),
    /// By URL, with a delay in seconds.
    Queue(&'a str, i32),
}

/// Why a whole call failed.
enum Refusal {
    /// For what an entry holds.
    Data(String),
    Call(Error),
}

type Outcome = Result<(), PublishError>;

impl AwsBus {
    pub(super) async fn publish_to(
        &self,
        topic: &str,
        messages: &[Message],
    ) -> Result<Vec<Outcome>, Error> {
        self.put(Target::Topic(topic), messages).await
    }

    pub(super) async fn send_to(
        &self,
        queue: &str,
        messages: &[Message],
        delay: Duration,
    ) -> Result<Vec<Outcome>, Error> {
        if delay > MAX_DELAY {
            return Err(Error::Misconfigured {
                action: SEND,
                source: "the delay is over 15 min".into(),
            });
        }
        let url = self.queue_url(queue).await?;
        self.put(Target::Queue(&url, seconds(delay, 900)), messages).await
    }

    async fn put(&self, target: Target<'_>, messages: &[Message]) -> Result<Vec<Outcome>, Error> {
        let mut entries = Vec::with_capacity(messages.len());
        let outcomes = messages.iter().enumerate().map(|(place, message)| {
            let body = limits::wire_body(message)?;
            entries.push(Entry { place, body, attributes: Cow::Borrowed(&message.attributes) });
            Ok(())
        });
        let mut outcomes: Vec<Outcome> = outcomes.collect();
        for (place, outcome) in self.put_entries(target, entries).await? {
            outcomes[place] = outcome;
        }
        Ok(outcomes)
    }

    /// Puts entries into calls; the error is only for when none of the calls succeeded.
    pub(super) async fn put_entries(
        &self,
        target: Target<'_>,
        entries: Vec<Entry<'_>>,
    ) -> Result<Vec<(usize, Outcome)>, Error> {
        let calls: Vec<_> =
            pack(entries).into_iter().map(|call| self.put_call(target, call)).collect();
        let calls: Vec<_> = stream::iter(calls).buffer_unordered(CALLS).collect().await;
        let (mut outcomes, mut reached, mut failure) = (Vec::new(), false, None);
        for (known, error) in calls {
            reached |= error.is_none();
            outcomes.extend(known);
            failure = failure.or(error);
        }
        match failure {
            Some(error) if !reached => Err(error),
            _ => Ok(outcomes),
        }
    }

    /// One call, and again with just those of its entries that failed.
    async fn put_call(
        &self,
        target: Target<'_>,
        entries: Vec<Entry<'_>>,
    ) -> (Vec<(usize, Outcome)>, Option<Error>) {
        let mut known = Vec::with_capacity(entries.len());
        let mut left = entries;
        for attempt in 1..=ATTEMPTS {
            let outcomes = match self.call(target, &left).await {
                Ok(outcomes) => outcomes,
                Err(Refusal::Data(problem))
                    if attempt < ATTEMPTS && self.refuses_groups(&problem) =>
                {
                    continue;
                }
                Err(Refusal::Data(_)) if left.len() > 1 => {
                    known.extend(self.put_one_by_one(target, left).await);
                    return (known, None);
                }
                Err(Refusal::Data(problem)) => vec![Err(PublishError::Unpublishable(problem))],
                Err(Refusal::Call(error)) => {
                    let problem = error::text(&error);
                    known.extend(
                        left.iter().map(|it| (it.place, Err(PublishError::Retry(problem.clone())))),
                    );
                    return (known, Some(error));
                }
            };
            let last = attempt == ATTEMPTS;
            let mut again = Vec::new();
            for (entry, outcome) in left.into_iter().zip(outcomes) {
                match outcome {
                    Err(PublishError::Retry(_)) if !last => again.push(entry),
                    outcome => known.push((entry.place, outcome)),
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

    /// A call each, to find which entry is to blame.
    async fn put_one_by_one(
        &self,
        target: Target<'_>,
        entries: Vec<Entry<'_>>,
    ) -> Vec<(usize, Outcome)> {
        let mut known = Vec::with_capacity(entries.len());
        for entry in entries {
            let outcome = match self.call(target, std::slice::from_ref(&entry)).await {
                Ok(mut outcomes) => outcomes.pop().unwrap_or(Ok(())),
                Err(Refusal::Data(problem)) => Err(PublishError::Unpublishable(problem)),
                Err(Refusal::Call(error)) => Err(PublishError::Retry(error::text(&error))),
            };
            known.push((entry.place, outcome));
        }
        known
    }

    /// An outcome for each entry, in order.
    async fn call(
        &self,
        target: Target<'_>,
        entries: &[Entry<'_>],
    ) -> Result<Vec<Outcome>, Refusal> {
        // What the answer does not mention at all is not known to be there.
        let mut outcomes =
            vec![Err(PublishError::Retry("not in the answer".to_owned())); entries.len()];
        let mut settle = |id: &str, outcome: Outcome| {
            if let Some(it) = outcomes.get_mut(position(id)) {
                *it = outcome;
            }
        };
        let names_groups = self.names_groups.load(Ordering::Relaxed);
        match target {
            Target::Topic(arn) => {
                let request = topic_entries(entries, names_groups)
                    .map_err(|error| Refusal::Data(error.to_string()))?;
                let call = self
                    .sns
                    .publish_batch()
                    .topic_arn(arn)
                    .set_publish_batch_request_entries(Some(request));
                let answer = call.send().await.map_err(|error| refusal(PUBLISH, error))?;
                answer
                    .successful()
                    .iter()
                    .for_each(|it| settle(it.id().unwrap_or_default(), Ok(())));
                for it in answer.failed() {
                    settle(it.id(), Err(self.failure(it.code(), it.message(), it.sender_fault())));
                }
            }
            Target::Queue(url, delay) => {
                let request = queue_entries(entries, delay, names_groups)
                    .map_err(|error| Refusal::Data(error.to_string()))?;
                let call = self.sqs.send_message_batch().queue_url(url).set_entries(Some(request));
                let answer = call.send().await.map_err(|error| refusal(SEND, error))?;
                answer.successful().iter().for_each(|it| settle(it.id(), Ok(())));
                for it in answer.failed() {
                    settle(it.id(), Err(self.failure(it.code(), it.message(), it.sender_fault())));
                }
            }
        }
        Ok(outcomes)
    }

    /// Why an entry failed; one that is refused for its group alone is published again without.
    fn failure(&self, code: &str, message: Option<&str>, sender_fault: bool) -> PublishError {
        match message {
            Some(problem) if self.refuses_groups(problem) => {
                PublishError::Retry(problem.to_owned())
            }
            _ => error::of_entry(code, message, sender_fault),
        }
    }

    /// Whether a refusal is of the group that a message names; no message names one from then on.
    fn refuses_groups(&self, problem: &str) -> bool {
        let is_refused = problem.contains("MessageGroupId");
        if is_refused && self.names_groups.swap(false, Ordering::Relaxed) {
            tracing::warn!(
                problem,
                "message groups were refused by the topic, queues are not fair among users"
            );
        }
        is_refused
    }
}

fn refusal<E>(action: &'static str, error: aws_sdk_sqs::error::SdkError<E>) -> Refusal
where
    E: std::error::Error + aws_sdk_sqs::error::ProvideErrorMetadata + Send + Sync + 'static,
{
    match error.as_service_error() {
        Some(refused) if error::blames_data(refused) => Refusal::Data(error::text(&error)),
        _ => Refusal::Call(error::of(action, error)),
    }
}

/// Calls' worth of entries, in order.
fn pack(entries: Vec<Entry<'_>>) -> Vec<Vec<Entry<'_>>> {
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

/// The group of a message: a digest of its user's id, which may have characters that no group may,
/// and is nobody else's concern.
fn group(entry: &Entry<'_>) -> Option<String> {
    let digest = Sha256::digest(entry.attributes.get("userId")?);
    Some(digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect())
}

fn topic_entries(
    entries: &[Entry<'_>],
    names_groups: bool,
) -> Result<Vec<PublishBatchRequestEntry>, aws_sdk_sns::error::BuildError> {
    let entry = |(place, entry): (usize, &Entry<'_>)| {
        let mut builder = PublishBatchRequestEntry::builder()
            .id(place.to_string())
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
    let entry = |(place, entry): (usize, &Entry<'_>)| {
        let mut builder = SendMessageBatchRequestEntry::builder()
            .id(place.to_string())
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
    fn names_group_of_messages_user_without_showing_it() {
        let entry = |user: &str| {
            let attributes = BTreeMap::from([("userId".to_owned(), user.to_owned())]);
            Entry { place: 0, body: "{}".into(), attributes: Cow::Owned(attributes) }
        };
        let (ada, grace) =
            (group(&entry("ada lovelace")).unwrap(), group(&entry("grace")).unwrap());
        assert_ne!(ada, grace);
        assert!(ada.len() == 32 && ada.bytes().all(|byte| byte.is_ascii_hexdigit()), "{ada}");
        let nobody = Entry { place: 0, body: "{}".into(), attributes: Cow::Owned(BTreeMap::new()) };
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
    fn calls_keep_the_limits_of_number_and_size() {
        let entries = |number: usize, size: usize| {
            let body = "x".repeat(size);
            let entry = |place| Entry {
                place,
                body: Cow::Owned(body.clone()),
                attributes: Cow::Owned(BTreeMap::new()),
            };
            (0..number).map(entry).collect::<Vec<_>>()
        };
        let sizes = |entries| pack(entries).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(entries(23, 100)), [10, 10, 3]);
        assert_eq!(sizes(entries(5, 100_000)), [2, 2, 1]);
        assert_eq!(sizes(entries(2, MAX_MESSAGE_BYTES)), [1, 1]);
        assert!(pack(Vec::new()).is_empty());
    }
}
