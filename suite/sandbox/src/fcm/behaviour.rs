//! Behaviour of FCM, selected by the registration token.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::error::Refusal;

/// Number of tokens beyond which the counts are reset, so that memory is bounded.
const MAX_COUNTED: usize = 100_000;

/// Answer to a message, selected by the beginning of the token. Every other token works.
///
/// `validate_only` fails for the first two only, so that all others can be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// `unregistered-…`: 404 `UNREGISTERED`.
    Unregistered,
    /// `invalid-token-…`: 400 `INVALID_ARGUMENT` with a field violation on `message.token`.
    InvalidToken,
    /// `bad-payload-…`: 400 `INVALID_ARGUMENT` without one.
    BadPayload,
    /// `gone-…`, `gone-after-N-…`: valid when registered; after N sends (0) 404 `UNREGISTERED`.
    GoneAfter(u32),
    /// `turned-invalid-…`: valid when registered; 400 with a field violation on `message.token`
    /// when sent to.
    TurnedInvalid,
    /// `sender-mismatch-…`: 403 `SENDER_ID_MISMATCH`.
    SenderMismatch,
    /// `third-party-…`: 401 `THIRD_PARTY_AUTH_ERROR`.
    ThirdParty,
    /// `unauthenticated-…`: 401 `UNAUTHENTICATED`, as for a wrong access token.
    Unauthenticated,
    /// `permission-denied-…`: 403 `PERMISSION_DENIED`, as for an account without the right.
    PermissionDenied,
    /// `quota-…`, `quota-after-N-…`: 429 `QUOTA_EXCEEDED`, with `Retry-After: N`.
    Quota(Option<u64>),
    /// `unavailable-…`, `unavailable-after-N-…`: 503 `UNAVAILABLE`, with `Retry-After: N`.
    Unavailable(Option<u64>),
    /// `internal-…`: 500 `INTERNAL`.
    Internal,
    /// `html-502-…`: 502 with an HTML page.
    Html502,
    /// `slow-MS-…`: accepted at once, answered after so many milliseconds.
    Slow(Duration),
    /// `timeout-after-accept-…`: accepted, never answered.
    TimeoutAfterAccept,
    /// `flaky-K-…`: 503 K times, then accepted.
    Flaky(u32),
    /// Accepted.
    Works,
}

impl Behaviour {
    /// Behaviour that a token selects.
    pub fn of(token: &str) -> Self {
        let begins = |prefix: &str| token.starts_with(prefix);
        match () {
            () if begins("unregistered-") => Self::Unregistered,
            () if begins("invalid-token-") => Self::InvalidToken,
            () if begins("bad-payload-") => Self::BadPayload,
            () if begins("gone-") => Self::GoneAfter(number(token, "gone-after-").unwrap_or(0)),
            () if begins("turned-invalid-") => Self::TurnedInvalid,
            () if begins("sender-mismatch-") => Self::SenderMismatch,
            () if begins("third-party-") => Self::ThirdParty,
            () if begins("unauthenticated-") => Self::Unauthenticated,
            () if begins("permission-denied-") => Self::PermissionDenied,
            () if begins("quota-") => Self::Quota(number(token, "quota-after-")),
            () if begins("unavailable-") => Self::Unavailable(number(token, "unavailable-after-")),
            () if begins("internal-") => Self::Internal,
            () if begins("html-502-") => Self::Html502,
            () if begins("timeout-after-accept-") => Self::TimeoutAfterAccept,
            () => number(token, "slow-")
                .map(|ms| Self::Slow(Duration::from_millis(ms)))
                .or_else(|| number(token, "flaky-").map(Self::Flaky))
                .unwrap_or(Self::Works),
        }
    }

    /// Returns `true` if `validate_only` is refused as well.
    pub(super) fn fails_validation(self) -> bool {
        matches!(self, Self::Unregistered | Self::InvalidToken)
    }

    /// Error with which a send is answered, if any.
    pub(super) fn refusal(self, token: &str, counts: &SendCounts) -> Option<Refusal> {
        match self {
            Self::Unregistered => Some(Refusal::unregistered()),
            Self::InvalidToken | Self::TurnedInvalid => Some(Refusal::invalid_token()),
            Self::BadPayload => Some(Refusal::bad_payload()),
            Self::GoneAfter(sends) => (counts.count(token) > sends).then(Refusal::unregistered),
            Self::SenderMismatch => Some(Refusal::sender_mismatch()),
            Self::ThirdParty => Some(Refusal::third_party()),
            Self::Unauthenticated => Some(Refusal::unauthenticated()),
            Self::PermissionDenied => Some(Refusal::permission_denied()),
            Self::Quota(retry_after) => Some(Refusal::quota(retry_after)),
            Self::Unavailable(retry_after) => Some(Refusal::unavailable(retry_after)),
            Self::Internal => Some(Refusal::internal()),
            Self::Html502 => Some(Refusal::html_502()),
            Self::Flaky(times) => {
                (counts.count(token) <= times).then(|| Refusal::unavailable(None))
            }
            Self::Slow(_) | Self::TimeoutAfterAccept | Self::Works => None,
        }
    }
}

/// The number between `prefix` and the next hyphen.
fn number<N: std::str::FromStr>(token: &str, prefix: &str) -> Option<N> {
    token.strip_prefix(prefix)?.split('-').next()?.parse().ok()
}

/// Number of sends to each address whose behaviour depends on that number.
#[derive(Debug, Default)]
pub(crate) struct SendCounts(Mutex<HashMap<String, u32>>);

impl SendCounts {
    /// Counts a send and returns the count.
    pub(crate) fn count(&self, address: &str) -> u32 {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MAX_COUNTED {
            counts.clear();
        }
        let count = counts.entry(address.to_owned()).or_default();
        *count += 1;
        *count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selects_behaviour_by_token() {
        let cases = [
            ("unregistered-1", Behaviour::Unregistered),
            ("gone-1", Behaviour::GoneAfter(0)),
            ("gone-after-3-x", Behaviour::GoneAfter(3)),
            ("unauthenticated-1", Behaviour::Unauthenticated),
            ("permission-denied-1", Behaviour::PermissionDenied),
            ("quota-1", Behaviour::Quota(None)),
            ("quota-after-7-x", Behaviour::Quota(Some(7))),
            ("unavailable-after-2-x", Behaviour::Unavailable(Some(2))),
            ("slow-250-x", Behaviour::Slow(Duration::from_millis(250))),
            ("flaky-2-x", Behaviour::Flaky(2)),
            ("flaky-x", Behaviour::Works),
            ("dGVzdA:APA91b", Behaviour::Works),
        ];
        for (token, behaviour) in cases {
            assert_eq!(Behaviour::of(token), behaviour, "{token}");
        }
    }
}
