//! Requests to send, accepted or not.

use chrono::{DateTime, Utc};
use serde::Serialize;

/// A request to send, and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Time at which the request arrived.
    pub at: DateTime<Utc>,
    /// `push` or `email`.
    pub kind: &'static str,
    /// The token or the first recipient.
    pub address: String,
    /// The answer: `200`, or the status and the error's code, such as `404 UNREGISTERED`.
    pub answer: String,
    /// `true` if FCM was asked to validate only.
    pub validate_only: bool,
}
