//! How a whole provider behaves, until it is changed again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The mode of all providers. The default is that everything works.
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

/// How the FCM endpoint behaves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct FcmMode {
    /// Every send is answered with this error: 400, 401, 403, 404, 429, 500, 502 (HTML), 503.
    pub status: Option<u16>,
    /// The `Retry-After` of those answers, in seconds.
    pub retry_after: Option<u64>,
    /// Every answer waits this long.
    pub latency_ms: u64,
    /// Connections break without an answer.
    pub down: bool,
    /// Requests are taken and never answered.
    pub hang: bool,
}

/// How the SES endpoint behaves.
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
    /// Every answer waits this long.
    pub latency_ms: u64,
    /// Connections break without an answer.
    pub down: bool,
    /// Requests are taken and never answered.
    pub hang: bool,
    /// `MaxSendRate` in `GetSendQuota`'s answer; 14 by default. Sends beyond it are not throttled.
    pub max_send_rate: Option<u32>,
    /// `Max24HourSend` in `GetSendQuota`'s answer; 50,000 by default. Sends beyond it are not
    /// refused.
    pub max_24_hour_send: Option<u32>,
}

/// How the token endpoint behaves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct OAuthMode {
    /// Every request is answered with this error: 400 `invalid_grant`, 401, 403, 5xx.
    pub status: Option<u16>,
    /// Every answer waits this long.
    pub latency_ms: u64,
    /// How long issued tokens live, in seconds.
    pub expires_in: Option<u64>,
    /// Connections break without an answer.
    pub down: bool,
}

/// The longest that a request is held unanswered.
pub(crate) const HOLD: Duration = Duration::from_secs(120);
