//! Outcome of one attempt to deliver. Each kind of failure requires a different reaction of the
//! ledger, the device registry or the dispatcher.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use contract::Reason;

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
        /// Reason code of the failure.
        reason: Reason,
    },
    /// The message is invalid and will stay so. The delivery fails, and no device is changed.
    Rejected {
        /// Reason code of the failure.
        reason: Reason,
    },
    /// The provider limits the rate. The message was not accepted.
    Throttled {
        /// Wait that the provider asked for, if any, at most [`MAX_RETRY_AFTER`].
        retry_after: Option<Duration>,
        /// Reason code of the failure.
        reason: Reason,
    },
    /// The provider, or the network path to it, does not work at the moment.
    Unavailable {
        /// Wait that the provider asked for, if any, at most [`MAX_RETRY_AFTER`].
        retry_after: Option<Duration>,
        /// Reason code of the failure.
        reason: Reason,
        /// `true` if the provider may have accepted the message all the same: the request was sent,
        /// and no clear response was received.
        maybe_delivered: bool,
    },
    /// The provider does not accept the credentials for this device. The cause is the device (its
    /// token belongs to another project), unless other devices of its platform are refused too (the
    /// APNs or Web Push key is wrong).
    Refused {
        /// Reason code of the failure.
        reason: Reason,
    },
    /// The account, key or settings are wrong, so that every message would fail. The dispatcher
    /// stops, the backlog is kept and an alarm is raised.
    Misconfigured {
        /// Reason code of the failure.
        reason: Reason,
    },
    /// The key was refused before an address was sent, so that no address can be the cause. The
    /// dispatcher stops immediately.
    KeyRefused {
        /// Reason code of the failure.
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
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Outcome::Sent { .. } => None,
            Outcome::Gone { reason }
            | Outcome::Rejected { reason }
            | Outcome::Throttled { reason, .. }
            | Outcome::Unavailable { reason, .. }
            | Outcome::Refused { reason }
            | Outcome::Misconfigured { reason }
            | Outcome::KeyRefused { reason } => Some(*reason),
        }
    }
}

/// Least time between two warnings about codes that are not listed.
const WARN_EVERY: Duration = Duration::from_secs(60);
/// Time of the last warning about a code that is not listed.
static LAST_WARNING: Mutex<Option<Instant>> = Mutex::new(None);

/// Returns the catch-all code for a provider's code that is not listed, and logs the provider's
/// code: nothing else shows it. It is a warning at most once a minute, and never if `may_recur`: an
/// outage may cause thousands of them.
pub(super) fn unrecognised(provider: &'static str, code: &str, may_recur: bool) -> Reason {
    let mut last = LAST_WARNING.lock().unwrap_or_else(PoisonError::into_inner);
    if !may_recur && is_warning_due(&mut last, Instant::now()) {
        tracing::warn!(
            provider,
            code,
            "provider returned a code that is not listed; others within a minute are at debug level"
        );
    } else {
        tracing::debug!(provider, code, "provider returned a code that is not listed");
    }
    Reason::UnrecognisedCode
}

/// Returns `true`, and notes the time, if the last warning is [`WARN_EVERY`] ago.
fn is_warning_due(last: &mut Option<Instant>, now: Instant) -> bool {
    let is_due = last.is_none_or(|last| now.duration_since(last) >= WARN_EVERY);
    if is_due {
        *last = Some(now);
    }
    is_due
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warns_of_unlisted_codes_once_a_minute() {
        let (mut last, start) = (None, Instant::now());
        let warned: Vec<bool> = [0, 1, 59, 60, 61, 119, 120]
            .map(|second| is_warning_due(&mut last, start + Duration::from_secs(second)))
            .into();
        assert_eq!(warned, [true, false, false, true, false, false, true]);
    }
}
