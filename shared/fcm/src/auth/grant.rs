//! JWT bearer grant: builds the request to the token endpoint and parses its response. Pure, except
//! for the clock.

use super::AuthError;
use crate::account::ServiceAccount;
use crate::error_table::retry_after;
use crate::outcome::normalized;
use crate::transport::Response;
use chrono::Utc;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Largest error of this machine's clock, in either direction. Google refuses an `iat` in the
/// future and an `exp` in the past.
const CLOCK_TOLERANCE_SECONDS: i64 = 5 * 60;
/// Remainder of the hour that Google allows between `iat` and `exp`.
const ASSERTION_SECONDS: i64 = 45 * 60;
/// Lifetime of a token if the response does not name it (optional by RFC 6749, section 5.1).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(300);
/// Longest lifetime that is accepted. Google's tokens are valid for an hour.
const MAX_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// Longest wait that the token endpoint can ask for: all pushes wait for it.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// Longest token that a request can carry. Google's have at most 2,048 bytes.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

/// Returns the form to post, with a freshly signed assertion.
pub(super) fn form(account: &ServiceAccount) -> jsonwebtoken::errors::Result<String> {
    let now = Utc::now().timestamp();
    let account = account.current();
    let assertion = account.sign(&Claims {
        iss: account.client_email(),
        scope: SCOPE,
        aud: account.token_uri().as_str(),
        iat: now - CLOCK_TOLERANCE_SECONDS,
        exp: now + ASSERTION_SECONDS,
    })?;
    Ok(url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", GRANT_TYPE)
        .append_pair("assertion", &assertion)
        .finish())
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: Option<Value>,
}

#[derive(Deserialize)]
struct Denied {
    error: String,
}

/// Returns the token and its lifetime, or the class of the failure.
pub(super) fn read(response: &Response) -> Result<(String, Duration), AuthError> {
    if response.status.is_success() {
        return match serde_json::from_slice::<Granted>(&response.body) {
            Ok(granted) if (1..=MAX_TOKEN_BYTES).contains(&granted.access_token.len()) => {
                let lifetime = lifetime(granted.expires_in.as_ref());
                Ok((granted.access_token, lifetime))
            }
            _ => Err(AuthError::Unavailable { code: "OAUTH_UNREADABLE".into(), retry_after: None }),
        };
    }
    let status = response.status.as_u16();
    let code = match serde_json::from_slice::<Denied>(&response.body) {
        Ok(denied) => format!("OAUTH_{}", normalized(&denied.error)),
        Err(_) => format!("OAUTH_HTTP_{status}"),
    };
    let code = code.into();
    if response.status.is_server_error() || matches!(status, 408 | 429) {
        let retry_after =
            retry_after(&response.headers, Utc::now()).map(|asked| asked.min(MAX_WAIT));
        return Err(AuthError::Unavailable { code, retry_after });
    }
    Err(AuthError::Refused { code })
}

/// Returns the lifetime of a token, cut to [`MAX_LIFETIME`], or [`DEFAULT_LIFETIME`] if the
/// response names no usable one (zero, negative, no number).
fn lifetime(expires_in: Option<&Value>) -> Duration {
    let seconds =
        expires_in.and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()));
    match seconds {
        None | Some(0) => DEFAULT_LIFETIME,
        Some(seconds) => Duration::from_secs(seconds).min(MAX_LIFETIME),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    fn response(status: u16, body: &str) -> Response {
        let (status, body) =
            (StatusCode::from_u16(status).unwrap(), bytes::Bytes::copy_from_slice(body.as_bytes()));
        Response { status, headers: http::HeaderMap::new(), body }
    }

    #[test]
    fn reads_token_and_lifetime() {
        let granted =
            response(200, r#"{"access_token":"ya29.x","expires_in":3599,"token_type":"Bearer"}"#);
        assert_eq!(read(&granted), Ok(("ya29.x".into(), Duration::from_secs(3599))));
        let silent = response(200, r#"{"access_token":"ya29.x"}"#);
        assert_eq!(read(&silent), Ok(("ya29.x".into(), DEFAULT_LIFETIME)));
    }

    #[test]
    fn caps_life_of_token_when_absurd() {
        let life = |expires_in: &str| {
            let body = format!(r#"{{"access_token":"ya29.x","expires_in":{expires_in}}}"#);
            read(&response(200, &body)).expect("a token").1
        };
        for huge in ["18446744073709551615", "9300000000000000000", "3601", "\"86400\""] {
            assert_eq!(life(huge), MAX_LIFETIME, "{huge}");
        }
        for senseless in
            ["0", "-1", "1e300", "36893488147419103232", "null", "true", "\"soon\"", "[1]"]
        {
            assert_eq!(life(senseless), DEFAULT_LIFETIME, "{senseless}");
        }
        assert_eq!(life("\"1800\""), Duration::from_secs(1_800));
    }

    #[test]
    fn caps_wait_that_token_endpoint_asks_for() {
        let asked = |value: &str| {
            let mut response = response(503, "");
            response.headers.insert(http::header::RETRY_AFTER, value.parse().unwrap());
            match read(&response) {
                Err(AuthError::Unavailable { retry_after, .. }) => retry_after,
                other => panic!("{other:?}"),
            }
        };
        for huge in ["3600", "9300000000000000000", "Fri, 31 Dec 9999 23:59:59 GMT"] {
            assert_eq!(asked(huge), Some(MAX_WAIT), "{huge}");
        }
        assert_eq!(asked("Thu, 01 Jan 1970 00:00:00 GMT"), Some(Duration::ZERO));
        for senseless in ["-1", "1.5", "soon", ""] {
            assert_eq!(asked(senseless), None, "{senseless}");
        }
    }

    #[test]
    fn rejects_token_that_no_request_can_carry() {
        for token in ["".to_owned(), "x".repeat(MAX_TOKEN_BYTES + 1)] {
            let body = format!(r#"{{"access_token":"{token}","expires_in":3599}}"#);
            assert!(
                matches!(read(&response(200, &body)), Err(AuthError::Unavailable { .. })),
                "{} bytes",
                token.len()
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn reads_any_grant(
            expires_in in proptest::prelude::any::<f64>(),
            text in ".*",
            body in ".*",
            kind in 0..4usize,
        ) {
            let text = serde_json::Value::from(text).to_string();
            let whole = (expires_in as i64).to_string();
            let value = [expires_in.to_string(), text, whole, body.clone()];
            let granted = format!(r#"{{"access_token":"x","expires_in":{}}}"#, value[kind]);
            for body in [granted, body] {
                if let Ok((_, life)) = read(&response(200, &body)) {
                    proptest::prop_assert!(!life.is_zero() && life <= MAX_LIFETIME, "{:?}", life);
                }
            }
        }
    }

    #[test]
    fn is_refused_when_account_is_refused() {
        let cases = [
            (
                400,
                r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#,
                "OAUTH_INVALID_GRANT",
            ),
            (401, r#"{"error":"invalid_client"}"#, "OAUTH_INVALID_CLIENT"),
            (403, "<html>no</html>", "OAUTH_HTTP_403"),
            (404, "", "OAUTH_HTTP_404"),
        ];
        for (status, body, code) in cases {
            assert_eq!(
                read(&response(status, body)),
                Err(AuthError::Refused { code: code.into() })
            );
        }
    }

    #[test]
    fn is_unavailable_in_outage() {
        for status in [429, 500, 502, 503] {
            let error = read(&response(status, "<html>sorry</html>")).unwrap_err();
            assert!(matches!(error, AuthError::Unavailable { .. }), "{status}: {error:?}");
        }
        assert!(matches!(read(&response(200, "<html>")), Err(AuthError::Unavailable { .. })));
    }

    #[test]
    fn signs_assertion_for_messaging_within_an_hour() {
        let account = sandbox::service_account("https://oauth2.example.com").to_string();
        let form = form(&ServiceAccount::parse(&account).unwrap()).unwrap();
        let fields: std::collections::BTreeMap<_, _> =
            url::form_urlencoded::parse(form.as_bytes()).into_owned().collect();
        assert_eq!(fields["grant_type"], GRANT_TYPE);
        let claims =
            jsonwebtoken::dangerous::insecure_decode::<serde_json::Value>(&fields["assertion"])
                .unwrap()
                .claims;
        assert_eq!(claims["scope"], SCOPE);
        assert_eq!(claims["aud"], "https://oauth2.example.com/token");
        let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
        assert!(life <= 3600);
    }
}
