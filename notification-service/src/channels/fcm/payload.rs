//! Builds the JSON body of `messages:send` from a push. Pure.
//!
//! `notification` holds the text that the device shows, and `data` our ids. The block of the
//! device's platform carries the urgency, the expiry and the occurrence's id as collapse key, so
//! that a repeat replaces the first message on the device. Blocks of other platforms are left out.

mod message;
mod truncate;

use super::setup_error::SetupError;
use crate::channels::templates::{Notice, PushText};
use crate::device::DeviceType;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use contract::Priority;
use message::{Message, Request};
use std::collections::BTreeMap;
use uuid::Uuid;

/// FCM's limit for notification and data together. Applied to the whole message without its token,
/// which is slightly stricter than FCM and the same for every platform.
pub const LIMIT_BYTES: usize = 4_096;

/// Longest time to live that FCM accepts.
const LONGEST_TTL_SECONDS: i64 = 28 * 24 * 60 * 60;

/// Push to one device.
#[derive(Debug, Clone, Copy)]
pub struct Push<'a> {
    /// Id of the occurrence. On the device, a later message of the same occurrence replaces the
    /// earlier one.
    pub occurrence_id: Uuid,
    /// Origin of the occurrence: `reminder`, or the name of another source.
    pub source: &'a str,
    /// Id of the item that the occurrence belongs to.
    pub item_id: &'a str,
    /// Heading. `None`: the word for a reminder in the user's language.
    pub title: Option<&'a str>,
    /// Text.
    pub message: &'a str,
    /// URL that a tap opens.
    pub url: Option<&'a str>,
    /// Key-value pairs of the client, passed on in `data`. Keys that FCM reserves are left out,
    /// because FCM would refuse the whole message.
    pub data: &'a BTreeMap<String, String>,
    /// Priority.
    pub priority: Priority,
    /// Date of the reminder, which may be long after the delivery.
    pub date: DateTime<Utc>,
    /// Time zone in which the date is formatted.
    pub time_zone: Tz,
    /// Expiry after which FCM drops the message undelivered.
    pub expires_at: DateTime<Utc>,
    /// BCP 47 locale of the texts around the message and of the date.
    pub locale: Option<&'a str>,
}

impl<'a> Push<'a> {
    pub(super) fn notice(&self) -> Notice<'a> {
        Notice {
            title: self.title,
            message: self.message,
            url: self.url,
            date: self.date,
            time_zone: self.time_zone,
            locale: self.locale,
        }
    }
}

/// Least size of a truncated text, in bytes of JSON. Parts of the push are dropped before the text
/// becomes shorter than this.
const MIN_TEXT_BYTES: usize = 3_000;
/// Longest heading of a push that would not fit otherwise, in bytes of JSON: 200 characters of four
/// bytes.
const TITLE_BYTES: usize = 800;

/// Returns the body of a request that sends `push` with the text `text`. If the push is too large,
/// parts of it are dropped in this order: the second copy of the link in a web push, the client's
/// key-value pairs, the link, and the end of the text. Our ids are always kept, so that the app can
/// fetch the rest.
#[must_use]
pub fn send(
    token: &str,
    device: DeviceType,
    push: &Push<'_>,
    text: &PushText,
    now: DateTime<Utc>,
) -> Bytes {
    let ttl = (push.expires_at - now).num_seconds().clamp(0, LONGEST_TTL_SECONDS);
    let mut occurrence = Uuid::encode_buffer();
    let parts = message::MessageParts {
        token,
        text,
        occurrence: push.occurrence_id.simple().encode_lower(&mut occurrence),
        ttl_seconds: ttl,
        expires_at: now.timestamp() + ttl,
        link: push.url.filter(|url| url.starts_with("https://")),
        push,
    };
    let mut message = Message::of(device, &parts);
    let bytes = serialize(&message);
    let limit = token_bytes(token) + LIMIT_BYTES;
    if bytes.len() <= limit {
        return bytes.into();
    }
    shorten(&mut message, text, limit);
    serialize(&message).into()
}

/// Drops as few parts as necessary to fit the message into `limit` bytes.
fn shorten(message: &mut Message<'_>, text: &PushText, limit: usize) {
    let body_bytes = truncate::escaped_bytes(&text.body);
    let bytes_for_text = |message: &Message<'_>| {
        let others = serialize(message).len() - body_bytes;
        limit.saturating_sub(others)
    };
    for part in message::DroppedPart::STEPS {
        message.drop_part(part);
        let max_bytes = bytes_for_text(message);
        if max_bytes >= body_bytes.min(MIN_TEXT_BYTES) {
            return message.set_text(truncate::to(&text.body, max_bytes));
        }
    }
    // Only the ids, the heading and the text are left.
    message.set_title(truncate::to(&text.title, TITLE_BYTES));
    let max_bytes = bytes_for_text(message);
    message.set_text(truncate::to(&text.body, max_bytes));
}

/// Returns the body of a request that only validates a token.
pub fn validate(token: &str) -> Bytes {
    let request = serde_json::json!({ "validate_only": true, "message": { "token": token } });
    request.to_string().into()
}

/// Returns the URL path of `messages:send`, below the endpoint.
pub(super) fn path(endpoint: &url::Url, project_id: &str) -> Result<String, SetupError> {
    if endpoint.query().is_some() || endpoint.fragment().is_some() {
        return Err(SetupError::Url("the FCM endpoint"));
    }
    Ok(format!("{}/v1/projects/{project_id}/messages:send", endpoint.path().trim_end_matches('/')))
}

fn serialize(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1_024);
    // Serializing strings and maps with string keys to memory cannot fail. If it did, FCM would
    // refuse the empty body.
    if serde_json::to_writer(&mut bytes, &Request { message }).is_err() {
        bytes.clear();
    }
    bytes
}

/// Returns the bytes of a request that do not count: the token, and the object around the message.
fn token_bytes(token: &str) -> usize {
    r#"{"message":}"#.len() + r#""token":"","#.len() + truncate::escaped_bytes(token)
}

#[cfg(test)]
mod tests;
