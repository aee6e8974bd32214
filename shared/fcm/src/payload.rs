//! Builds the JSON body of `messages:send` from a message. Pure.
//!
//! `notification` holds the text that the device shows, and `data` the pairs of the app. The block
//! of the device's platform carries the urgency, the expiry and the collapse key, so that a repeat
//! replaces the first message on the device. Blocks of other platforms are left out.

mod message;
mod truncate;

use super::setup_error::SetupError;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use message::{JsonMessage, Request};
use std::collections::BTreeMap;

/// FCM's limit for notification and data together. Applied to the whole message without its token,
/// which is slightly stricter than FCM and the same for every platform.
pub const LIMIT_BYTES: usize = 4_096;

/// Longest time to live that FCM accepts.
const LONGEST_TTL_SECONDS: i64 = 28 * 24 * 60 * 60;

/// Platform of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Platform {
    /// An Android device.
    Android,
    /// An iPhone or iPad.
    Ios,
    /// A browser.
    Web,
}

/// Urgency of a message on the device. The message is always delivered at once, as Doze would delay
/// one with a lower delivery priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Priority {
    /// The platform's default.
    Normal,
    /// The message may disturb: a heads-up notification, or a time-sensitive one.
    High,
}

/// Message to one device: finished texts, and data for the app.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Registration token of the device.
    pub token: &'a str,
    /// Platform of the device.
    pub platform: Platform,
    /// Heading that the device shows.
    pub title: &'a str,
    /// Text that the device shows.
    pub body: &'a str,
    /// Pairs of `data` without which the app cannot use the message. They come first, in this
    /// order, and are always kept.
    pub ids: &'a [(&'a str, &'a str)],
    /// URL that a tap opens: the pair `url` of `data`, and the link of a web push if it is https.
    pub url: Option<&'a str>,
    /// Further pairs of `data`. Those are left out whose key is `url`, one of `ids`, or reserved by
    /// FCM, which would refuse the whole message.
    pub data: &'a BTreeMap<String, String>,
    /// Key by which a later message replaces an earlier one on the device: at most 32 characters of
    /// the URL-safe base64 alphabet (RFC 8030, section 5.4).
    pub collapse_key: &'a str,
    /// Urgency on the device.
    pub priority: Priority,
    /// Time after which FCM drops the message undelivered.
    pub expires_at: DateTime<Utc>,
}

/// Least size of a truncated text, in bytes of JSON. Parts of the message are dropped before the
/// text becomes shorter than this.
const MIN_TEXT_BYTES: usize = 3_000;
/// Longest heading of a message that would not fit otherwise, in bytes of JSON: 200 characters of
/// four bytes.
const TITLE_BYTES: usize = 800;

/// Returns the body of a request that sends a message. If the message is too large, parts of it are
/// dropped in this order: the second copy of the link in a web push, the further pairs, the link,
/// and the end of the text. The ids are always kept, so that the app can fetch the rest. The time
/// to live counts from `now`.
#[must_use]
pub fn send(message: &Message<'_>, now: DateTime<Utc>) -> Bytes {
    let mut json = JsonMessage::of(message, now);
    let bytes = serialize(&json);
    let limit = token_bytes(message.token) + LIMIT_BYTES;
    if bytes.len() <= limit {
        return bytes.into();
    }
    shorten(&mut json, message, limit);
    serialize(&json).into()
}

/// Drops as few parts as necessary to fit the message into `limit` bytes.
fn shorten(json: &mut JsonMessage<'_>, message: &Message<'_>, limit: usize) {
    let body_bytes = truncate::escaped_bytes(message.body);
    let bytes_for_text = |json: &JsonMessage<'_>| {
        let others = serialize(json).len() - body_bytes;
        limit.saturating_sub(others)
    };
    for part in message::DroppedPart::STEPS {
        json.drop_part(part);
        let max_bytes = bytes_for_text(json);
        if max_bytes >= body_bytes.min(MIN_TEXT_BYTES) {
            return json.set_text(truncate::to(message.body, max_bytes));
        }
    }
    // Only the ids, the heading and the text are left.
    json.set_title(truncate::to(message.title, TITLE_BYTES));
    let max_bytes = bytes_for_text(json);
    json.set_text(truncate::to(message.body, max_bytes));
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

fn serialize(message: &JsonMessage<'_>) -> Vec<u8> {
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
