//! SES error table: maps an error of SES to an [`Outcome`]. Pure.
//!
//! The error code decides ("Common Errors" and the errors of each call in the Amazon SES API
//! Reference), then the message if one code has several meanings, and the HTTP status if the code
//! is unknown.

use crate::channels::outcome::{Outcome, Reason, reason_from_code};
use aws_sdk_ses::config::http::HttpResponse;
use aws_sdk_ses::error::{ProvideErrorMetadata, SdkError};
use std::error::Error;
use std::time::Duration;

/// Wait after "Maximum sending rate exceeded".
const RATE_WAIT: Duration = Duration::from_secs(1);
/// Wait after "Daily message quota exceeded". The quota recovers gradually over 24 hours.
const QUOTA_WAIT: Duration = Duration::from_secs(10 * 60);

/// Codes for faults of the account, its permissions or our settings: every e-mail would fail.
const MISCONFIGURATION_CODES: [&str; 26] = [
    "AccountSendingPaused",
    "ConfigurationSetSendingPaused",
    "ConfigurationSetDoesNotExist",
    "MailFromDomainNotVerified",
    "FromEmailAddressNotVerified",
    "TemplateDoesNotExist",
    "InvalidTemplate",
    "InvalidRenderingParameter",
    "MissingRenderingAttribute",
    "AccessDenied",
    "NotAuthorized",
    "UnauthorizedOperation",
    "AuthFailure",
    "OptInRequired",
    "InvalidClientTokenId",
    "UnrecognizedClient",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenId",
    "ExpiredToken",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "InvalidAction",
    "MissingAction",
    "SubscriptionRequired",
];

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
        SdkError::ConstructionFailure(_) => Outcome::Rejected { reason: "NOT_WRITABLE".into() },
        SdkError::TimeoutError(_) => unavailable("TIMEOUT".into(), true),
        SdkError::DispatchFailure(failure) => {
            let unclassified = failure.is_other() && failure.as_other().is_none();
            no_response(
                failure.as_connector_error().map(|error| error as _),
                failure.is_timeout(),
                unclassified,
            )
        }
        _ => unavailable("UNREADABLE_ANSWER".into(), true),
    }
}

/// Maps a response without an error to an outcome. A response without a message id is not from SES,
/// or was cut off.
pub(super) fn accepted(message_id: String) -> Outcome {
    if message_id.is_empty() {
        return unavailable("UNREADABLE_ANSWER".into(), true);
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
        Some(client) if client.is_connect() => unavailable("CONNECT_FAILED".into(), false),
        _ if timed_out => unavailable("TIMEOUT".into(), true),
        // No request was made, because there were no credentials to sign it with.
        None if unclassified => Outcome::Misconfigured { reason: "NO_CREDENTIALS".into() },
        _ => unavailable("CONNECTION_LOST".into(), true),
    }
}

fn service_error(code: Option<&str>, message: &str, status: u16, source: &str) -> Outcome {
    let code = code.map(|code| code.strip_suffix("Exception").unwrap_or(code)).unwrap_or_default();
    let reason =
        || if code.is_empty() { format!("HTTP_{status}").into() } else { reason_from_code(code) };
    match code {
        "Throttling" | "TooManyRequests" | "RequestLimitExceeded" | "LimitExceeded" => {
            throttled(message, reason())
        }
        "MessageRejected" => rejected(message, source),
        code if MISCONFIGURATION_CODES.contains(&code) => {
            Outcome::Misconfigured { reason: reason() }
        }
        _ => match status {
            429 => throttled(message, reason()),
            401 | 403 | 404 | 300..=399 => Outcome::Misconfigured { reason: reason() },
            400..=499 => Outcome::Rejected { reason: reason() },
            _ => unavailable(reason(), true),
        },
    }
}

fn throttled(message: &str, reason: Reason) -> Outcome {
    let message = message.to_ascii_lowercase();
    let (retry_after, reason) = match () {
        () if message.contains("quota") => (Some(QUOTA_WAIT), "DAILY_QUOTA_EXCEEDED".into()),
        () if message.contains("rate") => (Some(RATE_WAIT), "SENDING_RATE_EXCEEDED".into()),
        () => (None, reason),
    };
    Outcome::Throttled { retry_after, reason }
}

/// Maps `MessageRejected`, usually a fault of the e-mail. The same code stands for an unverified
/// sender and for a paused account, in which case every e-mail would fail.
fn rejected(message: &str, source: &str) -> Outcome {
    let message = message.to_ascii_lowercase();
    if message.contains("sending paused") || message.contains("sending suspended") {
        return Outcome::Misconfigured { reason: "ACCOUNT_SENDING_PAUSED".into() };
    }
    let source = source.to_ascii_lowercase();
    let domain = source.split('@').next_back().unwrap_or_default();
    let words = message.split([' ', ',', ':', '<', '>', '"']);
    let is_ours = |word: &str| word == source || word.trim_end_matches('.') == domain;
    if message.contains("not verified") && !domain.is_empty() && words.into_iter().any(is_ours) {
        return Outcome::Misconfigured { reason: "SENDER_NOT_VERIFIED".into() };
    }
    Outcome::Rejected { reason: "MESSAGE_REJECTED".into() }
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
                reason: "SENDING_RATE_EXCEEDED".into()
            }
        );
        let quota = outcome(400, "ThrottlingException", "Daily message quota exceeded.");
        assert_eq!(
            quota,
            Outcome::Throttled {
                retry_after: Some(QUOTA_WAIT),
                reason: "DAILY_QUOTA_EXCEEDED".into()
            }
        );
        let other = outcome(400, "Throttling", "Slow down.");
        assert_eq!(other, Outcome::Throttled { retry_after: None, reason: "THROTTLING".into() });
    }

    #[test]
    fn is_rejected_when_message_is_rejected() {
        let recipient = "Email address is not verified. The following identities failed the check \
                         in region EU-WEST-1: ada@example.com";
        for message in ["Email contains a virus", recipient, ""] {
            let parked = Outcome::Rejected { reason: "MESSAGE_REJECTED".into() };
            assert_eq!(outcome(400, "MessageRejected", message), parked);
        }
        let invalid = Outcome::Rejected { reason: "INVALID_PARAMETER_VALUE".into() };
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
            let misconfigured = Outcome::Misconfigured { reason: "SENDER_NOT_VERIFIED".into() };
            assert_eq!(outcome(400, "MessageRejected", &message), misconfigured);
        }
    }

    #[test]
    fn is_misconfigured_when_every_email_would_fail() {
        let cases = [
            (400, "AccountSendingPausedException", "ACCOUNT_SENDING_PAUSED"),
            (400, "ConfigurationSetSendingPausedException", "CONFIGURATION_SET_SENDING_PAUSED"),
            (400, "ConfigurationSetDoesNotExist", "CONFIGURATION_SET_DOES_NOT_EXIST"),
            (400, "MailFromDomainNotVerifiedException", "MAIL_FROM_DOMAIN_NOT_VERIFIED"),
            (400, "TemplateDoesNotExist", "TEMPLATE_DOES_NOT_EXIST"),
            (403, "AccessDenied", "ACCESS_DENIED"),
            (403, "InvalidClientTokenId", "INVALID_CLIENT_TOKEN_ID"),
            (403, "SignatureDoesNotMatch", "SIGNATURE_DOES_NOT_MATCH"),
            (403, "SomethingNew", "SOMETHING_NEW"),
        ];
        for (status, code, reason) in cases {
            assert_eq!(outcome(status, code, ""), Outcome::Misconfigured { reason: reason.into() });
        }
        let suspended = outcome(400, "MessageRejected", "Sending suspended for this account.");
        assert_eq!(suspended, Outcome::Misconfigured { reason: "ACCOUNT_SENDING_PAUSED".into() });
    }

    #[test]
    fn is_unavailable_in_outage() {
        for (status, code) in
            [(500, "InternalFailure"), (503, "ServiceUnavailable"), (502, ""), (504, "")]
        {
            assert!(matches!(
                outcome(status, code, ""),
                Outcome::Unavailable { maybe_delivered: true, .. }
            ));
        }
    }

    #[test]
    fn keeps_addresses_out_of_reason() {
        let odd = outcome(400, "bad address ada@example.com", "");
        assert_eq!(odd, Outcome::Rejected { reason: "UNRECOGNISED_CODE".into() });
    }
}
