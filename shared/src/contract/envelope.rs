//! One event a message: written with all attributes, read in either envelope and in the
//! predecessor's form.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use uuid::Uuid;

use super::{
    Bounds, ErasedData, EventType, ItemId, OutcomeData, ReconcileData, ReminderData, RevisionData,
    SendData, bounds, event_id_of,
};
use crate::{
    bus::{MAX_ATTRIBUTES, Message, Received},
    telemetry::Traceparent,
};

mod legacy;

/// The schema that this suite writes.
const SCHEMA: &str = "2";

/// Which form a body has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// No `schema` attribute: the predecessor's body.
    Legacy,
    /// This suite's.
    V2,
}

/// Why a message cannot be read; it is to be dead-lettered with this reason.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The body is not the JSON that it should be.
    #[error("the body cannot be read: {0}")]
    Body(String),
    /// `eventData` is not what the event type asks for.
    #[error("eventData of {event_type} cannot be read: {problem}")]
    Data {
        /// The event's type.
        event_type: EventType,
        /// What is wrong, without its text.
        problem: String,
    },
    /// An attribute is missing.
    #[error("the attribute {0} is missing")]
    Missing(&'static str),
    /// An attribute is malformed.
    #[error("the attribute {0} is malformed")]
    Malformed(&'static str),
    /// `eventType` is none of the contract's.
    #[error("the event type is unknown")]
    UnknownType,
    /// `schema` is none that this version reads.
    #[error("the schema is unknown")]
    UnknownSchema,
    /// More attributes than a raw delivery can carry.
    #[error("more than {MAX_ATTRIBUTES} attributes")]
    TooManyAttributes,
}

/// An event with its `eventData` still as JSON.
pub type Envelope = Event<Value>;

/// An event: who and what it concerns, when it happened, and its data.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<D> {
    /// What it tells or commands.
    pub event_type: EventType,
    /// Its identity: a repeat has the same.
    pub event_id: Uuid,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// The user it concerns.
    pub user_id: String,
    /// Where the user's e-mail goes, if it is known.
    pub user_email: Option<String>,
    /// The item it concerns.
    pub item_id: ItemId,
    /// The item's version: an older one than is known is ignored.
    pub version: i64,
    /// The form of the data.
    pub schema: Schema,
    /// The trace it belongs to.
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

#[derive(Deserialize)]
struct SnsEnvelope {
    #[serde(rename = "Message")]
    message: String,
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
    /// The message that carries it.
    ///
    /// # Errors
    /// When the data cannot be written as JSON (a map with keys that are no text).
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
    /// [`DecodeError`]: the message can never be read.
    pub fn decode(received: &Received) -> Result<Self, DecodeError> {
        match unwrap(&received.body) {
            Some(outer) => {
                let attributes = outer
                    .attributes
                    .into_iter()
                    .map(|(name, attribute)| (name, attribute.value))
                    .collect();
                let message_id = outer.message_id.as_deref().unwrap_or(&received.message_id);
                decode(
                    &outer.message,
                    &attributes,
                    message_id,
                    outer.timestamp.unwrap_or(received.sent_at),
                )
            }
            None => {
                decode(&received.body, &received.attributes, &received.message_id, received.sent_at)
            }
        }
    }

    /// `eventData` of a reminder or of a command for a notification, within [`Bounds::READ`].
    ///
    /// # Errors
    /// [`DecodeError::Data`] when it is something else, or out of bounds.
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

    /// `eventData` of `notification:send`, within [`Bounds::READ`].
    ///
    /// # Errors
    /// [`DecodeError::Data`] when it is something else, or out of bounds.
    pub fn send(&self) -> Result<SendData, DecodeError> {
        let data: SendData = match self.schema {
            Schema::V2 => self.typed()?,
            Schema::Legacy => legacy::send(&self.data, &self.item_id)
                .map_err(|problem| self.data_error(problem))?,
        };
        data.check().map_err(|error| self.data_error(error.to_string()))?;
        Ok(data)
    }

    /// `eventData` of what becomes of released occurrences.
    ///
    /// # Errors
    /// [`DecodeError::Data`] when it is something else.
    pub fn revision(&self) -> Result<RevisionData, DecodeError> {
        let data: RevisionData = self.typed()?;
        data.check().map_err(|error| self.data_error(error.to_string()))?;
        Ok(data)
    }

    /// `eventData` of `notification:reconcile`.
    ///
    /// # Errors
    /// [`DecodeError::Data`] when it is something else, or out of bounds.
    pub fn reconcile(&self) -> Result<ReconcileData, DecodeError> {
        let data: ReconcileData = self.typed()?;
        data.check().map_err(|error| self.data_error(error.to_string()))?;
        Ok(data)
    }

    /// `eventData` of an erasure.
    ///
    /// # Errors
    /// [`DecodeError::Data`] when it is something else.
    pub fn erased(&self) -> Result<ErasedData, DecodeError> {
        self.typed()
    }

    /// `eventData` of an outcome.
    ///
    /// # Errors
    /// [`DecodeError::Data`] when it is something else.
    pub fn outcome(&self) -> Result<OutcomeData, DecodeError> {
        self.typed()
    }

    fn typed<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        T::deserialize(&self.data)
            .map_err(|error| self.data_error(without_values(&error.to_string())))
    }

    fn data_error(&self, problem: String) -> DecodeError {
        DecodeError::Data { event_type: self.event_type, problem }
    }
}

/// What a parser complains of, without the foreign text that it quotes: reasons are logged and
/// kept. Names of fields that are missing are ours and stay.
pub(super) fn without_values(problem: &str) -> String {
    if problem.starts_with("missing field") {
        return problem.to_owned();
    }
    let end = problem.find([':', '`', '"']).unwrap_or(problem.len());
    problem[..end].trim_end().to_owned()
}

/// The SNS envelope, where the text is one.
fn unwrap(text: &str) -> Option<SnsEnvelope> {
    // Raw bodies of ours never hold this key at the top; the cheap look spares them a second parse.
    if !text.contains("\"Message\"") {
        return None;
    }
    serde_json::from_str(text).ok()
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
        Some(_) => return Err(DecodeError::UnknownSchema),
    };
    let event_type: EventType = attribute("eventType")
        .ok_or(DecodeError::Missing("eventType"))?
        .parse()
        .map_err(|_| DecodeError::UnknownType)?;
    let body: Body = serde_json::from_str(text)
        .map_err(|error| DecodeError::Body(without_values(&error.to_string())))?;
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
    // What follows from the event carries it as an attribute.
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
