//! Messages that the providers accepted, and counts.

mod attempt;
mod stats;
mod store;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

pub use attempt::Attempt;
pub use stats::Stats;
pub(crate) use store::Store;

/// A message a provider accepted.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Captured {
    /// Position in the order of arrival, from 1.
    pub seq: u64,
    /// Time at which the request arrived.
    pub at: DateTime<Utc>,
    /// Id that the provider assigned.
    pub message_id: String,
    /// Kind and content.
    #[serde(flatten)]
    pub kind: Kind,
    /// The request: FCM's message as JSON, the mail's source or SES's parameters as text.
    pub raw: Value,
}

impl Captured {
    /// The push, if the message is one.
    pub fn push(&self) -> Option<&Push> {
        match &self.kind {
            Kind::Push(push) => Some(push),
            Kind::Email(_) => None,
        }
    }

    /// The e-mail, if the message is one.
    pub fn email(&self) -> Option<&Email> {
        match &self.kind {
            Kind::Email(email) => Some(email),
            Kind::Push(_) => None,
        }
    }
}

/// The kinds of message.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Kind {
    /// Accepted by the FCM endpoint.
    Push(Push),
    /// Accepted by the SES endpoint.
    Email(Email),
}

impl Kind {
    /// `push` or `email`, as in the JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Push(_) => "push",
            Self::Email(_) => "email",
        }
    }
}

/// A push message, as a device would show it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Push {
    /// The Firebase project of the request.
    pub project: String,
    /// The device's registration token; empty for a topic or condition.
    pub token: String,
    /// The title shown.
    pub title: Option<String>,
    /// The text shown.
    pub body: Option<String>,
    /// URL that a click opens: webpush's link, else `data.url` or `data.link`.
    pub link: Option<String>,
    /// The message's data pairs.
    pub data: BTreeMap<String, String>,
    /// The key under which a repeat replaces the first: android's collapse key, APNs' collapse id
    /// or webpush's topic.
    pub collapse_key: Option<String>,
    /// The `android` block.
    pub android: Option<Value>,
    /// The `apns` block.
    pub apns: Option<Value>,
    /// The `webpush` block.
    pub webpush: Option<Value>,
}

/// An e-mail, as a mailbox would show it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Email {
    /// The sender's address.
    pub from: String,
    /// The recipients' addresses (the envelope's).
    pub to: Vec<String>,
    /// The subject.
    pub subject: String,
    /// The plain text part.
    pub text: Option<String>,
    /// The HTML part.
    pub html: Option<String>,
    /// The headers, decoded; the last one of a repeated header.
    pub headers: BTreeMap<String, String>,
    /// The SES configuration set of the request.
    pub configuration_set: Option<String>,
    /// The SES template of the request.
    pub template: Option<String>,
}
