//! Behaviour of SES, selected by the recipient.

use std::time::Duration;

use super::error::Fault;
use crate::fcm::SendCounts;

/// Answer to an e-mail, selected by the local part of the address: the word alone, or followed by
/// `+`, `-` or `.`, as in `throttle@example.com` and `throttle+1@example.com`. Every other address
/// works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// `throttle`: `Throttling`, maximum sending rate exceeded.
    Throttle,
    /// `daily-quota`: `Throttling`, daily message quota exceeded.
    DailyQuota,
    /// `reject`: `MessageRejected`.
    Reject,
    /// `paused`: `AccountSendingPausedException`.
    Paused,
    /// `config-paused`: `ConfigurationSetSendingPausedException`.
    ConfigurationSetPaused,
    /// `unverified`: `MailFromDomainNotVerifiedException`.
    Unverified,
    /// `internal`: 500 `InternalFailure`.
    Internal,
    /// `unavailable`: 503 `ServiceUnavailable`.
    Unavailable,
    /// `slow-MS`: accepted at once, answered after so many milliseconds.
    Slow(Duration),
    /// `flaky-K`: `Throttling` K times, then accepted.
    Flaky(u32),
    /// Accepted.
    Works,
}

impl Behaviour {
    /// Behaviour that an address selects.
    pub fn of(address: &str) -> Self {
        let local = address.split('@').next().unwrap_or_default();
        let is = |word: &str| {
            local
                .strip_prefix(word)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', '-', '.']))
        };
        match () {
            () if is("throttle") => Self::Throttle,
            () if is("daily-quota") => Self::DailyQuota,
            () if is("reject") => Self::Reject,
            () if is("paused") => Self::Paused,
            () if is("config-paused") => Self::ConfigurationSetPaused,
            () if is("unverified") => Self::Unverified,
            () if is("internal") => Self::Internal,
            () if is("unavailable") => Self::Unavailable,
            () => number(local, "slow-")
                .map(|ms| Self::Slow(Duration::from_millis(ms)))
                .or_else(|| number(local, "flaky-").map(Self::Flaky))
                .unwrap_or(Self::Works),
        }
    }

    /// Error with which a send is answered, if any.
    pub(super) fn fault(self, address: &str, counts: &SendCounts) -> Option<Fault> {
        match self {
            Self::Throttle => Some(Fault::throttled()),
            Self::DailyQuota => Some(Fault::over_quota()),
            Self::Reject => Some(Fault::rejected()),
            Self::Paused => Some(Fault::paused()),
            Self::ConfigurationSetPaused => Some(Fault::configuration_set_paused()),
            Self::Unverified => Some(Fault::unverified()),
            Self::Internal => Some(Fault::internal()),
            Self::Unavailable => Some(Fault::unavailable()),
            Self::Flaky(times) => (counts.count(address) <= times).then(Fault::throttled),
            Self::Slow(_) | Self::Works => None,
        }
    }
}

/// The number between `prefix` and the next separator.
fn number<N: std::str::FromStr>(local: &str, prefix: &str) -> Option<N> {
    local.strip_prefix(prefix)?.split(['+', '-', '.']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selects_behaviour_by_address() {
        let cases = [
            ("throttle@example.com", Behaviour::Throttle),
            ("throttle+7@example.com", Behaviour::Throttle),
            ("daily-quota@example.com", Behaviour::DailyQuota),
            ("slow-40@example.com", Behaviour::Slow(Duration::from_millis(40))),
            ("flaky-2+x@example.com", Behaviour::Flaky(2)),
            ("rejected@example.com", Behaviour::Works),
            ("ada@example.com", Behaviour::Works),
        ];
        for (address, behaviour) in cases {
            assert_eq!(Behaviour::of(address), behaviour, "{address}");
        }
    }
}
