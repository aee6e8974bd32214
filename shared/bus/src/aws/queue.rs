//! URLs of queues, and counts of their messages.

use std::sync::PoisonError;

use aws_sdk_sqs::types::QueueAttributeName as Attribute;

use super::{AwsBus, error};
use crate::{Depth, Error};

const FIND: &str = "find a queue";
const FIND_DEAD_LETTERS: &str = "find a queue's dead letters";
const COUNT: &str = "count a queue";

/// Resolved URLs of a queue.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    url: String,
    /// URL of the dead-letter queue, once it was looked up.
    dead_letters: Option<String>,
}

impl AwsBus {
    /// Returns the URL of a queue, given by URL or, in the same account, by name.
    pub(super) async fn queue_url(&self, given: &str) -> Result<String, Error> {
        if given.contains("://") {
            return Ok(given.to_owned());
        }
        if let Some(queue) = self.cached(given) {
            return Ok(queue.url);
        }
        let answer = self.sqs.get_queue_url().queue_name(given).send().await;
        let url =
            answer.map_err(|error| error::classify(FIND, error))?.queue_url.unwrap_or_default();
        self.cache(given, Queue { url: url.clone(), dead_letters: None });
        Ok(url)
    }

    /// Returns the URL of the dead-letter queue that the `RedrivePolicy` of a queue names.
    pub(super) async fn dead_letters_url(&self, given: &str) -> Result<String, Error> {
        if let Some(found) = self.cached(given).and_then(|queue| queue.dead_letters) {
            return Ok(found);
        }
        let url = self.queue_url(given).await?;
        let call = self
            .sqs
            .get_queue_attributes()
            .queue_url(&url)
            .attribute_names(Attribute::RedrivePolicy);
        let answer =
            call.send().await.map_err(|error| error::classify(FIND_DEAD_LETTERS, error))?;
        let policy =
            answer.attributes().and_then(|attributes| attributes.get(&Attribute::RedrivePolicy));
        let (account, name) =
            policy.and_then(|policy| dead_letters_of(policy)).ok_or_else(|| {
                let problem =
                    format!("{given} has no RedrivePolicy that names a dead-letter queue");
                Error::Misconfigured { action: FIND_DEAD_LETTERS, source: problem.into() }
            })?;
        let call = self.sqs.get_queue_url().queue_name(name).queue_owner_aws_account_id(account);
        let answer =
            call.send().await.map_err(|error| error::classify(FIND_DEAD_LETTERS, error))?;
        let dead_letters = answer.queue_url.unwrap_or_default();
        self.cache(given, Queue { url, dead_letters: Some(dead_letters.clone()) });
        Ok(dead_letters)
    }

    pub(super) async fn depth_of(&self, given: &str) -> Result<Depth, Error> {
        let url = self.queue_url(given).await?;
        let counts = [
            Attribute::ApproximateNumberOfMessages,
            Attribute::ApproximateNumberOfMessagesNotVisible,
            Attribute::ApproximateNumberOfMessagesDelayed,
        ];
        let call = self
            .sqs
            .get_queue_attributes()
            .queue_url(url)
            .set_attribute_names(Some(counts.to_vec()));
        let answer = call.send().await.map_err(|error| error::classify(COUNT, error))?;
        let [visible, in_flight, delayed] = counts.map(|count| {
            answer
                .attributes()
                .and_then(|attributes| attributes.get(&count)?.parse().ok())
                .unwrap_or_default()
        });
        Ok(Depth { visible, in_flight, delayed })
    }

    fn cached(&self, given: &str) -> Option<Queue> {
        self.queues.read().unwrap_or_else(PoisonError::into_inner).get(given).cloned()
    }

    fn cache(&self, given: &str, queue: Queue) {
        self.queues.write().unwrap_or_else(PoisonError::into_inner).insert(given.to_owned(), queue);
    }
}

/// Account and name of the dead-letter queue in a `RedrivePolicy`.
fn dead_letters_of(policy: &str) -> Option<(String, String)> {
    let policy: serde_json::Value = serde_json::from_str(policy).ok()?;
    let arn = policy.get("deadLetterTargetArn")?.as_str()?;
    let mut segments = arn.rsplit(':');
    let (name, account) = (segments.next()?, segments.next()?);
    Some((account.to_owned(), name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::dead_letters_of;

    #[test]
    fn reads_dead_letter_queue_from_policy() {
        let arn = "arn:aws:sqs:eu-west-1:000000000000:q-dlq";
        let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":"5"}}"#);
        assert_eq!(dead_letters_of(&policy), Some(("000000000000".to_owned(), "q-dlq".to_owned())));
        assert_eq!(dead_letters_of("{}"), None);
        assert_eq!(dead_letters_of("x"), None);
    }
}
