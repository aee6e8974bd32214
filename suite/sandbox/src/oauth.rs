//! Google's OAuth 2.0 token endpoint for service accounts.
//!
//! See "Using OAuth 2.0 for Server to Server Applications" in Google's documentation, and RFC 7523.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Json,
    body::Bytes,
    extract::State as Shared,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{sandbox::State, server};

/// Account in [`service_account`].
const CLIENT_EMAIL: &str = "sandbox@reminders-sandbox.iam.gserviceaccount.com";
/// Firebase project of the account.
const PROJECT: &str = "reminders-sandbox";
/// Key pair that only sandboxes accept.
const PRIVATE_KEY: &str = include_str!("../keys/test-only-private-key.pem");
const PUBLIC_KEY: &[u8] = include_bytes!("../keys/test-only-public-key.pem");

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const SCOPES: [&str; 2] = [
    "https://www.googleapis.com/auth/firebase.messaging",
    "https://www.googleapis.com/auth/cloud-platform",
];
/// Number of tokens at which expired ones are removed.
const PURGE_AT: usize = 1_000;

/// Builds a service account like one of the Firebase console, whose `token_uri` is the sandbox at
/// `base_url`.
pub fn service_account(base_url: &str) -> Value {
    let base_url = base_url.trim_end_matches('/');
    json!({
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": "0000000000000000000000000000000000000000",
        "private_key": PRIVATE_KEY,
        "client_email": CLIENT_EMAIL,
        "client_id": "100000000000000000000",
        "auth_uri": format!("{base_url}/auth"),
        "token_uri": format!("{base_url}/token"),
        "auth_provider_x509_cert_url": format!("{base_url}/certs"),
        "client_x509_cert_url": format!("{base_url}/certs/sandbox"),
        "universe_domain": "googleapis.com",
    })
}

/// Access tokens that were issued.
#[derive(Debug)]
pub(crate) struct Tokens {
    lifetime: Duration,
    expiries: Mutex<HashMap<String, Instant>>,
}

impl Tokens {
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self { lifetime, expiries: Mutex::default() }
    }

    pub(crate) fn revoke(&self) {
        self.lock().clear();
    }

    /// Returns `true` if the request carries a token that was issued here and has not expired.
    pub(crate) fn allow(&self, headers: &HeaderMap) -> bool {
        let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.and_then(|value| value.strip_prefix("Bearer "));
        token.is_some_and(|token| {
            self.lock().get(token).is_some_and(|expiry| Instant::now() < *expiry)
        })
    }

    fn issue(&self, lifetime: Duration) -> String {
        let token = format!("ya29.sandbox-{}", Uuid::now_v7().simple());
        let now = Instant::now();
        let mut expiries = self.lock();
        if expiries.len() >= PURGE_AT {
            expiries.retain(|_, expiry| now < *expiry);
        }
        expiries.insert(token.clone(), now + lifetime);
        token
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.expiries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Deserialize)]
struct Claims {
    scope: Option<String>,
    aud: String,
    iat: u64,
    exp: u64,
}

/// `POST /token`.
pub(crate) async fn token(Shared(state): Shared<Arc<State>>, body: Bytes) -> Response {
    let mode = state.mode();
    if mode.oauth.down {
        return server::broken();
    }
    tokio::time::sleep(Duration::from_millis(mode.oauth.latency_ms)).await;
    if let Some(status) = mode.oauth.status.and_then(|status| StatusCode::from_u16(status).ok()) {
        return refuse_all(status);
    }
    if let Err(refusal) = check(&body) {
        return refuse(StatusCode::BAD_REQUEST, refusal.0, &refusal.1);
    }
    let lifetime = mode.oauth.expires_in.map_or(state.tokens.lifetime, Duration::from_secs);
    let access_token = state.tokens.issue(lifetime);
    state.store.count(|stats| stats.oauth_refreshes += 1);
    Json(json!({
        "access_token": access_token,
        "expires_in": lifetime.as_secs(),
        "token_type": "Bearer",
    }))
    .into_response()
}

/// Code and description of an OAuth error.
type Refusal = (&'static str, String);

fn check(body: &[u8]) -> Result<(), Refusal> {
    let form: HashMap<_, _> = url::form_urlencoded::parse(body).collect();
    match form.get("grant_type") {
        Some(grant) if grant == GRANT_TYPE => {}
        Some(grant) => {
            return Err(("unsupported_grant_type", format!("Invalid grant_type: {grant}")));
        }
        None => {
            return Err((
                "invalid_request",
                "Required parameter is missing: grant_type".to_owned(),
            ));
        }
    }
    let assertion = form
        .get("assertion")
        .ok_or(("invalid_request", "Required parameter is missing: assertion".to_owned()))?;
    let claims = verified(assertion)?;
    if !claims.aud.ends_with("/token") {
        return Err(("invalid_grant", "Invalid JWT: Failed audience check.".to_owned()));
    }
    if claims.exp.saturating_sub(claims.iat) > 3_660 {
        let message = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a \
                       reasonable timeframe.";
        return Err(("invalid_grant", message.to_owned()));
    }
    let scope = claims.scope.unwrap_or_default();
    if !scope.split_whitespace().any(|scope| SCOPES.contains(&scope)) {
        return Err((
            "invalid_scope",
            "Invalid OAuth scope or ID token audience provided.".to_owned(),
        ));
    }
    Ok(())
}

fn verified(assertion: &str) -> Result<Claims, Refusal> {
    jwt_crypto::install();
    let signature =
        |error: jsonwebtoken::errors::Error| ("invalid_grant", format!("Invalid JWT: {error}."));
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_required_spec_claims(&["iss", "aud", "exp"]);
    validation.set_issuer(&[CLIENT_EMAIL]);
    // The sandbox has several host names; only the path is checked, below.
    validation.validate_aud = false;
    let key = DecodingKey::from_rsa_pem(PUBLIC_KEY).map_err(signature)?;
    jsonwebtoken::decode::<Claims>(assertion, &key, &validation)
        .map(|token| token.claims)
        .map_err(signature)
}

fn refuse_all(status: StatusCode) -> Response {
    match status.as_u16() {
        400 => refuse(status, "invalid_grant", "Invalid JWT Signature."),
        401 => refuse(status, "invalid_client", "The OAuth client was not found."),
        403 => refuse(status, "access_denied", "Account restricted"),
        429 => refuse(status, "rate_limit_exceeded", "Rate limit exceeded."),
        _ => refuse(status, "internal_failure", "Internal error."),
    }
}

fn refuse(status: StatusCode, error: &str, description: &str) -> Response {
    (status, Json(json!({"error": error, "error_description": description}))).into_response()
}
