//! Key set of the token issuer (JWKS): fetched by URL, cached, and fetched again before it is too
//! old or when a token names an unknown key.
//!
//! A fetch is a task of its own, which requests await and cannot cancel. No lock is held meanwhile.
//! A set older than [`REFRESH_AFTER`] is still used and fetched again in the background; if the
//! issuer is unreachable, it is used until it is older than [`MAX_AGE`]. A key that the issuer has
//! removed is refused after the next fetch.

mod key;
mod policy;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::sync::watch;

use key::PublicKey;
use policy::{Budget, MAX_AGE, REFRESH_AFTER};
use service::http::{ApiError, Reason};

/// Time limit of one fetch, including connecting.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest key set, in bytes.
const MAX_BYTES: usize = 256 * 1024;

/// Key set of a token issuer.
pub(super) struct KeySet(Arc<Shared>);

struct Shared {
    url: String,
    client: reqwest::Client,
    state: Mutex<State>,
}

struct State {
    fetched: Option<Fetched>,
    budget: Budget,
    /// Open while a fetch is in progress; the sender is dropped with the task.
    fetch: Option<watch::Receiver<()>>,
}

struct Fetched {
    keys: Vec<PublicKey>,
    at: Instant,
}

/// Result of a look-up.
enum Lookup {
    Found(DecodingKey),
    /// A fetch may find the key; `true` if it was started by this look-up.
    Await(watch::Receiver<()>, bool),
    /// The set does not contain the key.
    Unknown,
    /// There is no set that is recent enough.
    Unavailable,
}

impl KeySet {
    pub(super) fn new(url: String) -> anyhow::Result<Self> {
        let client = service::http::client(TIMEOUT)?;
        let state =
            Mutex::new(State { fetched: None, budget: Budget::new(Instant::now()), fetch: None });
        Ok(Self(Arc::new(Shared { url, client, state })))
    }

    /// Returns the key that a token names, for its algorithm.
    pub(super) async fn key(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<DecodingKey, ApiError> {
        // A fetch that was already in progress may have been answered before the key was added. One
        // more fetch, started afterwards, decides.
        let (mut has_joined, mut is_last) = (false, false);
        loop {
            match self.0.look_up(kid, algorithm, is_last) {
                Lookup::Found(key) => return Ok(key),
                Lookup::Await(mut fetch, is_own) => {
                    // The only change is that the task ended and dropped the sender.
                    let _ = fetch.changed().await;
                    is_last = is_own || has_joined;
                    has_joined = true;
                }
                Lookup::Unknown => {
                    return Err(ApiError::new(
                        Reason::Unauthenticated,
                        "the bearer token's key is unknown",
                    ));
                }
                Lookup::Unavailable => {
                    return Err(ApiError::new(
                        Reason::UpstreamUnavailable,
                        "the token issuer's key set is unavailable; try again",
                    ));
                }
            }
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks up a key. Starts a fetch that may find it, unless the look-up is the last.
    fn look_up(self: &Arc<Self>, kid: Option<&str>, algorithm: Algorithm, is_last: bool) -> Lookup {
        let now = Instant::now();
        let mut state = self.state();
        let age = state.fetched.as_ref().map(|fetched| now.saturating_duration_since(fetched.at));
        let usable = state.fetched.as_ref().filter(|_| age.is_some_and(|age| age <= MAX_AGE));
        let found = usable.and_then(|fetched| key::find(&fetched.keys, kid, algorithm));
        let (is_usable, is_fresh) = (usable.is_some(), age.is_some_and(|age| age <= REFRESH_AFTER));
        if let Some(key) = found {
            if !is_fresh {
                // The set is used while it is fetched again.
                let _ = self.refresh(&mut state, now);
            }
            return Lookup::Found(key);
        }
        let fetch = if is_last { None } else { self.refresh(&mut state, now) };
        match fetch {
            Some((fetch, own)) => Lookup::Await(fetch, own),
            None if is_usable => Lookup::Unknown,
            None => Lookup::Unavailable,
        }
    }

    /// Joins the fetch in progress, or starts one if the budget allows.
    fn refresh(
        self: &Arc<Self>,
        state: &mut State,
        now: Instant,
    ) -> Option<(watch::Receiver<()>, bool)> {
        if let Some(fetch) = state.fetch.as_ref().filter(|fetch| fetch.has_changed().is_ok()) {
            return Some((fetch.clone(), false));
        }
        if !state.budget.take(now) {
            return None;
        }
        let (open, fetch) = watch::channel(());
        state.fetch = Some(fetch.clone());
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            shared.fetch().await;
            drop(open);
        });
        Some((fetch, true))
    }

    /// Fetches the set and caches it; after a failure the previous one stays.
    async fn fetch(&self) {
        match self.download().await {
            Ok(keys) => {
                if keys.is_empty() {
                    tracing::warn!(
                        "key set of the token issuer has no usable key, every token is refused"
                    );
                }
                metrics::counter!("reminders_jwks_fetches_total", "outcome" => "fetched")
                    .increment(1);
                self.state().fetched = Some(Fetched { keys, at: Instant::now() });
            }
            Err(error) => {
                metrics::counter!("reminders_jwks_fetches_total", "outcome" => "failed")
                    .increment(1);
                let has_keys = self.state().fetched.is_some();
                tracing::warn!(
                    error = format!("{error:#}"),
                    has_keys,
                    "key set of the token issuer was not fetched, will retry"
                );
            }
        }
    }

    async fn download(&self) -> anyhow::Result<Vec<PublicKey>> {
        // The URL may contain a secret.
        let without_url = reqwest::Error::without_url;
        let response = self.client.get(&self.url).send().await.map_err(without_url)?;
        let mut response = response.error_for_status().map_err(without_url)?;
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(without_url)? {
            text.extend_from_slice(&chunk);
            anyhow::ensure!(
                text.len() <= MAX_BYTES,
                "the key set is larger than {MAX_BYTES} bytes"
            );
        }
        key::read_set(&text)
    }
}
