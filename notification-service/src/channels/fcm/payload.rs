//! The JSON of `messages:send`, made from a plain push. Pure.
//!
//! What the device shows travels in `notification`, our ids in `data`; the block of the device's own platform carries
//! the urgency, the expiry and the occurrence's id as collapse key, so that a repeat replaces the first on the device.
//! Only that block is written.

mod message;
mod shorten;

use super::setup::SetupError;
use crate::channels::templates::{Notice, PushText};
use crate::device::DeviceType;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use message::{Message, Request};
use shared::contract::Priority;
use std::collections::BTreeMap;
use uuid::Uuid;

/// FCM's limit for notification and data together. Measured over the whole message but for its token: a little
/// stricter than FCM, and the same for every platform.
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
    /// The client's own pairs, passed on in `data`. Keys that FCM keeps for itself are left out: it would refuse the
    /// whole message for them.
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

/// What to do with a push that is too large even with the shortest text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// It is not sent.
    #[default]
    Refuse,
    /// The client's own pairs are left out, all of them.
    DropData,
}

/// The push does not fit into [`LIMIT_BYTES`], whatever is shortened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the push does not fit into {LIMIT_BYTES} bytes")]
pub struct TooLarge;

/// The body of a request that sends `push`, which shows `text`; shortened if the whole would be too large.
pub fn send(
    token: &str,
    device: DeviceType,
    push: &Push<'_>,
    text: &PushText,
    now: DateTime<Utc>,
    overflow: Overflow,
) -> Result<Bytes, TooLarge> {
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
    let overhead = token_bytes(token);
    if bytes.len() - overhead <= LIMIT_BYTES {
        return Ok(bytes.into());
    }
    for frugality in message::Frugality::steps(overflow) {
        message.save(frugality);
        let excess = written(&message).len().saturating_sub(overhead + LIMIT_BYTES);
        if let Some(shorter) = shorten::by(&text.body, excess) {
            message.set_text(&shorter);
            return Ok(written(&message).into());
        }
    }
    Err(TooLarge)
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
    // Strings and maps with string keys into memory: this cannot fail; were it to, FCM would refuse the empty body.
    if serde_json::to_writer(&mut bytes, &Request { message }).is_err() {
        bytes.clear();
    }
    bytes
}

/// What of the request's length does not count: the token, and the object around the message.
fn token_bytes(token: &str) -> usize {
    r#"{"message":}"#.len() + r#""token":"","#.len() + shorten::escaped_bytes(token)
}

#[cfg(test)]
mod tests;
