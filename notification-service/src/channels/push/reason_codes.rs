//! Outcomes of FCM as the dispatcher, the ledger and the API know them: each of FCM's codes has a
//! reason code.

use contract::Reason;

use crate::channels::outcome::{Outcome, unrecognised};

impl From<fcm::Outcome> for Outcome {
    fn from(outcome: fcm::Outcome) -> Self {
        let reason = outcome.code().map(|code| reason(&outcome, code));
        let reason = reason.unwrap_or(Reason::UnrecognisedCode);
        match outcome {
            fcm::Outcome::Sent { name } => Outcome::Sent { provider_id: name },
            fcm::Outcome::Gone { .. } => Outcome::Gone { reason },
            fcm::Outcome::Rejected { .. } => Outcome::Rejected { reason },
            fcm::Outcome::Throttled { retry_after, .. } => {
                Outcome::Throttled { retry_after, reason }
            }
            fcm::Outcome::Unavailable { retry_after, maybe_delivered, .. } => {
                Outcome::Unavailable { retry_after, reason, maybe_delivered }
            }
            fcm::Outcome::Refused { .. } => Outcome::Refused { reason },
            fcm::Outcome::Misconfigured { .. } => Outcome::Misconfigured { reason },
            fcm::Outcome::KeyRefused { .. } => Outcome::KeyRefused { reason },
        }
    }
}

/// Returns the reason code for a code of FCM, of the token endpoint or of the connection.
fn reason(outcome: &fcm::Outcome, code: &str) -> Reason {
    let may_recur =
        matches!(outcome, fcm::Outcome::Unavailable { .. } | fcm::Outcome::Throttled { .. });
    match code {
        "UNREGISTERED" => Reason::Unregistered,
        "INVALID_TOKEN" => Reason::InvalidToken,
        "INVALID_ARGUMENT" => Reason::InvalidArgument,
        "FAILED_PRECONDITION" => Reason::FailedPrecondition,
        "PAYLOAD_TOO_LARGE" => Reason::PayloadTooLarge,
        "SENDER_ID_MISMATCH" => Reason::SenderIdMismatch,
        "THIRD_PARTY_AUTH_ERROR" => Reason::ThirdPartyAuthError,
        "QUOTA_EXCEEDED" => Reason::QuotaExceeded,
        "TOO_MANY_REQUESTS" | "RESOURCE_EXHAUSTED" => Reason::TooManyRequests,
        "PERMISSION_DENIED" => Reason::PermissionDenied,
        "UNAUTHENTICATED" => Reason::Unauthenticated,
        "ENDPOINT_NOT_FOUND" => Reason::EndpointNotFound,
        "INTERNAL" | "HTTP_500" => Reason::Internal,
        "UNAVAILABLE" | "HTTP_408" | "HTTP_425" | "HTTP_502" | "HTTP_503" | "HTTP_504" => {
            Reason::Unavailable
        }
        "DEADLINE_EXCEEDED" => Reason::DeadlineExceeded,
        "TIMEOUT" => Reason::Timeout,
        "CONNECT_TIMEOUT" => Reason::ConnectTimeout,
        "CONNECT_FAILED" => Reason::ConnectFailed,
        "HANDSHAKE_FAILED" => Reason::HandshakeFailed,
        "HUNG_UP" => Reason::HungUp,
        "CONNECTION_LOST" => Reason::ConnectionLost,
        "REQUEST_NOT_TAKEN" => Reason::RequestNotTaken,
        "UNREADABLE_ANSWER" => Reason::UnreadableAnswer,
        "OAUTH_INVALID_GRANT" => Reason::OauthInvalidGrant,
        "OAUTH_INVALID_CLIENT" => Reason::OauthInvalidClient,
        "OAUTH_UNREADABLE" => Reason::OauthUnreadable,
        "OAUTH_SIGNING" => Reason::OauthSigning,
        // The client of FCM logs the code when it fails to get an access token.
        oauth if oauth.starts_with("OAUTH_") && may_recur => Reason::OauthUnavailable,
        oauth if oauth.starts_with("OAUTH_") => Reason::OauthRefused,
        other => unrecognised("FCM", other, may_recur),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unavailable(code: &'static str) -> fcm::Outcome {
        fcm::Outcome::Unavailable { retry_after: None, code: code.into(), maybe_delivered: true }
    }

    #[test]
    fn maps_codes_of_outage_to_the_list() {
        for (code, reason) in [
            ("HTTP_500", Reason::Internal),
            ("HTTP_502", Reason::Unavailable),
            ("CONNECTION_LOST", Reason::ConnectionLost),
            ("OAUTH_HTTP_503", Reason::OauthUnavailable),
            ("OAUTH_INTERNAL_FAILURE", Reason::OauthUnavailable),
            ("OAUTH_TIMEOUT", Reason::OauthUnavailable),
            ("OAUTH_UNREADABLE", Reason::OauthUnreadable),
            ("DATA_LOSS", Reason::UnrecognisedCode),
        ] {
            assert_eq!(Outcome::from(unavailable(code)).reason(), Some(reason), "{code}");
        }
    }

    #[test]
    fn maps_codes_of_refusal_to_the_list() {
        for (code, reason) in [
            ("OAUTH_INVALID_GRANT", Reason::OauthInvalidGrant),
            ("OAUTH_HTTP_403", Reason::OauthRefused),
            ("OAUTH_ACCESS_DENIED", Reason::OauthRefused),
        ] {
            let refused = fcm::Outcome::KeyRefused { code: code.into() };
            assert_eq!(Outcome::from(refused).reason(), Some(reason), "{code}");
        }
        // The last one is a code of gRPC that is also a reason code of ours.
        for code in ["HTTP_418", "UNRECOGNISED_CODE", "CANCELLED"] {
            let rejected = fcm::Outcome::Rejected { code: code.into() };
            let reason = Outcome::from(rejected).reason();
            assert_eq!(reason, Some(Reason::UnrecognisedCode), "{code}");
        }
    }

    #[test]
    fn keeps_wait_and_doubt_of_outcome() {
        let wait = Some(std::time::Duration::from_secs(7));
        let outage = fcm::Outcome::Unavailable {
            retry_after: wait,
            code: "UNAVAILABLE".into(),
            maybe_delivered: false,
        };
        assert_eq!(
            Outcome::from(outage),
            Outcome::Unavailable {
                retry_after: wait,
                reason: Reason::Unavailable,
                maybe_delivered: false
            }
        );
        let sent = fcm::Outcome::Sent { name: "projects/demo/messages/1".to_owned() };
        assert_eq!(
            Outcome::from(sent),
            Outcome::Sent { provider_id: "projects/demo/messages/1".to_owned() }
        );
    }
}
