//! A key set fetched by URL, kept, and fetched again when a token names a key that it does not have.

use std::time::{Duration, Instant};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{JwkSet, KeyAlgorithm},
};
use tokio::sync::Mutex;

use super::{ApiError, Reason};

/// How long a fetched set is used without asking again.
const FRESH: Duration = Duration::from_secs(600);
/// The least time between two fetches, so that tokens with invented key ids cannot make us hammer the issuer.
const PAUSE: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(5);
/// A key set larger than this is not one.
const MAX_BYTES: usize = 256 * 1024;

pub(super) struct KeySet {
    url: String,
    client: reqwest::Client,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    keys: Option<JwkSet>,
    fetched_at: Option<Instant>,
}

impl KeySet {
    pub(super) fn new(url: String) -> anyhow::Result<Self> {
        let client = super::client(TIMEOUT)?;
        Ok(Self { url, client, state: Mutex::new(State::default()) })
    }

    /// The key that a token names. The lock makes concurrent fetches one.
    pub(super) async fn key(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<DecodingKey, ApiError> {
        let mut state = self.state.lock().await;
        let age = state.fetched_at.map(|at| at.elapsed());
        let known = state.keys.as_ref().and_then(|keys| find(keys, kid, algorithm));
        let stale = age.is_none_or(|age| age > FRESH);
        if (known.is_none() || stale) && age.is_none_or(|age| age > PAUSE) {
            state.fetched_at = Some(Instant::now());
            match self.fetch().await {
                Ok(keys) => state.keys = Some(keys),
                Err(error) if state.keys.is_none() => {
                    state.fetched_at = None;
                    return Err(ApiError::unavailable("the token issuer's key set", error));
                }
                Err(error) => {
                    tracing::warn!(error = %error, "the key set could not be fetched again; the last one is used")
                }
            }
        }
        let key = state.keys.as_ref().and_then(|keys| find(keys, kid, algorithm));
        key.ok_or_else(|| ApiError::new(Reason::Unauthenticated, "the bearer token's key is unknown"))
    }

    async fn fetch(&self) -> anyhow::Result<JwkSet> {
        let mut response = self.client.get(&self.url).send().await?.error_for_status()?;
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            text.extend_from_slice(&chunk);
            anyhow::ensure!(text.len() <= MAX_BYTES, "the key set is too large");
        }
        Ok(serde_json::from_slice(&text)?)
    }
}

fn find(keys: &JwkSet, kid: Option<&str>, algorithm: Algorithm) -> Option<DecodingKey> {
    let named = |jwk: &&jsonwebtoken::jwk::Jwk| match kid {
        Some(kid) => jwk.common.key_id.as_deref() == Some(kid),
        None => keys.keys.len() == 1,
    };
    let fits = |algorithm_of_key: KeyAlgorithm| algorithm_of_key.to_string() == format!("{algorithm:?}");
    let jwk = keys.keys.iter().find(named)?;
    if jwk.common.key_algorithm.is_some_and(|it| !fits(it)) {
        return None;
    }
    DecodingKey::from_jwk(jwk).ok()
}
