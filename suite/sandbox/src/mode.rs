//! Behaviour of a whole provider, until it is changed again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Mode of all providers. By default everything works.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Mode {
    /// The FCM endpoint.
    pub fcm: FcmMode,
    /// The SES endpoint.
    pub ses: SesMode,
    /// The token endpoint.
    pub oauth: OAuthMode,
}

/// Behaviour of the FCM endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct FcmMode {
    /// Every send is answered with this error: 400, 401, 403, 404, 429, 500, 502 (HTML), 503.
    pub status: Option<u16>,
    /// The `Retry-After` of those answers, in seconds.
    pub retry_after: Option<u64>,
    /// Delay of every answer.
    pub latency_ms: u64,
    /// Connections break without an answer.
    pub down: bool,
    /// Requests are read and never answered.
    pub hang: bool,
}

/// Behaviour of the SES endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct SesMode {
    /// Every send is answered with this status and `code`.
    pub status: Option<u16>,
    /// The error code of those answers, such as `Throttling`; by default one that goes with the
    /// status.
    pub code: Option<String>,
    /// The message of those answers.
    pub message: Option<String>,
    /// Delay of every answer.
    pub latency_ms: u64,
    /// Connections break without an answer.
    pub down: bool,
    /// Requests are read and never answered.
    pub hang: bool,
    /// `MaxSendRate` in `GetSendQuota`'s answer; 14 by default. Sends beyond it are not throttled.
    pub max_send_rate: Option<u32>,
    /// `Max24HourSend` in `GetSendQuota`'s answer; 50,000 by default. Sends beyond it are not
    /// refused.
    pub max_24_hour_send: Option<u32>,
}

/// Behaviour of the token endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct OAuthMode {
    /// Every request is answered with this error: 400 `invalid_grant`, 401, 403, 5xx.
    pub status: Option<u16>,
    /// Delay of every answer.
    pub latency_ms: u64,
    /// Lifetime of issued tokens, in seconds.
    pub expires_in: Option<u64>,
    /// Connections break without an answer.
    pub down: bool,
}

/// Longest time for which a request is kept open without an answer.
pub(crate) const HOLD: Duration = Duration::from_secs(120);
