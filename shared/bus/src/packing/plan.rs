//! Plan of a publish: the messages that are packed together. Pure.

use std::collections::HashMap;

use contract::pack::{self, Packable};

use crate::{Message, PublishError};

/// Most events of a pack.
pub const MAX_PACK_EVENTS: usize = 100;
/// Most bytes of a pack: SNS bills each 64 KiB of a message as a request, and a consumer opens a
/// pack in memory.
pub const MAX_PACK_BYTES: usize = 60 * 1024;
/// Number of events of one user in a publish from which on the user has packs of their own, so
/// that the bus can deliver the messages of all users in turn.
const OWN_PACK: usize = MAX_PACK_EVENTS / 5;

/// Messages of the bus for the messages of a publish.
#[derive(Debug, Default)]
pub(super) struct Plan<'a> {
    /// Packs and single messages, in the order of their first events.
    units: Vec<Unit<'a>>,
}

/// One message of the bus.
#[derive(Debug)]
enum Unit<'a> {
    /// Index of a message that is published as it is.
    Single(usize),
    /// Indexes of events, and the events.
    Pack(Vec<usize>, Vec<Packable<'a>>),
}

impl<'a> Plan<'a> {
    /// Fills a pack of each event type after the other.
    pub(super) fn of(messages: &'a [Message]) -> Self {
        let mut units = Vec::new();
        let is_alone = messages.len() < 2;
        let events: Vec<_> = messages
            .iter()
            .map(|message| if is_alone { None } else { Packable::of(message) })
            .collect();
        let mut by_user = HashMap::<&str, usize>::new();
        for event in events.iter().flatten() {
            *by_user.entry(event.user_id()).or_default() += 1;
        }
        // Of each event type, and user with own packs, the pack that is being filled, and its
        // bytes.
        let mut open = HashMap::<(&str, Option<&str>), (usize, usize)>::new();
        for (index, event) in events.into_iter().enumerate() {
            let Some(event) = event else {
                units.push(Unit::Single(index));
                continue;
            };
            let (user, bytes) = (event.user_id(), event.bytes());
            let own = by_user.get(user).is_some_and(|number| *number >= OWN_PACK);
            let key = (event.event_type(), own.then_some(user));
            if let Some((unit, filled)) = open.get_mut(&key)
                && let Some(Unit::Pack(indexes, events)) = units.get_mut(*unit)
                && events.len() < MAX_PACK_EVENTS
                && *filled + bytes <= MAX_PACK_BYTES
            {
                *filled += bytes;
                indexes.push(index);
                events.push(event);
                continue;
            }
            let filled = pack::empty_pack_bytes(&event) + bytes;
            open.insert(key, (units.len(), filled));
            units.push(Unit::Pack(vec![index], vec![event]));
        }
        for unit in &mut units {
            if let Unit::Pack(indexes, _) = unit
                && let [index] = indexes[..]
            {
                *unit = Unit::Single(index);
            }
        }
        Self { units }
    }

    /// Returns whether any messages are packed.
    pub(super) fn has_packs(&self) -> bool {
        self.units.iter().any(|unit| matches!(unit, Unit::Pack(..)))
    }

    /// Returns the messages of the bus.
    pub(super) fn messages(&self, given: &[Message]) -> Vec<Message> {
        let message = |unit: &Unit<'_>| match unit {
            Unit::Single(index) => given[*index].clone(),
            Unit::Pack(_, events) => pack::pack(&events.iter().collect::<Vec<_>>()),
        };
        self.units.iter().map(message).collect()
    }

    /// Returns a result for each message of the publish, from those of the messages of the bus,
    /// and the indexes of events whose pack was refused for good.
    pub(super) fn results(
        self,
        number: usize,
        published: Vec<Result<(), PublishError>>,
    ) -> (Vec<Result<(), PublishError>>, Vec<usize>) {
        let unknown = || Err(PublishError::Retry("there is no result".to_owned()));
        let (mut results, mut refused) = (vec![unknown(); number], Vec::new());
        for (unit, result) in self.units.into_iter().zip(published) {
            match (unit, result) {
                (Unit::Single(index), result) => results[index] = result,
                (Unit::Pack(indexes, _), Err(PublishError::Unpublishable(_))) => {
                    refused.extend(indexes);
                }
                (Unit::Pack(indexes, _), result) => {
                    indexes.into_iter().for_each(|index| results[index] = result.clone());
                }
            }
        }
        (results, refused)
    }
}

#[cfg(test)]
mod tests {
    use contract::{Event, EventType, Schema};

    use super::*;

    fn event(event_type: EventType, user: &str, text: &str) -> Message {
        let event = Event {
            event_type,
            event_id: contract::new_id(),
            occurred_at: chrono::DateTime::UNIX_EPOCH,
            user_id: user.to_owned(),
            user_email: None,
            item_id: "a".parse().unwrap(),
            version: 1,
            schema: Schema::V2,
            traceparent: None,
            data: serde_json::json!({ "text": text }),
        };
        event.to_message().unwrap()
    }

    fn created(user: usize) -> Message {
        event(EventType::ReminderCreated, &format!("user-{user}"), "")
    }

    /// Indexes of the messages in each message of the bus.
    fn units(messages: &[Message]) -> Vec<Vec<usize>> {
        let indexes = |unit: Unit<'_>| match unit {
            Unit::Single(index) => vec![index],
            Unit::Pack(indexes, _) => indexes,
        };
        Plan::of(messages).units.into_iter().map(indexes).collect()
    }

    #[test]
    fn packs_events_of_one_type() {
        let other = Message { body: "{}".to_owned(), attributes: Default::default() };
        let deleted = event(EventType::ReminderDeleted, "user-0", "");
        let messages = [created(0), deleted.clone(), other, created(1), deleted, created(2)];
        assert_eq!(units(&messages), [vec![0, 3, 5], vec![1, 4], vec![2]]);
    }

    #[test]
    fn bounds_packs_by_number_and_bytes() {
        let messages: Vec<_> = (0..MAX_PACK_EVENTS + 1).map(created).collect();
        assert_eq!(units(&messages).iter().map(Vec::len).collect::<Vec<_>>(), [MAX_PACK_EVENTS, 1]);

        let text = "x".repeat(MAX_PACK_BYTES / 3);
        let large = |user: usize| event(EventType::ReminderCreated, &user.to_string(), &text);
        let messages: Vec<_> = (0..5).map(large).collect();
        assert_eq!(units(&messages), [vec![0, 1], vec![2, 3], vec![4]]);
        let plan = Plan::of(&messages);
        let bytes = |message: &Message| {
            crate::limits::message_bytes(
                &message.body,
                message.attributes.iter().map(|(name, value)| (&name[..], &value[..])),
            )
        };
        assert!(plan.messages(&messages).iter().all(|message| bytes(message) <= MAX_PACK_BYTES));
    }

    #[test]
    fn gives_busy_user_packs_of_their_own() {
        let mut messages: Vec<_> = (0..OWN_PACK).map(|_| created(7)).collect();
        messages.extend([created(1), created(2)]);
        assert_eq!(units(&messages), [(0..OWN_PACK).collect(), vec![OWN_PACK, OWN_PACK + 1]]);
        messages.remove(0);
        assert_eq!(units(&messages).len(), 1);
    }

    #[test]
    fn gives_each_event_the_result_of_its_pack() {
        let messages: Vec<_> = (0..3).map(created).collect();
        let result = |published| Plan::of(&messages).results(3, vec![published]);
        assert_eq!(result(Ok(())), (vec![Ok(()); 3], vec![]));
        let retry = Err(PublishError::Retry("busy".to_owned()));
        assert_eq!(result(retry.clone()), (vec![retry; 3], vec![]));
        let refused = PublishError::Unpublishable("too large".to_owned());
        assert_eq!(result(Err(refused)).1, [0, 1, 2]);
    }
}
