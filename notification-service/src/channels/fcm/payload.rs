//! The JSON of `messages:send`, made from a plain push. Pure.
//!
//! What the device shows travels in `notification`, our ids in `data`; the block of the device's
//! own platform carries the urgency, the expiry and the occurrence's id as collapse key, so that a
//! repeat replaces the first on the device. Only that block is written.

mod message;
mod truncate;

use super::setup_error::SetupError;
use crate::channels::templates::{Notice, PushText};
use crate::device::DeviceType;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use message::{Message, Request};
use shared::contract::Priority;
use std::collections::BTreeMap;
use uuid::Uuid;

/// FCM's limit for notification and data together. Measured over the whole message but for its
/// token: a little stricter than FCM, and the same for every platform.
pub const LIMIT_BYTES: usize = 4_096;

/// FCM's longest time to live.
const LONGEST_TTL_SECONDS: i64 = 28 * 24 * 60 * 60;

/// A push to one device.
#[derive(Debug, Clone, Copy)]
pub struct Push<'a> {
    /// The occurrence: on the device a later message of the same one replaces the earlier.
    pub occurrence_id: Uuid,
    /// Who asked for it: `reminder`, or another service's word.
    pub source: &'a str,
    /// The item it belongs to.
    pub item_id: &'a str,
    /// The heading; none: the word for a reminder in the user's language.
    pub title: Option<&'a str>,
    /// The text.
    pub message: &'a str,
    /// What a tap opens.
    pub url: Option<&'a str>,
    /// The client's own pairs, passed on in `data`. Keys that FCM keeps for itself are left out: it
    /// would refuse the whole message for them.
    pub data: &'a BTreeMap<String, String>,
    /// How urgent it is.
    pub priority: Priority,
    /// The time it reminds of, which may be long after the delivery.
    pub date: DateTime<Utc>,
    /// The zone in which that time is written.
    pub time_zone: Tz,
    /// After this FCM drops it undelivered.
    pub expires_at: DateTime<Utc>,
    /// BCP 47 locale of our own words and of the time.
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

/// A text of at most so many bytes of JSON is sent whole, at the cost of the client's pairs and of
/// the link. A longer one is cut, but to no less than this for their sake.
const WHOLE_TEXT_BYTES: usize = 3_000;
/// The longest heading of a push that would not fit otherwise, in bytes of JSON: 200 characters of
/// four bytes.
const TITLE_BYTES: usize = 800;

/// The body of a request that sends `push`, which shows `text`. A push that is too large is made to
/// fit: the web's second copy of the link goes first, then the client's pairs, then the link, and
/// then the end of the text. Our ids always stay: by them the app finds the whole.
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
    let parts = message::Parts {
        token,
        text,
        occurrence: push.occurrence_id.simple().encode_lower(&mut occurrence),
        ttl_seconds: ttl,
        expires_at: now.timestamp() + ttl,
        link: push.url.filter(|url| url.starts_with("https://")),
        push,
    };
    let mut message = Message::of(device, &parts);
    let bytes = written(&message);
    let limit = token_bytes(token) + LIMIT_BYTES;
    if bytes.len() <= limit {
        return bytes.into();
    }
    shorten(&mut message, text, limit);
    written(&message).into()
}

/// Leaves out as little as makes the message fit into so many bytes.
fn shorten(message: &mut Message<'_>, text: &PushText, limit: usize) {
    let body_bytes = truncate::escaped_bytes(&text.body);
    let room_for_text = |message: &Message<'_>| {
        let others = written(message).len() - body_bytes;
        limit.saturating_sub(others)
    };
    for left_out in message::LeftOut::STEPS {
        message.leave_out(left_out);
        let room = room_for_text(message);
        if room >= body_bytes.min(WHOLE_TEXT_BYTES) {
            return message.set_text(truncate::to(&text.body, room));
        }
    }
    // Nothing is left but the ids, the heading and the text.
    message.set_title(truncate::to(&text.title, TITLE_BYTES));
    let room = room_for_text(message);
    message.set_text(truncate::to(&text.body, room));
}

/// The body of a request that only asks whether the token is one.
pub fn validate(token: &str) -> Bytes {
    let request = serde_json::json!({ "validate_only": true, "message": { "token": token } });
    request.to_string().into()
}

/// The URL path of `messages:send`, below the endpoint.
pub(super) fn path(endpoint: &url::Url, project_id: &str) -> Result<String, SetupError> {
    if endpoint.query().is_some() || endpoint.fragment().is_some() {
        return Err(SetupError::Url("the FCM endpoint"));
    }
    Ok(format!("{}/v1/projects/{project_id}/messages:send", endpoint.path().trim_end_matches('/')))
}

fn written(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1_024);
    // Strings and maps with string keys into memory: this cannot fail; were it to, FCM would refuse
    // the empty body.
    if serde_json::to_writer(&mut bytes, &Request { message }).is_err() {
        bytes.clear();
    }
    bytes
}

/// What of the request's length does not count: the token, and the object around the message.
fn token_bytes(token: &str) -> usize {
    r#"{"message":}"#.len() + r#""token":"","#.len() + truncate::escaped_bytes(token)
}

#[cfg(test)]
mod tests;
