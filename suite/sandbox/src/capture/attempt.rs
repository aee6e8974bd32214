//! Every request to send, accepted or not.

use chrono::{DateTime, Utc};
use serde::Serialize;

/// One request to send and how it was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// When the request arrived.
    pub at: DateTime<Utc>,
    /// `push` or `email`.
    pub kind: &'static str,
    /// The token or the first recipient.
    pub address: String,
    /// The answer: `200`, or the status and the error's code, such as `404 UNREGISTERED`.
    pub answer: String,
    /// Whether FCM was asked to validate only.
    pub validate_only: bool,
}
