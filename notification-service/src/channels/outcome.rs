//! Outcome of one attempt to deliver. Each kind of failure requires a different reaction of the
//! ledger, the device registry or the dispatcher.

use std::borrow::Cow;
use std::time::Duration;

/// Reason code of an outcome: a short, stable `UPPER_SNAKE_CASE` word, ours or the provider's.
/// Never contains a token, an address or a text.
pub type Reason = Cow<'static, str>;

/// Longest wait that a provider can ask for. Longer waits are cut to this (FCM's own advice ends
/// after 60 minutes).
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// Outcome of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The provider accepted the message.
    Sent {
        /// The provider's id of the message.
        provider_id: String,
    },
    /// The address is dead. The device becomes a tombstone if it is unchanged since the attempt
    /// began.
    Gone {
        /// Reason code of the provider.
        reason: Reason,
    },
    /// The message is invalid and will stay so. The delivery fails, and no device is changed.
    Rejected {
        /// Reason code of the provider, or of our own check.
        reason: Reason,
    },
    /// The provider limits the rate. The message was not accepted.
    Throttled {
        /// Wait that the provider asked for, if any, at most [`MAX_RETRY_AFTER`].
        retry_after: Option<Duration>,
        /// Limit that was exceeded.
        reason: Reason,
    },
    /// The provider, or the network path to it, does not work at the moment.
    Unavailable {
        /// Wait that the provider asked for, if any, at most [`MAX_RETRY_AFTER`].
        retry_after: Option<Duration>,
        /// Symptom of the failure.
        reason: Reason,
        /// `true` if the provider may have accepted the message all the same: the request was sent,
        /// and no clear response was received.
        maybe_delivered: bool,
    },
    /// The provider does not accept our credentials for this device. The cause is the device (its
    /// token belongs to another project), unless other devices of its platform are refused too (the
    /// APNs or Web Push key is wrong).
    Refused {
        /// The provider's code.
        reason: Reason,
    },
    /// Our account, key or settings are wrong, so that every message would fail. The dispatcher
    /// stops, the backlog is kept and an alarm is raised.
    Misconfigured {
        /// Reason code of the provider.
        reason: Reason,
    },
    /// Our key was refused before an address was sent, so that no address can be the cause. The
    /// dispatcher stops immediately.
    KeyRefused {
        /// Reason code of the token endpoint.
        reason: Reason,
    },
}

impl Outcome {
    /// Returns the class of the outcome as a word, for metric labels and log fields.
    pub fn class(&self) -> &'static str {
        match self {
            Outcome::Sent { .. } => "sent",
            Outcome::Gone { .. } => "gone",
            Outcome::Rejected { .. } => "rejected",
            Outcome::Throttled { .. } => "throttled",
            Outcome::Unavailable { .. } => "unavailable",
            Outcome::Refused { .. } => "refused",
            Outcome::Misconfigured { .. } | Outcome::KeyRefused { .. } => "misconfigured",
        }
    }

    /// Returns the reason code of every outcome but [`Outcome::Sent`].
    pub fn reason(&self) -> Option<&str> {
        match self {
            Outcome::Sent { .. } => None,
            Outcome::Gone { reason }
            | Outcome::Rejected { reason }
            | Outcome::Throttled { reason, .. }
            | Outcome::Unavailable { reason, .. }
            | Outcome::Refused { reason }
            | Outcome::Misconfigured { reason }
            | Outcome::KeyRefused { reason } => Some(reason),
        }
    }
}

/// Converts a provider's error code into a [`Reason`]: `AccessDenied` and `quota-exceeded` become
/// `ACCESS_DENIED` and `QUOTA_EXCEEDED`. A text that is no code (too long, other characters)
/// becomes `UNRECOGNISED_CODE`, so that no text of a provider, which may quote an address, reaches
/// a log.
pub fn reason_from_code(code: &str) -> Reason {
    const LONGEST: usize = 64;
    let mut reason = String::with_capacity(code.len() + 8);
    let mut after_lower = false;
    for character in code.chars() {
        match character {
            'A'..='Z' => {
                if after_lower {
                    reason.push('_');
                }
                reason.push(character);
            }
            'a'..='z' | '0'..='9' => reason.push(character.to_ascii_uppercase()),
            '_' | '-' | '.' => reason.push('_'),
            _ => return Cow::Borrowed("UNRECOGNISED_CODE"),
        }
        after_lower = character.is_ascii_lowercase() || character.is_ascii_digit();
        if reason.len() > LONGEST {
            return Cow::Borrowed("UNRECOGNISED_CODE");
        }
    }
    if reason.is_empty() {
        return Cow::Borrowed("UNRECOGNISED_CODE");
    }
    Cow::Owned(reason)
}

/// Maps the code of an outcome to the list of reason codes, which clients see. The log line of the
/// attempt has the code of the outcome itself.
pub fn listed_reason(reason: &str) -> contract::Reason {
    use contract::Reason::{
        Internal, OauthRefused, OauthUnavailable, Unavailable, UnrecognisedCode,
    };
    if let Ok(listed) = reason.parse() {
        return listed;
    }
    match reason {
        "INTERNAL_FAILURE" | "HTTP_500" => return Internal,
        "SERVICE_UNAVAILABLE" | "HTTP_502" | "HTTP_503" | "HTTP_504" => return Unavailable,
        _ => {}
    }
    match reason.strip_prefix("OAUTH_") {
        None => UnrecognisedCode,
        Some("ACCESS_DENIED") => OauthRefused,
        Some("HTTP_408" | "HTTP_429" | "INTERNAL_FAILURE") => OauthUnavailable,
        Some(code) if code.starts_with("HTTP_5") => OauthUnavailable,
        // The token endpoint was not reached, or did not answer.
        Some(code) if code.parse::<contract::Reason>().is_ok() => OauthUnavailable,
        Some(_) => OauthRefused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_codes_to_the_list() {
        for (code, listed) in [
            ("UNREGISTERED", "UNREGISTERED"),
            ("HTTP_502", "UNAVAILABLE"),
            ("INTERNAL_FAILURE", "INTERNAL"),
            ("OAUTH_INVALID_GRANT", "OAUTH_INVALID_GRANT"),
            ("OAUTH_HTTP_503", "OAUTH_UNAVAILABLE"),
            ("OAUTH_TIMEOUT", "OAUTH_UNAVAILABLE"),
            ("OAUTH_HTTP_403", "OAUTH_REFUSED"),
            ("OAUTH_ACCESS_DENIED", "OAUTH_REFUSED"),
            ("HTTP_418", "UNRECOGNISED_CODE"),
            ("", "UNRECOGNISED_CODE"),
        ] {
            assert_eq!(listed_reason(code).as_str(), listed, "{code}");
        }
    }

    #[test]
    fn converts_codes_to_upper_snake_case() {
        assert_eq!(reason_from_code("AccessDenied"), "ACCESS_DENIED");
        assert_eq!(reason_from_code("QUOTA_EXCEEDED"), "QUOTA_EXCEEDED");
        assert_eq!(reason_from_code("invalid_grant"), "INVALID_GRANT");
    }

    #[test]
    fn replaces_prose_with_unrecognised_code() {
        assert_eq!(reason_from_code("address a@example.org is bad"), "UNRECOGNISED_CODE");
        assert_eq!(reason_from_code(""), "UNRECOGNISED_CODE");
        assert_eq!(reason_from_code(&"A".repeat(65)), "UNRECOGNISED_CODE");
    }
}
