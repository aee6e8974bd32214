//! Dead letters: rejecting messages with a reason, reading dead letters, redriving them.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use serde_json::json;

use super::{AwsBus, BATCH, CALLS, batch::Entry as Settled, publish::Entry, publish::Target};
use crate::{
    DETAIL_ATTRIBUTE, Error, MAX_ATTRIBUTES, PublishError, REASON_ATTRIBUTE, Received, Rejection,
    limits,
};

const REJECT: &str = "move messages to the dead-letter queue";
const REDRIVE: &str = "redrive dead letters";
/// Time for which messages are hidden while they are moved.
const HIDDEN_SECONDS: i32 = 60;
const HIDDEN: Duration = Duration::from_secs(60);
/// Waiting time of a receive, as SQS may miss messages in a call that does not wait.
const WAIT: Duration = Duration::from_secs(1);

impl AwsBus {
    /// Sends copies with their reasons to the dead-letter queue, then deletes the messages. A
    /// message is moved only while its receipt is valid. A crash between both steps leaves it in
    /// both queues, never in none. A message that the dead-letter queue does not accept stays, and
    /// SQS itself moves it once it was received too often.
    pub(super) async fn reject(
        &self,
        queue: &str,
        url: &str,
        rejected: Vec<(Received, Rejection)>,
    ) -> Result<(), Error> {
        if rejected.is_empty() {
            return Ok(());
        }
        let target = self.dead_letters_url(queue).await?;
        let mut left = 0;
        for chunk in rejected.chunks(BATCH) {
            let receipts: Vec<_> = chunk
                .iter()
                .map(|(message, _)| (message.receipt.clone(), HIDDEN_SECONDS))
                .collect();
            let (entries, is_hidden) = self.hide_call(url, &receipts).await?;
            left += entries.iter().filter(|entry| **entry == Settled::Failed).count();
            let copies = chunk.iter().enumerate().filter(|(index, _)| is_hidden[*index]);
            let copies = copies
                .map(|(index, (message, rejection))| dead_letter(index, message, rejection))
                .collect();
            let results = self.put_entries(Target::Queue(&target, 0), copies).await?;
            left += results.iter().filter(|(_, result)| result.is_err()).count();
            let moved = results.into_iter().filter(|(_, result)| result.is_ok());
            self.delete(url, moved.map(|(index, _)| chunk[index].0.receipt.clone()).collect())
                .await?;
        }
        if left == 0 {
            return Ok(());
        }
        Err(Error::Unavailable {
            action: REJECT,
            source: format!("{left} messages were not moved").into(),
        })
    }

    /// Receives dead letters and makes them visible again at once.
    pub(super) async fn peek_dead_letters(
        &self,
        queue: &str,
        max: usize,
    ) -> Result<Vec<Received>, Error> {
        let url = self.dead_letters_url(queue).await?;
        let messages = self.receive_from(&url, max, HIDDEN, WAIT).await?;
        self.hide(&url, messages.iter().map(|message| (message.receipt.clone(), 0)).collect())
            .await?;
        Ok(messages)
    }

    pub(super) async fn redrive_into(&self, queue: &str, max: usize) -> Result<u64, Error> {
        let (from, to) = (self.dead_letters_url(queue).await?, self.queue_url(queue).await?);
        // Only as many as exist now: a message that fails again returns at once, and would be moved
        // forever.
        let depth = self.depth_of(&from).await?;
        let max = max.min(usize::try_from(depth.visible + depth.in_flight).unwrap_or(usize::MAX));
        let mut moved = 0;
        while moved < max {
            let messages =
                self.receive_from(&from, (max - moved).min(BATCH * CALLS), HIDDEN, WAIT).await?;
            if messages.is_empty() {
                break;
            }
            let copies = messages
                .iter()
                .enumerate()
                .map(|(index, message)| redriven(index, message))
                .collect();
            let results = self.put_entries(Target::Queue(&to, 0), copies).await?;
            let (sent, kept): (Vec<_>, Vec<_>) =
                results.into_iter().partition(|(_, result)| result.is_ok());
            moved += sent.len();
            self.delete(
                &from,
                sent.into_iter().map(|(index, _)| messages[index].receipt.clone()).collect(),
            )
            .await?;
            if let Some((
                _,
                Err(PublishError::Retry(problem) | PublishError::Unpublishable(problem)),
            )) = kept.first()
            {
                let source = format!("{} messages were not accepted: {problem}", kept.len());
                let kept = kept.iter().map(|(index, _)| (messages[*index].receipt.clone(), 0));
                self.hide(&from, kept.collect()).await?;
                return Err(Error::Unavailable { action: REDRIVE, source: source.into() });
            }
        }
        Ok(moved as u64)
    }
}

/// Builds the dead letter of a message with reason and explanation as attributes. If that makes
/// more attributes than allowed, message and attributes are wrapped in the JSON envelope of SNS
/// (`Message`, `MessageAttributes.X.Value`), which every consumer reads, so that no attribute is
/// lost.
fn dead_letter<'a>(index: usize, message: &'a Received, rejection: &Rejection) -> Entry<'a> {
    let added = [
        (REASON_ATTRIBUTE.to_owned(), rejection.reason.to_string()),
        (DETAIL_ATTRIBUTE.to_owned(), limits::detail_text(&rejection.detail)),
    ];
    let mut attributes = message.attributes.clone();
    attributes.extend(added.clone());
    if attributes.len() <= MAX_ATTRIBUTES {
        return Entry {
            index,
            body: Cow::Borrowed(&message.body),
            attributes: Cow::Owned(attributes),
        };
    }
    let attribute = |(name, value): (&String, &String)| {
        (name.clone(), json!({ "Type": "String", "Value": value }))
    };
    let attributes: serde_json::Map<_, _> = message.attributes.iter().map(attribute).collect();
    let envelope = json!({
        "Type": "Notification",
        "MessageId": message.message_id,
        "Timestamp": message.sent_at,
        "Message": message.body,
        "MessageAttributes": attributes,
    });
    let attributes = Cow::Owned(BTreeMap::from(added));
    Entry { index, body: Cow::Owned(envelope.to_string()), attributes }
}

fn redriven(index: usize, message: &Received) -> Entry<'_> {
    let mut attributes = Cow::Borrowed(&message.attributes);
    for added in [REASON_ATTRIBUTE, DETAIL_ATTRIBUTE] {
        if attributes.contains_key(added) {
            attributes.to_mut().remove(added);
        }
    }
    Entry { index, body: Cow::Borrowed(&message.body), attributes }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use contract::Reason;

    use super::*;
    use crate::Receipt;

    fn rejection() -> Rejection {
        Rejection::new(Reason::Invalid, "why")
    }

    fn received(attributes: usize) -> Received {
        Received {
            receipt: Receipt("r".to_owned()),
            message_id: "m".to_owned(),
            body: "{\"a\":1}".to_owned(),
            attributes: (0..attributes).map(|n| (format!("a{n}"), format!("v{n}"))).collect(),
            receive_count: 1,
            sent_at: Utc::now(),
        }
    }

    #[test]
    fn adds_reason_as_attribute() {
        let message = received(8);
        let letter = dead_letter(0, &message, &rejection());
        assert_eq!((letter.body.as_ref(), letter.attributes.len()), ("{\"a\":1}", 10));
        assert_eq!(letter.attributes[REASON_ATTRIBUTE], "INVALID");
        assert_eq!(letter.attributes[DETAIL_ATTRIBUTE], "why");
    }

    #[test]
    fn moves_attributes_into_envelope_at_limit() {
        let message = received(10);
        let letter = dead_letter(0, &message, &rejection());
        assert_eq!(letter.attributes.len(), 2);
        let envelope: serde_json::Value = serde_json::from_str(&letter.body).unwrap();
        assert_eq!(envelope["Message"], "{\"a\":1}");
        assert_eq!(envelope["MessageAttributes"]["a9"]["Value"], "v9");
    }

    #[test]
    fn removes_reason_from_redriven_message() {
        let mut message = received(1);
        message.attributes.insert(REASON_ATTRIBUTE.to_owned(), "INVALID".to_owned());
        message.attributes.insert(DETAIL_ATTRIBUTE.to_owned(), "why".to_owned());
        assert_eq!(redriven(0, &message).attributes.len(), 1);
    }
}
