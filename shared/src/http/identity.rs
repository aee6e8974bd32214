//! Who calls: from the gateway's headers, or from a verified bearer token.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, header::AUTHORIZATION, request::Parts},
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use secrecy::ExposeSecret;
use serde::Deserialize;

use super::{ApiError, Reason, jwks::KeySet};
use crate::{
    config::{Auth, JwtSettings, LiveSecret},
    contract::bounds::is_identity,
};

/// The algorithms a token may be signed with: asymmetric ones only.
const ALGORITHMS: [Algorithm; 7] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// The caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user's id.
    pub user_id: String,
    /// Where the user's e-mail goes.
    pub email: String,
}

/// The headers by which a caller is identified, to ask another service in the caller's name.
#[derive(Debug, Clone)]
pub struct Credentials(pub HeaderMap);

/// Those headers.
const CREDENTIALS: [HeaderName; 4] = [
    HeaderName::from_static("x-authenticated-userid"),
    HeaderName::from_static("x-consumer-username"),
    HeaderName::from_static("x-gateway-secret"),
    AUTHORIZATION,
];

impl<S: Send + Sync> FromRequestParts<S> for Credentials {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let given = CREDENTIALS.into_iter().filter_map(|name| Some((name.clone(), parts.headers.get(&name)?.clone())));
        Ok(Self(given.collect()))
    }
}

/// Finds out who calls.
#[derive(Clone)]
pub struct Authenticator(Arc<Mode>);

enum Mode {
    Gateway(Option<LiveSecret>),
    Jwt { settings: JwtSettings, keys: Keys },
}

enum Keys {
    Static { key: DecodingKey, algorithms: Vec<Algorithm> },
    Set(KeySet),
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    email: Option<String>,
}

impl Authenticator {
    /// The authenticator that a configuration asks for.
    ///
    /// # Errors
    /// When a static key cannot be read, or the client for the key set cannot be built.
    pub fn new(auth: Auth) -> anyhow::Result<Self> {
        Ok(Self(Arc::new(match auth {
            Auth::Gateway { secret } => Mode::Gateway(secret),
            Auth::Jwt(settings) => {
                let keys = match (&settings.public_key, &settings.jwks_url) {
                    (Some(pem), _) => static_key(pem)?,
                    (None, Some(url)) => Keys::Set(KeySet::new(url.clone())?),
                    (None, None) => anyhow::bail!("neither JWT_PUBLIC_KEY nor JWT_JWKS_URL is set"),
                };
                Mode::Jwt { settings, keys }
            }
        })))
    }

    /// The caller of a request.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when nobody is identified; `UPSTREAM_UNAVAILABLE` when the key set cannot be fetched.
    pub async fn identify(&self, headers: &HeaderMap) -> Result<Identity, ApiError> {
        match &*self.0 {
            Mode::Gateway(secret) => gateway(headers, secret.as_ref()),
            Mode::Jwt { settings, keys } => bearer(headers, settings, keys).await,
        }
    }
}

fn unauthenticated(message: &str) -> ApiError {
    ApiError::new(Reason::Unauthenticated, message)
}

/// A header's only value; a header given twice is nobody's.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?.trim();
    (is_identity(value) && values.next().is_none()).then_some(value)
}

fn gateway(headers: &HeaderMap, secret: Option<&LiveSecret>) -> Result<Identity, ApiError> {
    if let Some(secret) = secret {
        let given = single(headers, "x-gateway-secret").unwrap_or_default();
        if !same(given.as_bytes(), secret.current().expose_secret().as_bytes()) {
            return Err(unauthenticated("the request did not come through the gateway"));
        }
    }
    if headers.get("x-anonymous-consumer").is_some_and(|value| value.as_bytes() != b"false") {
        return Err(unauthenticated("anonymous callers have no reminders"));
    }
    let user_id = single(headers, "x-authenticated-userid")
        .ok_or_else(|| unauthenticated("X-Authenticated-Userid is missing"))?;
    let email =
        single(headers, "x-consumer-username").ok_or_else(|| unauthenticated("X-Consumer-Username is missing"))?;
    Ok(Identity { user_id: user_id.to_owned(), email: email.to_owned() })
}

/// Compares in a time that does not tell where the difference is.
fn same(given: &[u8], expected: &[u8]) -> bool {
    use sha2::{Digest, Sha256};
    Sha256::digest(given) == Sha256::digest(expected)
}

fn static_key(pem: &str) -> anyhow::Result<Keys> {
    let pem = pem.replace("\\n", "\n");
    let rsa = [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256].to_vec();
    if let Ok(key) = DecodingKey::from_rsa_pem(pem.as_bytes()) {
        return Ok(Keys::Static { key, algorithms: rsa });
    }
    if let Ok(key) = DecodingKey::from_ec_pem(pem.as_bytes()) {
        return Ok(Keys::Static { key, algorithms: vec![Algorithm::ES256] });
    }
    match DecodingKey::from_ed_pem(pem.as_bytes()) {
        Ok(key) => Ok(Keys::Static { key, algorithms: vec![Algorithm::EdDSA] }),
        Err(_) => anyhow::bail!("JWT_PUBLIC_KEY is no PEM public key (RSA, EC or Ed25519)"),
    }
}

async fn bearer(headers: &HeaderMap, settings: &JwtSettings, keys: &Keys) -> Result<Identity, ApiError> {
    let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = value.strip_prefix("Bearer ").ok_or_else(|| unauthenticated("a bearer token is missing"))?;
    let header = decode_header(token).map_err(|_| unauthenticated("the bearer token is malformed"))?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(unauthenticated("the bearer token's algorithm is not accepted"));
    }
    let (key, algorithms) = match keys {
        Keys::Static { key, algorithms } => (key.clone(), algorithms.clone()),
        Keys::Set(set) => (set.key(header.kid.as_deref(), header.alg).await?, vec![header.alg]),
    };
    if !algorithms.contains(&header.alg) {
        return Err(unauthenticated("the bearer token's algorithm is not accepted"));
    }
    let mut validation = Validation::new(header.alg);
    validation.algorithms = algorithms;
    validation.validate_nbf = true;
    match &settings.issuer {
        Some(issuer) => {
            validation.set_issuer(&[issuer]);
            validation.required_spec_claims.insert("iss".to_owned());
        }
        None => validation.iss = None,
    }
    match &settings.audience {
        Some(audience) => {
            validation.set_audience(&[audience]);
            validation.required_spec_claims.insert("aud".to_owned());
        }
        None => validation.validate_aud = false,
    }
    let claims = decode::<Claims>(token, &key, &validation)
        .map_err(|_| unauthenticated("the bearer token is not valid"))?
        .claims;
    let email = claims
        .email
        .filter(|email| !email.is_empty())
        .ok_or_else(|| unauthenticated("the bearer token names no email"))?;
    if !is_identity(&claims.sub) || !is_identity(&email) {
        return Err(unauthenticated("the bearer token's sub or email is malformed"));
    }
    Ok(Identity { user_id: claims.sub, email })
}

impl<S: Send + Sync> FromRequestParts<S> for Identity {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let authenticator = parts.extensions.get::<Authenticator>().cloned();
        let authenticator =
            authenticator.ok_or_else(|| ApiError::unexpected("the routes are not wrapped by shared::http::api"))?;
        authenticator.identify(&parts.headers).await
    }
}
