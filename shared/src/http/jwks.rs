//! The token issuer's key set: fetched by URL, kept, and fetched again before it is too old or when
//! a token names a key that it does not have.
//!
//! A fetch is a task of its own: requests wait for its end, and no request's end ends it. No lock
//! is held meanwhile. While a set is older than [`FRESH`], it is still used and fetched again in
//! the background; when the issuer stays away, it is used until it is older than [`MAX_AGE`]. A key
//! that the issuer has withdrawn is refused from the next fetch on.

mod key;
mod policy;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::sync::watch;

use super::{ApiError, Reason};
use key::PublicKey;
use policy::{Budget, FRESH, MAX_AGE};

/// Time that one fetch may take, connecting included.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest key set, in bytes.
const MAX_BYTES: usize = 256 * 1024;

/// The keys of a token issuer.
pub(super) struct KeySet(Arc<Shared>);

struct Shared {
    url: String,
    client: reqwest::Client,
    state: Mutex<State>,
}

struct State {
    fetched: Option<Fetched>,
    budget: Budget,
    /// Open while a fetch is under way: its other end is dropped with the task.
    flight: Option<watch::Receiver<()>>,
}

struct Fetched {
    keys: Vec<PublicKey>,
    at: Instant,
}

/// Result of a look at the keys.
enum Look {
    Found(DecodingKey),
    /// A fetch may bring the key; true if it was begun for this look.
    Await(watch::Receiver<()>, bool),
    /// The set is there and does not have the key.
    Unknown,
    /// There is no set that may still be used.
    Unavailable,
}

impl KeySet {
    pub(super) fn new(url: String) -> anyhow::Result<Self> {
        metrics::describe_counter!(
            "reminders_jwks_fetches_total",
            "Fetches of the token issuer's key set by outcome"
        );
        let client = super::client(TIMEOUT)?;
        let state =
            Mutex::new(State { fetched: None, budget: Budget::new(Instant::now()), flight: None });
        Ok(Self(Arc::new(Shared { url, client, state })))
    }

    /// The key that a token names, for the algorithm that it names.
    pub(super) async fn key(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<DecodingKey, ApiError> {
        // A fetch that was under way already may have been answered before the key was there: one
        // more, begun afterwards, decides.
        let (mut has_joined, mut is_last) = (false, false);
        loop {
            match self.0.look(kid, algorithm, is_last) {
                Look::Found(key) => return Ok(key),
                Look::Await(mut flight, is_own) => {
                    // The only change is that the task, which holds the other end, is over.
                    let _ = flight.changed().await;
                    is_last = is_own || has_joined;
                    has_joined = true;
                }
                Look::Unknown => {
                    return Err(ApiError::new(
                        Reason::Unauthenticated,
                        "the bearer token's key is unknown",
                    ));
                }
                Look::Unavailable => {
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

    /// Looks for a key. Begins a fetch where one may help, unless the look is the last.
    fn look(self: &Arc<Self>, kid: Option<&str>, algorithm: Algorithm, is_last: bool) -> Look {
        let now = Instant::now();
        let mut state = self.state();
        let age = state.fetched.as_ref().map(|fetched| now.saturating_duration_since(fetched.at));
        let usable = state.fetched.as_ref().filter(|_| age.is_some_and(|age| age <= MAX_AGE));
        let found = usable.and_then(|fetched| key::find(&fetched.keys, kid, algorithm));
        let (is_usable, is_fresh) = (usable.is_some(), age.is_some_and(|age| age <= FRESH));
        if let Some(key) = found {
            if !is_fresh {
                // The set serves while it is fetched again.
                let _ = self.refresh(&mut state, now);
            }
            return Look::Found(key);
        }
        let flight = if is_last { None } else { self.refresh(&mut state, now) };
        match flight {
            Some((flight, own)) => Look::Await(flight, own),
            None if is_usable => Look::Unknown,
            None => Look::Unavailable,
        }
    }

    /// Joins the fetch under way, or begins one if the budget allows.
    fn refresh(
        self: &Arc<Self>,
        state: &mut State,
        now: Instant,
    ) -> Option<(watch::Receiver<()>, bool)> {
        if let Some(flight) = state.flight.as_ref().filter(|flight| flight.has_changed().is_ok()) {
            return Some((flight.clone(), false));
        }
        if !state.budget.take(now) {
            return None;
        }
        let (open, flight) = watch::channel(());
        state.flight = Some(flight.clone());
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            shared.fetch().await;
            drop(open);
        });
        Some((flight, true))
    }

    /// Fetches the set and keeps it; a failure keeps the one before.
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
        // The address may hold a secret of its own.
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
