//! Dead letters: putting messages there with a reason, looking at them, moving them back.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use serde_json::json;

use super::{AwsBus, BATCH, CALLS, batch::Entry as Settled, publish::Entry, publish::Target};
use crate::bus::{Error, MAX_ATTRIBUTES, PublishError, REASON_ATTRIBUTE, Received, limits};

const REJECT: &str = "put messages to the dead letters";
const REDRIVE: &str = "redrive dead letters";
/// For how long messages are held while they are moved.
const HELD_SECONDS: i32 = 60;
const HELD: Duration = Duration::from_secs(60);
/// SQS may overlook messages in a call that does not wait.
const WAIT: Duration = Duration::from_secs(1);

impl AwsBus {
    /// Sends copies with their reasons to the dead-letter queue, then deletes. A message is moved
    /// only while its receipt holds; between both steps a crash leaves it in both queues, never in
    /// none. One that the dead-letter queue does not take stays, and SQS itself moves it there when
    /// it was received too often.
    pub(super) async fn reject(
        &self,
        queue: &str,
        url: &str,
        rejected: Vec<(Received, String)>,
    ) -> Result<(), Error> {
        if rejected.is_empty() {
            return Ok(());
        }
        let target = self.dead_letters_url(queue).await?;
        let mut left = 0;
        for chunk in rejected.chunks(BATCH) {
            let receipts: Vec<_> =
                chunk.iter().map(|(message, _)| (message.receipt.clone(), HELD_SECONDS)).collect();
            let (entries, held) = self.hide_call(url, &receipts).await?;
            left += entries.iter().filter(|entry| **entry == Settled::Failed).count();
            let copies = chunk.iter().enumerate().filter(|(place, _)| held[*place]);
            let copies = copies
                .map(|(place, (message, reason))| dead_letter(place, message, reason))
                .collect();
            let outcomes = self.put_entries(Target::Queue(&target, 0), copies).await?;
            left += outcomes.iter().filter(|(_, outcome)| outcome.is_err()).count();
            let moved = outcomes.into_iter().filter(|(_, outcome)| outcome.is_ok());
            self.delete(url, moved.map(|(place, _)| chunk[place].0.receipt.clone()).collect())
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

    /// Receives them and makes them visible again at once.
    pub(super) async fn peek_dead_letters(
        &self,
        queue: &str,
        max: usize,
    ) -> Result<Vec<Received>, Error> {
        let url = self.dead_letters_url(queue).await?;
        let messages = self.receive_from(&url, max, HELD, WAIT).await?;
        self.hide(&url, messages.iter().map(|message| (message.receipt.clone(), 0)).collect())
            .await?;
        Ok(messages)
    }

    pub(super) async fn redrive_into(&self, queue: &str, max: usize) -> Result<u64, Error> {
        let (from, to) = (self.dead_letters_url(queue).await?, self.queue_url(queue).await?);
        // Just those that are there now: one that is as bad as before is back here at once, and
        // would be moved for ever.
        let there = self.depth_of(&from).await?;
        let max = max.min(usize::try_from(there.visible + there.in_flight).unwrap_or(usize::MAX));
        let mut moved = 0;
        while moved < max {
            let messages =
                self.receive_from(&from, (max - moved).min(BATCH * CALLS), HELD, WAIT).await?;
            if messages.is_empty() {
                break;
            }
            let copies = messages
                .iter()
                .enumerate()
                .map(|(place, message)| redriven(place, message))
                .collect();
            let outcomes = self.put_entries(Target::Queue(&to, 0), copies).await?;
            let (sent, kept): (Vec<_>, Vec<_>) =
                outcomes.into_iter().partition(|(_, outcome)| outcome.is_ok());
            moved += sent.len();
            self.delete(
                &from,
                sent.into_iter().map(|(place, _)| messages[place].receipt.clone()).collect(),
            )
            .await?;
            if let Some((
                _,
                Err(PublishError::Retry(problem) | PublishError::Unpublishable(problem)),
            )) = kept.first()
            {
                let source = format!("{} messages were not taken: {problem}", kept.len());
                let kept = kept.iter().map(|(place, _)| (messages[*place].receipt.clone(), 0));
                self.hide(&from, kept.collect()).await?;
                return Err(Error::Unavailable { action: REDRIVE, source: source.into() });
            }
        }
        Ok(moved as u64)
    }
}

/// The message with its reason. One that already has all the attributes it may have is put, with
/// them, into the JSON envelope in which SNS delivers (`Message`, `MessageAttributes.X.Value`),
/// which every consumer reads: so none is lost.
fn dead_letter<'a>(place: usize, message: &'a Received, reason: &str) -> Entry<'a> {
    let reason = (REASON_ATTRIBUTE.to_owned(), limits::reason_text(reason));
    if message.attributes.len() < MAX_ATTRIBUTES
        || message.attributes.contains_key(REASON_ATTRIBUTE)
    {
        let mut attributes = message.attributes.clone();
        attributes.extend([reason]);
        return Entry {
            place,
            body: Cow::Borrowed(&message.body),
            attributes: Cow::Owned(attributes),
        };
    }
    let attribute = |(name, value): (&String, &String)| {
        (name.clone(), json!({ "Type": "String", "Value": value }))
    };
    let envelope = json!({
        "Type": "Notification",
        "MessageId": message.message_id,
        "Timestamp": message.sent_at,
        "Message": message.body,
        "MessageAttributes": message.attributes.iter().map(attribute).collect::<serde_json::Map<_, _>>(),
    });
    let attributes = Cow::Owned(BTreeMap::from([reason]));
    Entry { place, body: Cow::Owned(envelope.to_string()), attributes }
}

fn redriven(place: usize, message: &Received) -> Entry<'_> {
    let mut attributes = Cow::Borrowed(&message.attributes);
    if attributes.contains_key(REASON_ATTRIBUTE) {
        attributes.to_mut().remove(REASON_ATTRIBUTE);
    }
    Entry { place, body: Cow::Borrowed(&message.body), attributes }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;
    use crate::bus::Receipt;

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
    fn the_reason_is_one_more_attribute() {
        let message = received(9);
        let letter = dead_letter(0, &message, "why");
        assert_eq!((letter.body.as_ref(), letter.attributes.len()), ("{\"a\":1}", 10));
        assert_eq!(letter.attributes[REASON_ATTRIBUTE], "why");
    }

    #[test]
    fn where_there_is_no_room_for_it_the_others_move_into_the_envelope() {
        let message = received(10);
        let letter = dead_letter(0, &message, "why");
        assert_eq!(letter.attributes.iter().collect::<Vec<_>>().len(), 1);
        let envelope: serde_json::Value = serde_json::from_str(&letter.body).unwrap();
        assert_eq!(envelope["Message"], "{\"a\":1}");
        assert_eq!(envelope["MessageAttributes"]["a9"]["Value"], "v9");
    }

    #[test]
    fn a_redriven_message_has_no_reason_any_more() {
        let mut message = received(1);
        message.attributes.insert(REASON_ATTRIBUTE.to_owned(), "why".to_owned());
        assert_eq!(redriven(0, &message).attributes.len(), 1);
    }
}
