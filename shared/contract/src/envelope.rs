//! Events as messages: writing with all attributes, reading in either envelope and in the form of
//! the predecessor.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use uuid::Uuid;

use super::{
    Bounds, ErasedData, EventType, ItemId, MAX_ATTRIBUTES, Message, OutcomeData, RawMessage,
    ReconcileData, ReminderData, RevisionData, SendData, Traceparent, bounds, event_id_of, pack,
};

mod legacy;
mod problem;

/// Schema that this suite writes.
const SCHEMA: &str = "2";

/// Schema of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// Body of the predecessor: no `schema` attribute.
    Legacy,
    /// Body of this suite.
    V2,
}

/// Reason that a message cannot be read, with which it is dead-lettered.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The body is not the JSON that it should be.
    #[error("the body cannot be read: {0}")]
    Body(String),
    /// `eventData` does not match the event type.
    #[error("eventData of {event_type} cannot be read: {problem}")]
    Data {
        /// Type of the event.
        event_type: EventType,
        /// The field and its problem, or the problem of the whole, without any value.
        problem: String,
    },
    /// An attribute is missing.
    #[error("the attribute {0} is missing")]
    Missing(&'static str),
    /// An attribute is malformed.
    #[error("the attribute {0} is malformed")]
    Malformed(&'static str),
    /// `eventType` is not part of the contract.
    #[error("the event type is unknown")]
    UnknownType,
    /// This version cannot read `schema`.
    #[error("the schema is unknown")]
    UnknownSchema,
    /// An event of a pack is malformed, or a pack has no list of at most
    /// [`MAX_READ_EVENTS`](pack::MAX_READ_EVENTS) events.
    #[error(
        "expected events, a list of 1 to {}, each with eventId, occurredAt, userId, itemId, version \
         and eventData",
        pack::MAX_READ_EVENTS
    )]
    Pack,
    /// More attributes than a raw delivery allows.
    #[error("more than {MAX_ATTRIBUTES} attributes")]
    TooManyAttributes,
}

/// An event with `eventData` as JSON.
pub type Envelope = Event<Value>;

/// An event: its user and item, its time and its data.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<D> {
    /// Type of the event.
    pub event_type: EventType,
    /// Id of the event, the same in each repeat.
    pub event_id: Uuid,
    /// Time of the event.
    pub occurred_at: DateTime<Utc>,
    /// User that the event concerns.
    pub user_id: String,
    /// E-mail address of the user, if it is known.
    pub user_email: Option<String>,
    /// Item that the event concerns.
    pub item_id: ItemId,
    /// Version of the item; events with an older version than the known one are ignored.
    pub version: i64,
    /// Schema of the data.
    pub schema: Schema,
    /// Trace of the event.
    pub traceparent: Option<Traceparent>,
    /// `eventData`.
    pub data: D,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BodyRef<'a, D> {
    user_id: &'a str,
    user_email: Option<&'a str>,
    item_id: &'a ItemId,
    event_data: &'a D,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    user_id: Option<String>,
    user_email: Option<String>,
    item_id: ItemId,
    #[serde(default)]
    event_data: Value,
}

/// JSON envelope in which SNS delivers a message, unless delivery is raw.
#[derive(Deserialize)]
pub(crate) struct SnsEnvelope {
    #[serde(rename = "Message")]
    pub(crate) message: String,
    #[serde(rename = "MessageId")]
    message_id: Option<String>,
    #[serde(rename = "Timestamp")]
    timestamp: Option<DateTime<Utc>>,
    #[serde(rename = "MessageAttributes", default)]
    attributes: BTreeMap<String, SnsAttribute>,
}

#[derive(Deserialize)]
struct SnsAttribute {
    #[serde(rename = "Value")]
    value: String,
}

impl<D: Serialize> Event<D> {
    /// Builds the message of the event.
    ///
    /// # Errors
    /// If the data cannot be written as JSON (a map with keys that are not texts).
    pub fn to_message(&self) -> Result<Message, serde_json::Error> {
        let body = BodyRef {
            user_id: &self.user_id,
            user_email: self.user_email.as_deref(),
            item_id: &self.item_id,
            event_data: &self.data,
        };
        let mut attributes = BTreeMap::from([
            ("eventItemType".to_owned(), self.event_type.item_type().to_owned()),
            ("eventType".to_owned(), self.event_type.as_str().to_owned()),
            ("userId".to_owned(), self.user_id.clone()),
            ("eventId".to_owned(), self.event_id.to_string()),
            (
                "occurredAt".to_owned(),
                self.occurred_at.to_rfc3339_opts(SecondsFormat::Millis, true),
            ),
            ("version".to_owned(), self.version.to_string()),
            ("schema".to_owned(), SCHEMA.to_owned()),
        ]);
        if let Some(traceparent) = self.traceparent {
            attributes.insert("traceparent".to_owned(), traceparent.to_string());
        }
        Ok(Message { body: serde_json::to_string(&body)?, attributes })
    }
}

impl Envelope {
    /// Reads a message, raw or in the SNS envelope, of this suite or of its predecessor.
    ///
    /// # Errors
    /// [`DecodeError`] if the message can never be read.
    pub fn decode<'a>(received: impl Into<RawMessage<'a>>) -> Result<Self, DecodeError> {
        let received = received.into();
        match SnsEnvelope::read(received.body) {
            Some(outer) => {
                let attributes = outer.attributes();
                let message_id = outer.message_id.as_deref().unwrap_or(received.message_id);
                decode(
                    &outer.message,
                    &attributes,
                    message_id,
                    outer.timestamp.unwrap_or(received.sent_at),
                )
            }
            None => {
                decode(received.body, received.attributes, received.message_id, received.sent_at)
            }
        }
    }

    /// Reads `eventData` of a reminder or of a command for a notification, within [`Bounds::READ`].
    ///
    /// # Errors
    /// [`DecodeError::Data`] if it does not match, or is out of bounds.
    pub fn reminder(&self) -> Result<ReminderData, DecodeError> {
        let data: ReminderData = match self.schema {
            Schema::V2 => self.typed()?,
            Schema::Legacy => {
                legacy::reminder(&self.data).map_err(|problem| self.data_error(problem))?
            }
        };
        data.check(&Bounds::READ).map_err(|error| self.data_error(error.to_string()))?;
        Ok(data)
    }

    /// Reads `eventData` of `notification:send`, within [`Bounds::READ`].
    ///
    /// # Errors
    /// [`DecodeError::Data`] if it does not match, or is out of bounds.
    pub fn send(&self) -> Result<SendData, DecodeError> {
        let data: SendData = match self.schema {
            Schema::V2 => self.typed()?,
            Schema::Legacy => legacy::send(&self.data, &self.item_id)
                .map_err(|problem| self.data_error(problem))?,
        };
        data.check().map_err(|error| self.data_error(error.to_string()))?;
        Ok(data)
    }

    /// Reads `eventData` of a revision of released occurrences.
    ///
    /// # Errors
    /// [`DecodeError::Data`] if it does not match.
    pub fn revision(&self) -> Result<RevisionData, DecodeError> {
        let data: RevisionData = self.typed()?;
        data.check().map_err(|error| self.data_error(error.to_string()))?;
        Ok(data)
    }

    /// Reads `eventData` of `notification:reconcile`.
    ///
    /// # Errors
    /// [`DecodeError::Data`] if it does not match, or is out of bounds.
    pub fn reconcile(&self) -> Result<ReconcileData, DecodeError> {
        let data: ReconcileData = self.typed()?;
        data.check().map_err(|error| self.data_error(error.to_string()))?;
        Ok(data)
    }

    /// Reads `eventData` of an erasure.
    ///
    /// # Errors
    /// [`DecodeError::Data`] if it does not match.
    pub fn erased(&self) -> Result<ErasedData, DecodeError> {
        self.typed()
    }

    /// Reads `eventData` of an outcome.
    ///
    /// # Errors
    /// [`DecodeError::Data`] if it does not match.
    pub fn outcome(&self) -> Result<OutcomeData, DecodeError> {
        self.typed()
    }

    fn typed<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        T::deserialize(&self.data)
            .map_err(|error| self.data_error(problem::of_value::<T>(&self.data, &error)))
    }

    fn data_error(&self, problem: String) -> DecodeError {
        DecodeError::Data { event_type: self.event_type, problem }
    }
}

impl SnsEnvelope {
    /// Reads a text as an SNS envelope; `None` if it is not one.
    pub(crate) fn read(text: &str) -> Option<Self> {
        // Raw bodies of this suite never contain this key; the check avoids parsing them twice.
        if !text.contains("\"Message\"") {
            return None;
        }
        serde_json::from_str(text).ok()
    }

    /// Attributes of the message.
    pub(crate) fn attributes(&self) -> BTreeMap<String, String> {
        let attributes = self.attributes.iter();
        attributes.map(|(name, attribute)| (name.clone(), attribute.value.clone())).collect()
    }
}

fn decode(
    text: &str,
    attributes: &BTreeMap<String, String>,
    message_id: &str,
    sent_at: DateTime<Utc>,
) -> Result<Envelope, DecodeError> {
    if attributes.len() > MAX_ATTRIBUTES {
        return Err(DecodeError::TooManyAttributes);
    }
    let attribute = |name: &'static str| attributes.get(name).map(String::as_str);
    let schema = match attribute("schema") {
        None => Schema::Legacy,
        Some(SCHEMA) => Schema::V2,
        // A pack that can be read was opened before.
        Some(pack::SCHEMA) => return Err(DecodeError::Pack),
        Some(_) => return Err(DecodeError::UnknownSchema),
    };
    let event_type: EventType = attribute("eventType")
        .ok_or(DecodeError::Missing("eventType"))?
        .parse()
        .map_err(|_| DecodeError::UnknownType)?;
    let body: Body = serde_json::from_str(text)
        .map_err(|error| DecodeError::Body(problem::of_text::<Body>(text, &error)))?;
    let occurred_at = match attribute("occurredAt") {
        None => sent_at,
        Some(text) => text.parse().map_err(|_| DecodeError::Malformed("occurredAt"))?,
    };
    if !bounds::is_date(occurred_at) {
        return Err(DecodeError::Malformed("occurredAt"));
    }
    let version = match attribute("version") {
        None => legacy::version(&body.event_data, occurred_at),
        Some(text) => text.parse().map_err(|_| DecodeError::Malformed("version"))?,
    };
    let user_id =
        body.user_id.or_else(|| attribute("userId").map(ToOwned::to_owned)).unwrap_or_default();
    if user_id.is_empty() {
        return Err(DecodeError::Missing("userId"));
    }
    // Later messages contain it as an attribute.
    if !bounds::is_identity(&user_id) {
        return Err(DecodeError::Malformed("userId"));
    }
    let user_email = body.user_email.filter(|email| !email.is_empty());
    if !user_email.as_deref().is_none_or(bounds::is_identity) {
        let problem =
            format!("userEmail: must have at most {} bytes of one line", bounds::MAX_IDENTITY);
        return Err(DecodeError::Body(problem));
    }
    Ok(Event {
        event_type,
        event_id: event_id_of(attribute("eventId").unwrap_or(message_id)),
        occurred_at,
        user_id,
        user_email,
        item_id: body.item_id,
        version,
        schema,
        traceparent: attribute("traceparent").and_then(|text| text.parse().ok()),
        data: body.event_data,
    })
}

#[cfg(test)]
mod tests;
