//! SES error table: maps an error of SES to an [`Outcome`]. Pure.
//!
//! The error code decides ("Common Errors" and the errors of each call in the Amazon SES API
//! Reference), then the message if one code has several meanings, and the HTTP status if the code
//! is unknown.

use crate::channels::outcome::{Outcome, unrecognised};
use aws_sdk_ses::config::http::HttpResponse;
use aws_sdk_ses::error::{ProvideErrorMetadata, SdkError};
use contract::Reason;
use std::error::Error;
use std::time::Duration;

/// Wait after "Maximum sending rate exceeded".
const RATE_WAIT: Duration = Duration::from_secs(1);
/// Wait after "Daily message quota exceeded". The quota recovers gradually over 24 hours.
const QUOTA_WAIT: Duration = Duration::from_secs(10 * 60);

/// Longest code that is logged. Those of AWS have at most 41 characters.
const LONGEST_CODE: usize = 64;

/// Returns the reason code for a code that stands for a fault of the account, its permissions or
/// our settings: every e-mail would fail.
fn misconfiguration(code: &str) -> Option<Reason> {
    Some(match code {
        "AccountSendingPaused" => Reason::AccountSendingPaused,
        "ConfigurationSetSendingPaused" => Reason::ConfigurationSetSendingPaused,
        "ConfigurationSetDoesNotExist" => Reason::ConfigurationSetDoesNotExist,
        "MailFromDomainNotVerified" => Reason::MailFromDomainNotVerified,
        "FromEmailAddressNotVerified" => Reason::SenderNotVerified,
        "TemplateDoesNotExist" => Reason::TemplateDoesNotExist,
        "InvalidTemplate" | "InvalidRenderingParameter" | "MissingRenderingAttribute" => {
            Reason::InvalidTemplate
        }
        "AccessDenied"
        | "NotAuthorized"
        | "UnauthorizedOperation"
        | "OptInRequired"
        | "SubscriptionRequired" => Reason::AccessDenied,
        "AuthFailure"
        | "ExpiredToken"
        | "IncompleteSignature"
        | "InvalidClientTokenId"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenId"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClient" => Reason::CredentialsRefused,
        "RequestExpired" | "RequestTimeTooSkewed" => Reason::RequestExpired,
        "InvalidAction" | "MissingAction" => Reason::InvalidAction,
        _ => return None,
    })
}

/// Maps a failed call to an outcome. `source` is the sender's address, which decides if an
/// unverified address is our fault.
pub(super) fn failure<E: ProvideErrorMetadata>(
    error: &SdkError<E, HttpResponse>,
    source: &str,
) -> Outcome {
    match error {
        SdkError::ServiceError(response) => {
            let (code, message) = (response.err().code(), response.err().message());
            service_error(
                code,
                message.unwrap_or_default(),
                response.raw().status().as_u16(),
                source,
            )
        }
        SdkError::ConstructionFailure(_) => Outcome::Rejected { reason: Reason::NotWritable },
        SdkError::TimeoutError(_) => unavailable(Reason::Timeout, true),
        SdkError::DispatchFailure(failure) => {
            let unclassified = failure.is_other() && failure.as_other().is_none();
            no_response(
                failure.as_connector_error().map(|error| error as _),
                failure.is_timeout(),
                unclassified,
            )
        }
        _ => unavailable(Reason::UnreadableAnswer, true),
    }
}

/// Maps a response without an error to an outcome. A response without a message id is not from SES,
/// or was cut off.
pub(super) fn accepted(message_id: String) -> Outcome {
    if message_id.is_empty() {
        return unavailable(Reason::UnreadableAnswer, true);
    }
    Outcome::Sent { provider_id: message_id }
}

fn no_response(
    error: Option<&(dyn Error + 'static)>,
    timed_out: bool,
    unclassified: bool,
) -> Outcome {
    let client =
        chain(error).find_map(|error| error.downcast_ref::<hyper_util::client::legacy::Error>());
    match client {
        Some(client) if client.is_connect() => unavailable(Reason::ConnectFailed, false),
        _ if timed_out => unavailable(Reason::Timeout, true),
        // No request was made, because there were no credentials to sign it with.
        None if unclassified => Outcome::Misconfigured { reason: Reason::NoCredentials },
        _ => unavailable(Reason::ConnectionLost, true),
    }
}

fn service_error(code: Option<&str>, message: &str, status: u16, source: &str) -> Outcome {
    let code = code.map(|code| code.strip_suffix("Exception").unwrap_or(code)).unwrap_or_default();
    if let Some(reason) = misconfiguration(code) {
        return Outcome::Misconfigured { reason };
    }
    match code {
        "Throttling" | "TooManyRequests" | "RequestLimitExceeded" | "LimitExceeded" => {
            throttled(message)
        }
        "MessageRejected" => rejected(message, source),
        "InvalidParameterValue" => Outcome::Rejected { reason: Reason::InvalidParameterValue },
        _ => match status {
            429 => throttled(message),
            401 | 403 | 404 | 300..=399 => {
                Outcome::Misconfigured { reason: unknown(code, status, false) }
            }
            400..=499 => Outcome::Rejected { reason: unknown(code, status, false) },
            _ => unavailable(outage(code, status), true),
        },
    }
}

/// Returns the reason code of an answer that stands for an outage.
fn outage(code: &str, status: u16) -> Reason {
    match (code, status) {
        ("InternalFailure", _) | ("", 500) => Reason::Internal,
        ("ServiceUnavailable", _) | ("", 502..=504) => Reason::Unavailable,
        _ => unknown(code, status, true),
    }
}

/// Logs a code that is not listed, unless it may quote an address.
fn unknown(code: &str, status: u16, may_recur: bool) -> Reason {
    let is_code = (1..=LONGEST_CODE).contains(&code.len())
        && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    if is_code {
        unrecognised("SES", code, may_recur)
    } else {
        unrecognised("SES", &format!("HTTP_{status}"), may_recur)
    }
}

fn throttled(message: &str) -> Outcome {
    let message = message.to_ascii_lowercase();
    let (retry_after, reason) = match () {
        () if message.contains("quota") => (Some(QUOTA_WAIT), Reason::DailyQuotaExceeded),
        () if message.contains("rate") => (Some(RATE_WAIT), Reason::SendingRateExceeded),
        () => (None, Reason::Throttling),
    };
    Outcome::Throttled { retry_after, reason }
}

/// Maps `MessageRejected`, usually a fault of the e-mail. The same code stands for an unverified
/// sender and for a paused account, in which case every e-mail would fail.
fn rejected(message: &str, source: &str) -> Outcome {
    let message = message.to_ascii_lowercase();
    if message.contains("sending paused") || message.contains("sending suspended") {
        return Outcome::Misconfigured { reason: Reason::AccountSendingPaused };
    }
    let source = source.to_ascii_lowercase();
    let domain = source.split('@').next_back().unwrap_or_default();
    let words = message.split([' ', ',', ':', '<', '>', '"']);
    let is_ours = |word: &str| word == source || word.trim_end_matches('.') == domain;
    if message.contains("not verified") && !domain.is_empty() && words.into_iter().any(is_ours) {
        return Outcome::Misconfigured { reason: Reason::SenderNotVerified };
    }
    Outcome::Rejected { reason: Reason::MessageRejected }
}

fn unavailable(reason: Reason, maybe_delivered: bool) -> Outcome {
    Outcome::Unavailable { retry_after: None, reason, maybe_delivered }
}

fn chain<'a>(
    error: Option<&'a (dyn Error + 'static)>,
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error, |&error| error.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "reminders@example.org";

    fn outcome(status: u16, code: &str, message: &str) -> Outcome {
        service_error(Some(code), message, status, SOURCE)
    }

    #[test]
    fn waits_longer_for_quota_than_for_rate() {
        let rate = outcome(400, "Throttling", "Maximum sending rate exceeded.");
        assert_eq!(
            rate,
            Outcome::Throttled {
                retry_after: Some(RATE_WAIT),
                reason: Reason::SendingRateExceeded
            }
        );
        let quota = outcome(400, "ThrottlingException", "Daily message quota exceeded.");
        assert_eq!(
            quota,
            Outcome::Throttled {
                retry_after: Some(QUOTA_WAIT),
                reason: Reason::DailyQuotaExceeded
            }
        );
        let other = outcome(400, "Throttling", "Slow down.");
        assert_eq!(other, Outcome::Throttled { retry_after: None, reason: Reason::Throttling });
    }

    #[test]
    fn is_rejected_when_message_is_rejected() {
        let recipient = "Email address is not verified. The following identities failed the check \
                         in region EU-WEST-1: ada@example.com";
        for message in ["Email contains a virus", recipient, ""] {
            let parked = Outcome::Rejected { reason: Reason::MessageRejected };
            assert_eq!(outcome(400, "MessageRejected", message), parked);
        }
        let invalid = Outcome::Rejected { reason: Reason::InvalidParameterValue };
        assert_eq!(outcome(400, "InvalidParameterValue", "Domain contains dot-dot"), invalid);
    }

    #[test]
    fn is_misconfigured_when_sender_is_unverified() {
        for identity in
            ["reminders@example.org", "Reminders <Reminders@Example.org>", "example.org"]
        {
            let message = format!(
                "Email address is not verified. The following identities failed the check: \
                 {identity}"
            );
            let misconfigured = Outcome::Misconfigured { reason: Reason::SenderNotVerified };
            assert_eq!(outcome(400, "MessageRejected", &message), misconfigured);
        }
    }

    #[test]
    fn is_misconfigured_when_every_email_would_fail() {
        let cases = [
            (400, "AccountSendingPausedException", Reason::AccountSendingPaused),
            (400, "ConfigurationSetSendingPausedException", Reason::ConfigurationSetSendingPaused),
            (400, "ConfigurationSetDoesNotExist", Reason::ConfigurationSetDoesNotExist),
            (400, "MailFromDomainNotVerifiedException", Reason::MailFromDomainNotVerified),
            (400, "FromEmailAddressNotVerifiedException", Reason::SenderNotVerified),
            (400, "TemplateDoesNotExist", Reason::TemplateDoesNotExist),
            (400, "MissingRenderingAttributeException", Reason::InvalidTemplate),
            (403, "AccessDenied", Reason::AccessDenied),
            (403, "InvalidClientTokenId", Reason::CredentialsRefused),
            (403, "SignatureDoesNotMatch", Reason::CredentialsRefused),
            (403, "SomethingNew", Reason::UnrecognisedCode),
        ];
        for (status, code, reason) in cases {
            assert_eq!(outcome(status, code, ""), Outcome::Misconfigured { reason }, "{code}");
        }
        let suspended = outcome(400, "MessageRejected", "Sending suspended for this account.");
        assert_eq!(suspended, Outcome::Misconfigured { reason: Reason::AccountSendingPaused });
    }

    #[test]
    fn is_unavailable_in_outage() {
        for (status, code, reason) in [
            (500, "InternalFailure", Reason::Internal),
            (500, "", Reason::Internal),
            (503, "ServiceUnavailable", Reason::Unavailable),
            (502, "", Reason::Unavailable),
            (504, "", Reason::Unavailable),
            (503, "SomethingNew", Reason::UnrecognisedCode),
        ] {
            assert_eq!(outcome(status, code, ""), unavailable(reason, true), "{status} {code}");
        }
    }

    #[test]
    fn keeps_addresses_out_of_reason() {
        let odd = outcome(400, "bad address ada@example.com", "");
        assert_eq!(odd, Outcome::Rejected { reason: Reason::UnrecognisedCode });
    }
}
