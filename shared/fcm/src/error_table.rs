//! FCM error table: maps a response of FCM to an [`Outcome`]. Pure.
//!
//! Implements the table "FCM Error Codes" of Firebase's documentation. `error.details[].errorCode`
//! and the field violations decide, and the status only if there are none: a 400 may have no
//! details, and a 502 may be an HTML page.

use super::outcome::{Code, MAX_RETRY_AFTER, Outcome, normalized};
use super::transport::Response;
use chrono::{DateTime, Utc};
use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// Refusal of the access token: the same request may succeed with a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AccessTokenRefused;

#[derive(Deserialize)]
struct Accepted<'a> {
    #[serde(borrow)]
    name: std::borrow::Cow<'a, str>,
}

/// Parts of an error body. All are absent if the body is no error body.
#[derive(Debug, Default)]
struct ErrorBody {
    /// `errorCode` of FCM's detail.
    fcm: Option<String>,
    /// Name of the `google.rpc.Code`.
    status: Option<String>,
    names_token: bool,
}

/// Maps a response to `messages:send` to an outcome.
pub(super) fn outcome(
    response: &Response,
    now: DateTime<Utc>,
) -> Result<Outcome, AccessTokenRefused> {
    let status = response.status.as_u16();
    if response.status.is_success() {
        return Ok(accepted(&response.body));
    }
    let error_body = error_body(&response.body);
    let code = error_body.fcm.as_deref();
    if status == 401 && code != Some("THIRD_PARTY_AUTH_ERROR") {
        return Err(AccessTokenRefused);
    }
    let retry_after = retry_after(&response.headers, now);
    Ok(match code {
        Some(code) => by_code(code, status, &error_body, retry_after),
        None => by_status(status, &error_body, retry_after),
    })
}

fn accepted(body: &[u8]) -> Outcome {
    match serde_json::from_slice::<Accepted<'_>>(body) {
        Ok(accepted) => Outcome::Sent { name: accepted.name.into_owned() },
        // A proxy answered instead of FCM, or the response was cut off after FCM had accepted the
        // message.
        Err(_) => unavailable("UNREADABLE_ANSWER".into(), None),
    }
}

fn by_code(
    code: &str,
    status: u16,
    error_body: &ErrorBody,
    retry_after: Option<Duration>,
) -> Outcome {
    let known = || normalized(code);
    match code {
        "UNREGISTERED" => Outcome::Gone { code: known() },
        "INVALID_ARGUMENT" if error_body.names_token => {
            Outcome::Gone { code: "INVALID_TOKEN".into() }
        }
        "INVALID_ARGUMENT" => Outcome::Rejected { code: known() },
        "SENDER_ID_MISMATCH" | "THIRD_PARTY_AUTH_ERROR" => Outcome::Refused { code: known() },
        "QUOTA_EXCEEDED" => Outcome::Throttled { retry_after, code: known() },
        "INTERNAL" | "UNAVAILABLE" => unavailable(known(), retry_after),
        _ => by_status(status, error_body, retry_after),
    }
}

fn by_status(status: u16, error_body: &ErrorBody, retry_after: Option<Duration>) -> Outcome {
    let named =
        |default: &'static str| error_body.status.as_deref().map_or(default.into(), normalized);
    match status {
        400 if error_body.names_token => Outcome::Gone { code: "INVALID_TOKEN".into() },
        400 => Outcome::Rejected { code: named("INVALID_ARGUMENT") },
        413 => Outcome::Rejected { code: "PAYLOAD_TOO_LARGE".into() },
        // The token is not named: the project or the endpoint does not exist.
        404 => Outcome::Misconfigured { code: "ENDPOINT_NOT_FOUND".into() },
        403 => Outcome::Misconfigured { code: named("PERMISSION_DENIED") },
        405 | 407 | 421 | 426 | 300..=399 => {
            Outcome::Misconfigured { code: format!("HTTP_{status}").into() }
        }
        429 => Outcome::Throttled { retry_after, code: named("TOO_MANY_REQUESTS") },
        408 | 425 => unavailable(format!("HTTP_{status}").into(), retry_after),
        _ if (400..=499).contains(&status) => {
            Outcome::Rejected { code: format!("HTTP_{status}").into() }
        }
        _ => unavailable(
            error_body.status.as_deref().map_or(format!("HTTP_{status}").into(), normalized),
            retry_after,
        ),
    }
}

fn unavailable(code: Code, retry_after: Option<Duration>) -> Outcome {
    Outcome::Unavailable { retry_after, code, maybe_delivered: true }
}

fn error_body(body: &[u8]) -> ErrorBody {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return ErrorBody::default() };
    let error = &body["error"];
    let mut error_body =
        ErrorBody { status: error["status"].as_str().map(str::to_owned), ..ErrorBody::default() };
    for detail in error["details"].as_array().into_iter().flatten() {
        if let Some(code) = detail["errorCode"].as_str() {
            error_body.fcm = Some(code.to_owned());
        }
        let violations = detail["fieldViolations"].as_array().into_iter().flatten();
        error_body.names_token |=
            violations.into_iter().any(|violation| violation["field"] == "message.token");
    }
    error_body
}

/// Parses `Retry-After` in either of its forms, seconds or a date (RFC 9110, section 10.2.3), cut
/// to [`MAX_RETRY_AFTER`]. A date counts from the `Date` of the response, or from `now` if there is
/// none. Returns `None` for anything else.
pub(super) fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that overflows is a longer wait.
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
