//! Outcome of one attempt to deliver: seven kinds of failure, because each asks for something else
//! of the ledger, the device and the lane.

use std::borrow::Cow;
use std::time::Duration;

/// Why: a short, stable UPPER_SNAKE code, ours or the provider's; never a token, an address or a
/// text.
pub type Reason = Cow<'static, str>;

/// Longest wait that a provider can ask for; a longer one is cut to this (FCM's own advice ends
/// after 60 minutes).
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// The end of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The provider accepted the message.
    Sent {
        /// The provider's name for it.
        provider_id: String,
    },
    /// The address is dead: tombstone it, if it is unchanged since the send.
    Gone {
        /// Why it is known to be dead.
        reason: Reason,
    },
    /// This message is wrong and will stay so: park it, touch no device.
    Rejected {
        /// What the provider, or our own check, had against it.
        reason: Reason,
    },
    /// The provider asks for patience; the message was not taken.
    Throttled {
        /// The wait it asked for, if any, at most [`MAX_RETRY_AFTER`].
        retry_after: Option<Duration>,
        /// The limit that was hit.
        reason: Reason,
    },
    /// The provider, or the way to it, does not work just now.
    Unavailable {
        /// The wait it asked for, if any, at most [`MAX_RETRY_AFTER`].
        retry_after: Option<Duration>,
        /// What was seen of the trouble.
        reason: Reason,
        /// The message may have been taken all the same: the request had left, and no clear answer
        /// came.
        maybe_delivered: bool,
    },
    /// The provider does not accept the credentials for this device. The fault is the device's (a
    /// token of another project), unless others of its platform are refused too (the key of APNs or
    /// Web Push).
    Refused {
        /// The provider's code.
        reason: Reason,
    },
    /// Our account, key or settings are wrong: every message would fail. Stop the lane, keep the
    /// backlog, alarm.
    Misconfigured {
        /// What is wrong.
        reason: Reason,
    },
    /// Our key was refused before any address was named: nobody's address can be at fault. Stop the
    /// lane at once.
    KeyRefused {
        /// The token endpoint's code.
        reason: Reason,
    },
}

impl Outcome {
    /// The class as a word, for metric labels and log fields.
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

    /// The reason of everything but [`Outcome::Sent`].
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

/// A provider's error code as a [`Reason`]: `AccessDenied` and `quota-exceeded` become
/// `ACCESS_DENIED` and `QUOTA_EXCEEDED`. What does not look like a code (too long, other
/// characters) becomes `UNRECOGNISED_CODE`, so that no text of a provider, which may quote an
/// address, reaches a log.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_become_upper_snake() {
        assert_eq!(reason_from_code("AccessDenied"), "ACCESS_DENIED");
        assert_eq!(reason_from_code("QUOTA_EXCEEDED"), "QUOTA_EXCEEDED");
        assert_eq!(reason_from_code("invalid_grant"), "INVALID_GRANT");
    }

    #[test]
    fn prose_is_not_a_code() {
        assert_eq!(reason_from_code("address a@example.org is bad"), "UNRECOGNISED_CODE");
        assert_eq!(reason_from_code(""), "UNRECOGNISED_CODE");
        assert_eq!(reason_from_code(&"A".repeat(65)), "UNRECOGNISED_CODE");
    }
}
