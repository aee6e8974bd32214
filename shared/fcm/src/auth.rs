//! Access tokens for FCM: fetched once for all requests, renewed before they expire, replaced if
//! refused.
//!
//! This module exchanges signed assertions for tokens (RFC 7523, as Google documents it for service
//! accounts) with `jsonwebtoken` and its own transport. yup-oauth2, which honours `token_uri`, does
//! not fit: it parses every response as the JSON of a token, so that a 503 cannot be distinguished
//! from a refused key; it has no single flight and no timeout; and it logs the signed assertion and
//! the access token at debug level.

mod grant;

use super::account::ServiceAccount;
use super::outcome::{Code, Outcome};
use super::setup_error::SetupError;
use super::single_flight::SingleFlight;
use super::transport::{Target, Tls, Transport, TransportSettings};
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Time before its expiry at which a token is renewed, or a fifth of its lifetime if that is
/// shorter.
const RENEW_BEFORE: Duration = Duration::from_secs(5 * 60);
/// Time for which a failed fetch is the answer to all callers (longer if the endpoint asked for
/// it), so that a burst makes one call instead of hundreds.
const FAILURE_CACHED_FOR: Duration = Duration::from_secs(1);
/// Least age at which a replacement token that FCM never accepted is replaced again.
const UNPROVEN_TOKEN_KEPT_FOR: Duration = Duration::from_secs(10);
/// Least age at which a replacement token that FCM accepted is replaced again: a concurrent refusal
/// has another cause.
const PROVEN_TOKEN_KEPT_FOR: Duration = Duration::from_secs(2);

/// Failure to get an access token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum AuthError {
    /// The token endpoint refuses the account, key or request.
    #[error("the token endpoint refused the service account: {code}")]
    Refused {
        /// Code of the failure.
        code: Code,
    },
    /// The token endpoint does not work at the moment.
    #[error("the token endpoint is unavailable: {code}")]
    Unavailable {
        /// Code of the failure.
        code: Code,
        /// Wait that the endpoint asked for.
        retry_after: Option<Duration>,
    },
}

impl AuthError {
    /// Returns the time for which all callers get this error.
    fn cached_for(&self) -> Duration {
        match self {
            AuthError::Unavailable { retry_after: Some(asked), .. } => {
                FAILURE_CACHED_FOR.max(*asked)
            }
            AuthError::Unavailable { .. } | AuthError::Refused { .. } => FAILURE_CACHED_FOR,
        }
    }
}

impl From<AuthError> for Outcome {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Refused { code } => Outcome::KeyRefused { code },
            AuthError::Unavailable { code, retry_after } => {
                Outcome::Unavailable { retry_after, code, maybe_delivered: false }
            }
        }
    }
}

/// Access token, as the headers of a request.
pub(super) struct Bearer {
    headers: HeaderMap,
    issued_at: Instant,
    renew_at: Instant,
    expires_at: Instant,
    replaces_refused: bool,
    accepted_by_fcm: AtomicBool,
}

impl Bearer {
    fn new(token: &str, lifetime: Duration, replaces_refused: bool) -> Result<Self, AuthError> {
        let unreadable = |_| AuthError::Unavailable {
            code: Cow::Borrowed("OAUTH_UNREADABLE"),
            retry_after: None,
        };
        let mut headers = HeaderMap::with_capacity(4);
        // Not marked as sensitive: HPACK would then send its thousand bytes with every message. No
        // data of others shares the connection, and no header is logged.
        headers.insert(
            AUTHORIZATION,
            HeaderValue::try_from(format!("Bearer {token}")).map_err(unreadable)?,
        );
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let now = Instant::now();
        Ok(Bearer {
            headers,
            issued_at: now,
            renew_at: later(now, lifetime.saturating_sub(RENEW_BEFORE.min(lifetime / 5))),
            expires_at: later(now, lifetime),
            replaces_refused,
            accepted_by_fcm: AtomicBool::new(false),
        })
    }

    /// Returns the headers of a request with this token.
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Records that FCM accepted the token.
    pub(super) fn mark_accepted(&self) {
        if !self.accepted_by_fcm.load(Ordering::Relaxed) {
            self.accepted_by_fcm.store(true, Ordering::Relaxed);
        }
    }

    fn may_be_replaced(&self) -> bool {
        let holds = if self.accepted_by_fcm.load(Ordering::Relaxed) {
            PROVEN_TOKEN_KEPT_FOR
        } else {
            UNPROVEN_TOKEN_KEPT_FOR
        };
        !self.replaces_refused || self.issued_at.elapsed() > holds
    }
}

/// Returns `at + wait`, or `at` if the clock cannot represent the sum: such a token is renewed
/// immediately.
fn later(at: Instant, wait: Duration) -> Instant {
    at.checked_add(wait).unwrap_or(at)
}

/// Source of access tokens.
pub(super) struct Auth {
    inner: Arc<Inner>,
}

struct Inner {
    account: ServiceAccount,
    transport: Transport,
    target: Target,
    state: RwLock<State>,
    fetch: SingleFlight<Result<Arc<Bearer>, AuthError>>,
}

#[derive(Default)]
struct State {
    current: Option<Arc<Bearer>>,
    failure: Option<(Instant, AuthError)>,
}

impl Auth {
    /// Creates the source without fetching a token. `timeout` bounds each call to the token
    /// endpoint.
    pub(super) fn new(
        account: ServiceAccount,
        tls: &Tls,
        timeout: Duration,
    ) -> Result<Self, SetupError> {
        let mut settings = TransportSettings::with_connections(1);
        settings.request_timeout = timeout;
        settings.connect_timeout = settings.connect_timeout.min(timeout);
        let transport = Transport::new(account.token_uri(), tls, settings)?;
        let target = transport
            .target(&account.token_uri()[url::Position::BeforePath..url::Position::AfterQuery])?;
        let (state, fetch) = (RwLock::default(), SingleFlight::new());
        Ok(Auth { inner: Arc::new(Inner { account, transport, target, state, fetch }) })
    }

    /// Returns the current token. A token near its expiry is renewed in the background while it is
    /// still used; callers wait only if there is no valid token.
    pub(super) async fn bearer(&self) -> Result<Arc<Bearer>, AuthError> {
        let now = Instant::now();
        let current = self.inner.current();
        match current {
            Some(bearer) if now < bearer.renew_at => Ok(bearer),
            Some(bearer) if now < bearer.expires_at => {
                if !self.inner.fetch.is_running() && self.inner.recent_failure().is_none() {
                    let (inner, old) = (Arc::clone(&self.inner), Arc::clone(&bearer));
                    tokio::spawn(async move { inner.renew(Some(&old), false).await });
                }
                Ok(bearer)
            }
            old => self.inner.renew(old.as_ref(), false).await,
        }
    }

    /// Returns a token other than `refused`, which FCM did not accept, fetched once for all callers
    /// with the same one. Returns `None` if a replacement was fetched a moment ago and did not
    /// help.
    pub(super) async fn replace(
        &self,
        refused: &Arc<Bearer>,
    ) -> Option<Result<Arc<Bearer>, AuthError>> {
        if !refused.may_be_replaced() {
            return None;
        }
        Some(self.inner.renew(Some(refused), true).await)
    }
}

impl Inner {
    fn current(&self) -> Option<Arc<Bearer>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).current.clone()
    }

    fn recent_failure(&self) -> Option<AuthError> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let (at, error) = state.failure.as_ref()?;
        (at.elapsed() < error.cached_for()).then(|| error.clone())
    }

    /// Fetches a token in place of `old`, unless another caller has just done so or failed to.
    async fn renew(
        self: &Arc<Self>,
        old: Option<&Arc<Bearer>>,
        refused: bool,
    ) -> Result<Arc<Bearer>, AuthError> {
        let already = || match (self.current(), old) {
            (Some(current), Some(old)) if Arc::ptr_eq(&current, old) => {
                self.recent_failure().map(Err)
            }
            (Some(current), _) => Some(Ok(current)),
            (None, _) => self.recent_failure().map(Err),
        };
        self.fetch.join(already, || Arc::clone(self).fetch(refused)).await
    }

    async fn fetch(self: Arc<Self>, refused: bool) -> Result<Arc<Bearer>, AuthError> {
        let fetched = self
            .exchange()
            .await
            .and_then(|(token, lifetime)| Bearer::new(&token, lifetime, refused));
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        match fetched {
            Ok(bearer) => {
                let bearer = Arc::new(bearer);
                *state = State { current: Some(Arc::clone(&bearer)), failure: None };
                Ok(bearer)
            }
            Err(error) => {
                tracing::warn!(error = %error, "access token for FCM was not obtained, will retry");
                state.failure = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    async fn exchange(&self) -> Result<(String, Duration), AuthError> {
        let form = grant::form(&self.account)
            .map_err(|_| AuthError::Refused { code: "OAUTH_SIGNING".into() })?;
        let mut headers = HeaderMap::with_capacity(2);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        // Only the transport's own timeout bounds when the request is sent.
        let start_by = later(Instant::now(), RENEW_BEFORE);
        let response =
            self.transport.post(&self.target, &headers, form.into(), start_by).await.map_err(
                |error| AuthError::Unavailable {
                    code: format!("OAUTH_{}", error.code()).into(),
                    retry_after: None,
                },
            )?;
        grant::read(&response)
    }
}
