//! What an error of SES means. Pure.
//!
//! By the code, as "Common Errors" and the errors of each call in the Amazon SES API Reference name
//! them, by the message where one code stands for several things, and by the HTTP status for codes
//! of tomorrow.

use crate::channels::outcome::{Outcome, Reason, reason_from_code};
use aws_sdk_ses::config::http::HttpResponse;
use aws_sdk_ses::error::{ProvideErrorMetadata, SdkError};
use std::error::Error;
use std::time::Duration;

/// After "Maximum sending rate exceeded".
const RATE_WAIT: Duration = Duration::from_secs(1);
/// After "Daily message quota exceeded", which frees itself bit by bit over 24 hours.
const QUOTA_WAIT: Duration = Duration::from_secs(10 * 60);

/// Codes that mean the account, its rights or our settings; every mail would fail.
const OURS: [&str; 26] = [
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

/// What a failed call means. `source` is our own address: whether it is the one that is not
/// verified decides.
pub(super) fn failure<E: ProvideErrorMetadata>(
    error: &SdkError<E, HttpResponse>,
    source: &str,
) -> Outcome {
    match error {
        SdkError::ServiceError(answer) => {
            let (code, message) = (answer.err().code(), answer.err().message());
            said(code, message.unwrap_or_default(), answer.raw().status().as_u16(), source)
        }
        SdkError::ConstructionFailure(_) => Outcome::Rejected { reason: "NOT_WRITABLE".into() },
        SdkError::TimeoutError(_) => unavailable("TIMEOUT".into(), true),
        SdkError::DispatchFailure(failure) => {
            let unclassified = failure.is_other() && failure.as_other().is_none();
            not_answered(
                failure.as_connector_error().map(|error| error as _),
                failure.is_timeout(),
                unclassified,
            )
        }
        _ => unavailable("UNREADABLE_ANSWER".into(), true),
    }
}

/// Outcome of an answer without an error: one that names no mail is none of SES, or was cut off.
pub(super) fn accepted(message_id: String) -> Outcome {
    if message_id.is_empty() {
        return unavailable("UNREADABLE_ANSWER".into(), true);
    }
    Outcome::Sent { provider_id: message_id }
}

fn not_answered(
    error: Option<&(dyn Error + 'static)>,
    timed_out: bool,
    unclassified: bool,
) -> Outcome {
    let client =
        chain(error).find_map(|error| error.downcast_ref::<hyper_util::client::legacy::Error>());
    match client {
        Some(client) if client.is_connect() => unavailable("CONNECT_FAILED".into(), false),
        _ if timed_out => unavailable("TIMEOUT".into(), true),
        // It did not come to a request: there were no credentials to sign it with.
        None if unclassified => Outcome::Misconfigured { reason: "NO_CREDENTIALS".into() },
        _ => unavailable("CONNECTION_LOST".into(), true),
    }
}

fn said(code: Option<&str>, message: &str, status: u16, source: &str) -> Outcome {
    let code = code.map(|code| code.strip_suffix("Exception").unwrap_or(code)).unwrap_or_default();
    let reason =
        || if code.is_empty() { format!("HTTP_{status}").into() } else { reason_from_code(code) };
    match code {
        "Throttling" | "TooManyRequests" | "RequestLimitExceeded" | "LimitExceeded" => {
            throttled(message, reason())
        }
        "MessageRejected" => rejected(message, source),
        code if OURS.contains(&code) => Outcome::Misconfigured { reason: reason() },
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

/// Mostly the mail's own fault. But the same code tells of a sender that is not verified, and of an
/// account that may not send: then every mail would be parked.
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
        said(Some(code), message, status, SOURCE)
    }

    #[test]
    fn the_two_throttles_wait_differently() {
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
    fn a_rejected_mail_is_parked() {
        let recipient = "Email address is not verified. The following identities failed the check in region \
                         EU-WEST-1: ada@example.com";
        for message in ["Email contains a virus", recipient, ""] {
            let parked = Outcome::Rejected { reason: "MESSAGE_REJECTED".into() };
            assert_eq!(outcome(400, "MessageRejected", message), parked);
        }
        let invalid = Outcome::Rejected { reason: "INVALID_PARAMETER_VALUE".into() };
        assert_eq!(outcome(400, "InvalidParameterValue", "Domain contains dot-dot"), invalid);
    }

    #[test]
    fn an_unverified_sender_is_our_fault() {
        for identity in
            ["reminders@example.org", "Reminders <Reminders@Example.org>", "example.org"]
        {
            let message = format!(
                "Email address is not verified. The following identities failed the check: {identity}"
            );
            let misconfigured = Outcome::Misconfigured { reason: "SENDER_NOT_VERIFIED".into() };
            assert_eq!(outcome(400, "MessageRejected", &message), misconfigured);
        }
    }

    #[test]
    fn what_fails_for_every_mail_stops_the_lane() {
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
    fn an_outage_is_waited_out() {
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
    fn no_address_gets_into_a_reason() {
        let odd = outcome(400, "bad address ada@example.com", "");
        assert_eq!(odd, Outcome::Rejected { reason: "UNRECOGNISED_CODE".into() });
    }
}
