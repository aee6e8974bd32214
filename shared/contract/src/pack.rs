//! Packs: one message of the bus with many events of one type (schema 3).
//!
//! The body is `{"events": […]}`. Each entry has the fields of a body of schema 2, and the
//! attributes that differ from event to event. A pack is opened into messages of schema 2, so
//! that everything behind the bus handles single events.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Message, RawMessage, envelope::SnsEnvelope};

/// Schema of the body of a pack.
pub(crate) const SCHEMA: &str = "3";
/// Schema of the messages that are packed, and of those that a pack is opened into.
const EVENT_SCHEMA: &str = "2";
/// Attributes of a pack, which all its events share, without the schema.
const SHARED: [&str; 2] = ["eventItemType", "eventType"];
/// Attribute with the user of an event.
const USER_ID: &str = "userId";
/// Start and end of the body.
const BRACKETS: usize = r#"{"events":[]}"#.len();
/// Most events of a pack that is read. Those of this suite have fewer; more in one message would
/// need much memory as single messages.
pub const MAX_READ_EVENTS: usize = 1_000;

/// Body of schema 2. A body with further fields is not packed, so that none is lost.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body<'a> {
    #[serde(borrow)]
    user_id: Cow<'a, str>,
    #[serde(borrow)]
    user_email: Option<&'a RawValue>,
    #[serde(borrow)]
    item_id: &'a RawValue,
    #[serde(borrow)]
    event_data: &'a RawValue,
}

/// Entry of a pack.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(borrow)]
    event_id: Cow<'a, str>,
    #[serde(borrow)]
    occurred_at: Cow<'a, str>,
    #[serde(borrow)]
    user_id: Cow<'a, str>,
    #[serde(borrow)]
    user_email: Option<&'a RawValue>,
    #[serde(borrow)]
    item_id: &'a RawValue,
    version: i64,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<Cow<'a, str>>,
    #[serde(borrow)]
    event_data: &'a RawValue,
}

/// Body of schema 2, as it is written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BodyOut<'a> {
    user_id: &'a str,
    user_email: Option<&'a RawValue>,
    item_id: &'a RawValue,
    event_data: &'a RawValue,
}

#[derive(Deserialize)]
struct Events<'a> {
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

/// Event that can be packed: its type and user, and its entry as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packable<'a> {
    /// `eventItemType` and `eventType`.
    shared: [&'a str; 2],
    user_id: &'a str,
    entry: String,
}

impl<'a> Packable<'a> {
    /// Reads a message of schema 2; `None` if it is not one, or has parts that a pack cannot carry.
    #[must_use]
    pub fn of(message: &'a Message) -> Option<Self> {
        let attribute = |name: &str| message.attributes.get(name).map(String::as_str);
        let (item_type, event_type) = (attribute(SHARED[0])?, attribute(SHARED[1])?);
        let traceparent = attribute("traceparent");
        let known = 7 + usize::from(traceparent.is_some());
        if attribute("schema")? != EVENT_SCHEMA || message.attributes.len() != known {
            return None;
        }
        if !message.attributes.values().all(|value| is_attribute_value(value)) {
            return None;
        }
        let body: Body<'_> = serde_json::from_str(&message.body).ok()?;
        let user_id = attribute(USER_ID).filter(|user_id| *user_id == body.user_id)?;
        let entry = Entry {
            event_id: attribute("eventId")?.into(),
            occurred_at: attribute("occurredAt")?.into(),
            user_id: user_id.into(),
            user_email: body.user_email,
            item_id: body.item_id,
            version: attribute("version")?.parse().ok()?,
            traceparent: traceparent.map(Cow::Borrowed),
            event_data: body.event_data,
        };
        let entry = serde_json::to_string(&entry).ok()?;
        Some(Self { shared: [item_type, event_type], user_id, entry })
    }

    /// Type of the event. Only events of one type are packed together.
    #[must_use]
    pub fn event_type(&self) -> &'a str {
        self.shared[1]
    }

    /// User of the event.
    #[must_use]
    pub fn user_id(&self) -> &'a str {
        self.user_id
    }

    /// Bytes that the event adds to the body of a pack.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.entry.len() + 1
    }
}

/// Most bytes of a pack without events: the brackets of its body, and its attributes.
#[must_use]
pub fn empty_pack_bytes(first: &Packable<'_>) -> usize {
    let attributes = ["schema", SCHEMA, SHARED[0], SHARED[1], USER_ID, first.user_id];
    let texts = attributes.iter().chain(&first.shared);
    // "String" is the type of an attribute, which counts towards the size.
    BRACKETS + texts.map(|text| text.len()).sum::<usize>() + 4 * "String".len()
}

/// Packs events of one type. A pack of one user names the user in an attribute, as a single event
/// does: by it a bus delivers the messages of all users in turn.
#[must_use]
pub fn pack(events: &[&Packable<'_>]) -> Message {
    let entries: Vec<&str> = events.iter().map(|event| event.entry.as_str()).collect();
    let mut attributes = BTreeMap::from([("schema".to_owned(), SCHEMA.to_owned())]);
    if let Some(first) = events.first() {
        let shared = SHARED.iter().zip(first.shared);
        attributes.extend(shared.map(|(name, value)| ((*name).to_owned(), value.to_owned())));
        if events.iter().all(|event| event.user_id == first.user_id) {
            attributes.insert(USER_ID.to_owned(), first.user_id.to_owned());
        }
    }
    Message { body: format!(r#"{{"events":[{}]}}"#, entries.join(",")), attributes }
}

/// Opens a pack, raw or in an SNS envelope; `None` of any other message, and of one that has no
/// events, more than [`MAX_READ_EVENTS`], or a malformed body: its reader refuses it.
///
/// An entry that is malformed becomes a message that its reader refuses, so that the others are
/// handled.
#[must_use]
pub fn open(received: RawMessage<'_>) -> Option<Vec<Message>> {
    if received.attributes.get("schema").is_some_and(|schema| schema == SCHEMA) {
        return opened(received.body, received.attributes);
    }
    if received.attributes.contains_key("schema") {
        return None;
    }
    let envelope = SnsEnvelope::read(received.body)?;
    let attributes = envelope.attributes();
    if attributes.get("schema").is_none_or(|schema| schema != SCHEMA) {
        return None;
    }
    opened(&envelope.message, &attributes)
}

fn opened(body: &str, attributes: &BTreeMap<String, String>) -> Option<Vec<Message>> {
    let Events { events } = serde_json::from_str(body).ok()?;
    if events.is_empty() || events.len() > MAX_READ_EVENTS {
        return None;
    }
    let shared = SHARED.iter().filter_map(|name| attributes.get_key_value(*name));
    let mut shared: BTreeMap<String, String> =
        shared.map(|(name, value)| (name.clone(), value.clone())).collect();
    shared.insert("schema".to_owned(), EVENT_SCHEMA.to_owned());
    let single = |event: &RawValue| {
        single(event.get(), &shared).unwrap_or_else(|| {
            // In this schema no reader takes it for an event.
            let mut attributes = shared.clone();
            attributes.insert("schema".to_owned(), SCHEMA.to_owned());
            Message { body: event.get().to_owned(), attributes }
        })
    };
    Some(events.into_iter().map(single).collect())
}

fn is_attribute_value(text: &str) -> bool {
    let is_forbidden = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    !text.is_empty() && !text.chars().any(is_forbidden)
}

/// Converts an entry into a message of schema 2; `None` if it is malformed, or has texts that no
/// attribute may have.
fn single(entry: &str, shared: &BTreeMap<String, String>) -> Option<Message> {
    let entry: Entry<'_> = serde_json::from_str(entry).ok()?;
    let texts = [&entry.event_id, &entry.occurred_at, &entry.user_id];
    if !texts.into_iter().chain(&entry.traceparent).all(|text| is_attribute_value(text)) {
        return None;
    }
    let body = BodyOut {
        user_id: &entry.user_id,
        user_email: entry.user_email,
        item_id: entry.item_id,
        event_data: entry.event_data,
    };
    let body = serde_json::to_string(&body).ok()?;
    let mut attributes = shared.clone();
    attributes.extend([
        ("eventId".to_owned(), entry.event_id.into_owned()),
        ("occurredAt".to_owned(), entry.occurred_at.into_owned()),
        (USER_ID.to_owned(), entry.user_id.into_owned()),
        ("version".to_owned(), entry.version.to_string()),
    ]);
    if let Some(traceparent) = entry.traceparent {
        attributes.insert("traceparent".to_owned(), traceparent.into_owned());
    }
    Some(Message { body, attributes })
}

#[cfg(test)]
mod tests;
