//! Identity of the caller: from headers of the gateway, or from a verified bearer token.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, header::AUTHORIZATION, request::Parts},
};
use contract::{
    bounds::{MAX_IDENTITY, is_identity},
    text::is_blank,
};
use env_config::LiveSecret;
use secrecy::ExposeSecret;
use service::http::{ApiError, Reason};
use sha2::{Digest, Sha256};

use super::{jwt::JwtVerifier, rate_limit::Caller};
use crate::Auth;

/// The caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Id of the user.
    pub user_id: String,
    /// E-mail address of the user.
    pub email: String,
    /// `false` if the token says that the address is not verified (`email_verified`): then no
    /// e-mail is sent to it. Addresses that a gateway sets count as verified.
    pub email_verified: bool,
}

/// Headers that identify the caller and the request, for calls to other services on behalf of the
/// caller.
#[derive(Debug, Clone)]
pub struct Credentials(pub HeaderMap);

/// Names of the headers of [`Credentials`].
const CREDENTIALS: [HeaderName; 5] = [
    HeaderName::from_static("x-authenticated-userid"),
    HeaderName::from_static("x-consumer-username"),
    HeaderName::from_static("x-gateway-secret"),
    AUTHORIZATION,
    HeaderName::from_static("x-request-id"),
];

impl<S: Send + Sync> FromRequestParts<S> for Credentials {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let given = CREDENTIALS
            .into_iter()
            .filter_map(|name| Some((name.clone(), parts.headers.get(&name)?.clone())));
        Ok(Self(given.collect()))
    }
}

/// Identifies callers.
#[derive(Clone)]
pub struct Authenticator(Arc<Mode>);

enum Mode {
    Gateway(Option<LiveSecret>),
    Jwt(JwtVerifier),
}

impl Authenticator {
    /// Creates the configured authenticator.
    ///
    /// # Errors
    /// If a static key cannot be read, or the client for the key set cannot be built.
    pub fn new(auth: Auth) -> anyhow::Result<Self> {
        Ok(Self(Arc::new(match auth {
            Auth::Gateway { secret } => Mode::Gateway(secret),
            Auth::Jwt(settings) => Mode::Jwt(JwtVerifier::new(settings)?),
        })))
    }

    /// Identifies the caller of a request.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the caller cannot be identified; `UPSTREAM_UNAVAILABLE` if there is no
    /// key set.
    pub async fn identify(&self, headers: &HeaderMap) -> Result<Identity, ApiError> {
        match &*self.0 {
            Mode::Gateway(secret) => gateway(headers, secret.as_ref()),
            Mode::Jwt(verifier) => verifier.identify(headers).await,
        }
    }
}

fn unauthenticated(message: &str) -> ApiError {
    ApiError::new(Reason::Unauthenticated, message)
}

/// Reads a header that must occur once and be an id or an address in UTF-8. Ids are compared byte
/// by byte: `zoë` with one character for the last letter and with two are different users, as they
/// are in the `sub` of a token (RFC 7519, section 4.1.2).
fn single<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, ApiError> {
    let refused = |problem: &str| unauthenticated(&format!("{name} {problem}"));
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or_else(|| refused("is missing"))?;
    if values.next().is_some() {
        return Err(refused("is given more than once"));
    }
    let value = str::from_utf8(value.as_bytes().trim_ascii())
        .map_err(|_| refused("is not UTF-8: encode the value as UTF-8"))?;
    check(value).map_err(refused)?;
    Ok(value)
}

/// Checks the id or the address of a user.
///
/// # Errors
/// The rule that the text breaks.
pub(super) fn check(text: &str) -> Result<(), &'static str> {
    if is_blank(text) {
        Err("is empty or has no visible character")
    } else if text.len() > MAX_IDENTITY {
        Err("has more than 255 bytes")
    } else if !is_identity(text) {
        Err("has control characters, U+FFFE or U+FFFF")
    } else {
        Ok(())
    }
}

fn gateway(headers: &HeaderMap, secret: Option<&LiveSecret>) -> Result<Identity, ApiError> {
    if let Some(secret) = secret {
        let mut given = headers.get_all("x-gateway-secret").iter();
        let is_proven = given.next().is_some_and(|given| {
            is_same(given.as_bytes().trim_ascii(), secret.current().expose_secret().as_bytes())
        });
        if !is_proven || given.next().is_some() {
            return Err(unauthenticated("the request did not come through the gateway"));
        }
    }
    if headers.get_all("x-anonymous-consumer").iter().any(|value| value.as_bytes() != b"false") {
        return Err(unauthenticated("anonymous callers have no reminders"));
    }
    let user_id = single(headers, "X-Authenticated-Userid")?;
    let email = single(headers, "X-Consumer-Username")?;
    Ok(Identity { user_id: user_id.to_owned(), email: email.to_owned(), email_verified: true })
}

/// Compares in constant time.
fn is_same(given: &[u8], expected: &[u8]) -> bool {
    Sha256::digest(given) == Sha256::digest(expected)
}

impl<S: Send + Sync> FromRequestParts<S> for Identity {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        if let Some(caller) = parts.extensions.get::<Caller>() {
            return caller.identity.clone();
        }
        let authenticator = parts.extensions.get::<Authenticator>().cloned();
        let authenticator = authenticator
            .ok_or_else(|| ApiError::unexpected("the routes are not wrapped by rest::api"))?;
        authenticator.identify(&parts.headers).await
    }
}
