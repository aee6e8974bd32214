//! Publishes to topics and sends to queues, a batch in one statement.

use std::{borrow::Cow, ops::Range, time::Duration};

use db::interval;

use super::{PostgresBus, bounded, error, queue::Queue};
use crate::{Error, MAX_DELAY, Message, PublishError, limits};

/// Most messages and bytes of one statement.
const MAX_MESSAGES: usize = 1_000;
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// Messages as parameters of a statement: JSON documents as text.
#[derive(Debug, Default)]
struct Batch {
    /// Index of each message in the caller's slice.
    indexes: Vec<usize>,
    bodies: Vec<String>,
    attributes: Vec<String>,
}

/// Destination of a batch.
#[derive(Debug, Clone, Copy)]
enum Target<'a> {
    Topic(&'a str),
    Queue(&'a Queue, Duration),
}

type Results = Vec<Result<(), PublishError>>;

impl PostgresBus {
    pub(super) async fn publish_to(
        &self,
        topic: &str,
        messages: &[Message],
    ) -> Result<Results, Error> {
        self.put(Target::Topic(topic), messages).await
    }

    pub(super) async fn send_to(
        &self,
        queue: &Queue,
        messages: &[Message],
        delay: Duration,
    ) -> Result<Results, Error> {
        if delay > MAX_DELAY {
            return Err(Error::Misconfigured {
                action: "send to a queue",
                source: "the delay is over 15 min".into(),
            });
        }
        self.put(Target::Queue(queue, delay), messages).await
    }

    async fn put(&self, target: Target<'_>, messages: &[Message]) -> Result<Results, Error> {
        let (batch, mut results) = Batch::of(messages);
        let (mut reached, mut failure) = (false, None);
        for range in batch.statements() {
            match self.put_range(target, &batch, range.clone(), &mut results).await {
                Ok(()) => reached = true,
                Err(error) => {
                    for index in &batch.indexes[range] {
                        results[*index] = Err(PublishError::Retry(error.to_string()));
                    }
                    failure = Some(error);
                }
            }
        }
        match failure {
            Some(error) if !reached => Err(error),
            _ => Ok(results),
        }
    }

    async fn put_range(
        &self,
        target: Target<'_>,
        batch: &Batch,
        range: Range<usize>,
        results: &mut Results,
    ) -> Result<(), Error> {
        match self.execute(target, batch, range.clone()).await? {
            Ok(()) => return Ok(()),
            Err(refused) if range.len() == 1 => {
                results[batch.indexes[range.start]] = Err(PublishError::Unpublishable(refused));
                return Ok(());
            }
            Err(_) => {}
        }
        // The statement had no effect. The entry that is refused is found one by one.
        for at in range {
            if let Err(refused) = self.execute(target, batch, at..at + 1).await? {
                results[batch.indexes[at]] = Err(PublishError::Unpublishable(refused));
            }
        }
        Ok(())
    }

    /// Executes one statement; the inner error is that of the data.
    async fn execute(
        &self,
        target: Target<'_>,
        batch: &Batch,
        range: Range<usize>,
    ) -> Result<Result<(), String>, Error> {
        let (bodies, attributes) = (&batch.bodies[range.clone()], &batch.attributes[range]);
        let action = match target {
            Target::Topic(_) => "publish to a topic",
            Target::Queue(..) => "send to a queue",
        };
        let query = match target {
            Target::Topic(topic) => {
                sqlx::query("select bus.publish($1, $2::text[]::jsonb[], $3::text[]::jsonb[])")
                    .bind(topic)
                    .bind(bodies)
                    .bind(attributes)
            }
            Target::Queue(queue, delay) => sqlx::query(
                "select bus.send($1, $2::text[]::jsonb[], $3::text[]::jsonb[], now() + $4)",
            )
            .bind(&queue.name)
            .bind(bodies)
            .bind(attributes)
            .bind(interval(delay)),
        };
        bounded(action, async {
            match query.execute(&self.pool).await {
                Ok(_) => Ok(Ok(())),
                Err(refused) if error::is_data_refused(&refused) => Ok(Err(refused.to_string())),
                Err(other) => Err(other),
            }
        })
        .await
    }
}

impl Batch {
    /// Builds a batch of the messages that can be published, and a result for each message.
    fn of(messages: &[Message]) -> (Self, Results) {
        let mut batch = Self::default();
        let results = messages.iter().enumerate().map(|(index, message)| {
            let body = stored_body(limits::wire_body(message)?);
            batch.indexes.push(index);
            batch.bodies.push(body);
            batch.attributes.push(serde_json::json!(message.attributes).to_string());
            Ok(())
        });
        let results = results.collect();
        (batch, results)
    }

    /// Ranges within the limits of one statement.
    fn statements(&self) -> Vec<Range<usize>> {
        let (mut ranges, mut start, mut bytes) = (Vec::new(), 0, 0);
        for (at, body) in self.bodies.iter().enumerate() {
            let size = body.len() + self.attributes[at].len();
            if at > start && (at - start == MAX_MESSAGES || bytes + size > MAX_BYTES) {
                ranges.push(start..at);
                (start, bytes) = (at, 0);
            }
            bytes += size;
        }
        if start < self.bodies.len() {
            ranges.push(start..self.bodies.len());
        }
        ranges
    }
}

/// Returns the document to store: the body itself if it is a JSON object or array, else a JSON
/// string of its text.
fn stored_body(body: Cow<'_, str>) -> String {
    if body.trim_ascii_start().starts_with(['{', '[']) && limits::is_json(&body) {
        return body.into_owned();
    }
    serde_json::Value::String(body.into_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn messages(number: usize, body: &str) -> Vec<Message> {
        vec![Message { body: body.to_owned(), attributes: BTreeMap::new() }; number]
    }

    #[test]
    fn stores_other_text_than_documents_as_string() {
        for (body, stored) in [
            (r#"{"a":1}"#, r#"{"a":1}"#),
            (" [1]", " [1]"),
            ("1", r#""1""#),
            (r#""a""#, r#""\"a\"""#),
            ("{a", r#""{a""#),
        ] {
            assert_eq!(stored_body(body.into()), stored);
        }
    }

    #[test]
    fn splits_batch_by_number_and_size() {
        let (batch, _) = Batch::of(&messages(2_500, "{}"));
        assert_eq!(batch.statements(), [0..1_000, 1_000..2_000, 2_000..2_500]);
        let (batch, _) = Batch::of(&messages(70, &"x".repeat(250_000)));
        assert_eq!(batch.statements(), [0..33, 33..66, 66..70]);
        assert!(Batch::of(&[]).0.statements().is_empty());
    }
}
