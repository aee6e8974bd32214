//! What an answer of FCM means. Pure.
//!
//! The table of "FCM Error Codes" in Firebase's documentation, read by `error.details[].errorCode`
//! and the field violations first and by the status only where there are none: a 400 may have no
//! details, a 502 may be a page of HTML.

use super::transport::Answer;
use crate::channels::outcome::{MAX_RETRY_AFTER, Outcome, Reason, reason_from_code};
use chrono::{DateTime, Utc};
use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// The meaning of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The attempt has ended.
    Ended(Outcome),
    /// Our access token was not accepted: with a new one it may be.
    TokenRefused,
}

#[derive(Deserialize)]
struct Accepted<'a> {
    #[serde(borrow)]
    name: std::borrow::Cow<'a, str>,
}

/// What the parts of an error body say; all absent when it is none.
#[derive(Debug, Default)]
struct Said {
    /// `errorCode` of FCM's own detail.
    fcm: Option<String>,
    /// `google.rpc.Code`'s name.
    status: Option<String>,
    names_token: bool,
}

/// Reads an answer to `messages:send`.
pub(super) fn meaning(answer: &Answer, now: DateTime<Utc>) -> Meaning {
    let status = answer.status.as_u16();
    if answer.status.is_success() {
        return Meaning::Ended(accepted(&answer.body));
    }
    let said = said(&answer.body);
    let code = said.fcm.as_deref();
    if status == 401 && code != Some("THIRD_PARTY_AUTH_ERROR") {
        return Meaning::TokenRefused;
    }
    let retry_after = retry_after(&answer.headers, now);
    Meaning::Ended(match code {
        Some(code) => by_code(code, status, &said, retry_after),
        None => by_status(status, &said, retry_after),
    })
}

fn accepted(body: &[u8]) -> Outcome {
    match serde_json::from_slice::<Accepted<'_>>(body) {
        Ok(accepted) => Outcome::Sent { provider_id: accepted.name.into_owned() },
        // Something between us and FCM answered, or the answer was cut off after FCM had taken the
        // message.
        Err(_) => unavailable("UNREADABLE_ANSWER".into(), None),
    }
}

fn by_code(code: &str, status: u16, said: &Said, retry_after: Option<Duration>) -> Outcome {
    let reason = reason_from_code(code);
    match code {
        "UNREGISTERED" => Outcome::Gone { reason },
        "INVALID_ARGUMENT" if said.names_token => Outcome::Gone { reason: "INVALID_TOKEN".into() },
        "INVALID_ARGUMENT" => Outcome::Rejected { reason },
        "SENDER_ID_MISMATCH" | "THIRD_PARTY_AUTH_ERROR" => Outcome::Refused { reason },
        "QUOTA_EXCEEDED" => Outcome::Throttled { retry_after, reason },
        "INTERNAL" | "UNAVAILABLE" => unavailable(reason, retry_after),
        _ => by_status(status, said, retry_after),
    }
}

fn by_status(status: u16, said: &Said, retry_after: Option<Duration>) -> Outcome {
    let named =
        |default: &'static str| said.status.as_deref().map_or(default.into(), reason_from_code);
    match status {
        400 if said.names_token => Outcome::Gone { reason: "INVALID_TOKEN".into() },
        400 => Outcome::Rejected { reason: named("INVALID_ARGUMENT") },
        413 => Outcome::Rejected { reason: "PAYLOAD_TOO_LARGE".into() },
        // Not a word of the token: the project or the endpoint is not there.
        404 => Outcome::Misconfigured { reason: "ENDPOINT_NOT_FOUND".into() },
        403 => Outcome::Misconfigured { reason: named("PERMISSION_DENIED") },
        405 | 407 | 421 | 426 | 300..=399 => {
            Outcome::Misconfigured { reason: format!("HTTP_{status}").into() }
        }
        429 => Outcome::Throttled { retry_after, reason: named("TOO_MANY_REQUESTS") },
        408 | 425 => unavailable(format!("HTTP_{status}").into(), retry_after),
        _ if (400..=499).contains(&status) => {
            Outcome::Rejected { reason: format!("HTTP_{status}").into() }
        }
        _ => unavailable(
            said.status.as_deref().map_or(format!("HTTP_{status}").into(), reason_from_code),
            retry_after,
        ),
    }
}

fn unavailable(reason: Reason, retry_after: Option<Duration>) -> Outcome {
    Outcome::Unavailable { retry_after, reason, maybe_delivered: true }
}

fn said(body: &[u8]) -> Said {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return Said::default() };
    let error = &body["error"];
    let mut said = Said { status: error["status"].as_str().map(str::to_owned), ..Said::default() };
    for detail in error["details"].as_array().into_iter().flatten() {
        if let Some(code) = detail["errorCode"].as_str() {
            said.fcm = Some(code.to_owned());
        }
        let violations = detail["fieldViolations"].as_array().into_iter().flatten();
        said.names_token |=
            violations.into_iter().any(|violation| violation["field"] == "message.token");
    }
    said
}

/// Reads `Retry-After` in either of its forms, seconds or a date (RFC 9110, section 10.2.3), cut to
/// [`MAX_RETRY_AFTER`]. A date counts from the answer's own `Date`, and from `now` where there is
/// none. Returns `None` for anything else.
pub(super) fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number too large for its type is only a longer wait.
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
    }
    let at = DateTime::parse_from_rfc2822(value).ok()?.to_utc();
    let said_at =
        headers.get(DATE).and_then(|date| DateTime::parse_from_rfc2822(date.to_str().ok()?).ok());
    let wait = at.signed_duration_since(said_at.map_or(now, |date| date.to_utc()));
    Some(wait.to_std().unwrap_or(Duration::ZERO).min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests;
