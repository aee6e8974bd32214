//! Outcome of one attempt to send a message. Each kind of failure requires a different reaction of
//! the caller.

use std::borrow::Cow;
use std::time::Duration;

/// Code of a failure, an `UPPER_SNAKE_CASE` word: a code of FCM (`UNREGISTERED`) or of the token
/// endpoint (`OAUTH_INVALID_GRANT`), the status of an answer without a code (`HTTP_502`), or a
/// symptom of the connection (`TIMEOUT`). Never contains a token or a text.
pub type Code = Cow<'static, str>;

/// Longest wait that FCM can ask for. Longer waits are cut to this (FCM's own advice ends after 60
/// minutes).
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// Outcome of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// FCM accepted the message.
    Sent {
        /// Name that FCM gave to the message.
        name: String,
    },
    /// The token is dead: the app was uninstalled, or the token is invalid.
    Gone {
        /// Code of the failure.
        code: Code,
    },
    /// The message is invalid and will stay so.
    Rejected {
        /// Code of the failure.
        code: Code,
    },
    /// FCM limits the rate. The message was not accepted.
    Throttled {
        /// Wait that FCM asked for, if any, at most [`MAX_RETRY_AFTER`].
        retry_after: Option<Duration>,
        /// Code of the failure.
        code: Code,
    },
    /// FCM, the token endpoint or the network path to them does not work at the moment.
    Unavailable {
        /// Wait that was asked for, if any, at most [`MAX_RETRY_AFTER`].
        retry_after: Option<Duration>,
        /// Code of the failure.
        code: Code,
        /// `true` if FCM may have accepted the message all the same: the request was sent, and no
        /// clear response was received.
        maybe_delivered: bool,
    },
    /// The credentials are refused for this token. The cause is the token (it belongs to another
    /// project), unless other devices of its platform are refused too (the APNs or Web Push key of
    /// the project is wrong).
    Refused {
        /// Code of the failure.
        code: Code,
    },
    /// The account, the project or the endpoint is wrong, so that every message would fail.
    Misconfigured {
        /// Code of the failure.
        code: Code,
    },
    /// The token endpoint refused the service account before a message was sent, so that no
    /// message can be the cause.
    KeyRefused {
        /// Code of the failure.
        code: Code,
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

    /// Returns the code of every outcome but [`Outcome::Sent`].
    pub fn code(&self) -> Option<&str> {
        match self {
            Outcome::Sent { .. } => None,
            Outcome::Gone { code }
            | Outcome::Rejected { code }
            | Outcome::Throttled { code, .. }
            | Outcome::Unavailable { code, .. }
            | Outcome::Refused { code }
            | Outcome::Misconfigured { code }
            | Outcome::KeyRefused { code } => Some(code),
        }
    }
}

/// Converts an error code of FCM or of the token endpoint into a [`Code`]: `invalid_grant` and
/// `AccessDenied` become `INVALID_GRANT` and `ACCESS_DENIED`. A text that is no code (too long,
/// other characters) becomes `UNRECOGNISED_CODE`, so that no text that may quote a token reaches a
/// log.
pub(super) fn normalized(code: &str) -> Code {
    const LONGEST: usize = 64;
    const NO_CODE: Code = Cow::Borrowed("UNRECOGNISED_CODE");
    let mut upper = String::with_capacity(code.len() + 8);
    let mut after_lower = false;
    for character in code.chars() {
        match character {
            'A'..='Z' => {
                if after_lower {
                    upper.push('_');
                }
                upper.push(character);
            }
            'a'..='z' | '0'..='9' => upper.push(character.to_ascii_uppercase()),
            '_' | '-' | '.' => upper.push('_'),
            _ => return NO_CODE,
        }
        after_lower = character.is_ascii_lowercase() || character.is_ascii_digit();
        if upper.len() > LONGEST {
            return NO_CODE;
        }
    }
    if upper.is_empty() { NO_CODE } else { Cow::Owned(upper) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn converts_codes_to_upper_snake_case() {
        assert_eq!(normalized("AccessDenied"), "ACCESS_DENIED");
        assert_eq!(normalized("QUOTA_EXCEEDED"), "QUOTA_EXCEEDED");
        assert_eq!(normalized("invalid_grant"), "INVALID_GRANT");
    }

    #[test]
    fn replaces_prose_with_unrecognised_code() {
        assert_eq!(normalized("address a@example.org is bad"), "UNRECOGNISED_CODE");
        assert_eq!(normalized(""), "UNRECOGNISED_CODE");
        assert_eq!(normalized(&"A".repeat(65)), "UNRECOGNISED_CODE");
    }
}
