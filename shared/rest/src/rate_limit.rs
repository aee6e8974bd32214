//! Rate limits for the calls of a user, or of an address without an identified user.
//!
//! Each process counts separately, so that no call waits for another machine: with N replicas
//! behind a balancer, a user may make up to N times as many calls.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    net::IpAddr,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{Method, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use env_config::Reader;
use governor::{DefaultKeyedRateLimiter, Quota, clock::Clock};
use service::http::{ApiError, Peer, Reason};

use super::{Authenticator, Identity, docs, response_limits::ResponseLimits};

/// Most callers in memory, 48 bytes each; further callers share one allowance.
const MAX_CALLERS: usize = 100_000;
/// Number of calls between two purges of callers whose allowance is full again.
const PURGE_EVERY: usize = 4_096;
/// Key of all callers beyond [`MAX_CALLERS`].
const OVERFLOW: u64 = 0;
/// Number of entries of a bulk request that cost one call.
pub const ENTRIES_PER_CALL: usize = 20;

/// Allowance of one caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Calls per second, on average.
    pub per_second: NonZeroU32,
    /// Largest number of calls in a burst.
    pub burst: NonZeroU32,
}

impl RateLimit {
    /// Reads `RATE_LIMIT_PER_SECOND` and `RATE_LIMIT_BURST`. The outer option is `None` after a
    /// fault, the inner one if limits are disabled.
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Option<Self>> {
        const RANGE: &str = "is malformed: expected a number up to 1000000";
        let (rate, size) = ("RATE_LIMIT_PER_SECOND", "RATE_LIMIT_BURST");
        let per_second: Option<u32> =
            reader.or(rate, "calls of one user per second and replica; 0: no limit", 60);
        let burst: Option<u32> = reader.or(size, "calls of one user in a burst", 300);
        for (name, value, least) in [(rate, per_second, 0), (size, burst, 1)] {
            if value.is_some_and(|value| !(least..=1_000_000).contains(&value)) {
                reader.fault(name, RANGE);
                return None;
            }
        }
        let burst = NonZeroU32::new(burst?)?;
        Some(NonZeroU32::new(per_second?).map(|per_second| Self { per_second, burst }))
    }
}

/// Rate limiter of one API.
#[derive(Clone)]
pub(super) struct Limiter(Arc<Inner>);

struct Inner {
    limiter: DefaultKeyedRateLimiter<u64>,
    hasher: RandomState,
    burst: NonZeroU32,
    calls: AtomicUsize,
}

impl Limiter {
    pub(super) fn new(limit: RateLimit) -> Self {
        let quota = Quota::per_second(limit.per_second).allow_burst(limit.burst);
        Self(Arc::new(Inner {
            limiter: DefaultKeyedRateLimiter::hashmap(quota),
            hasher: RandomState::new(),
            burst: limit.burst,
            calls: AtomicUsize::new(0),
        }))
    }

    fn key(&self, caller: impl Hash) -> u64 {
        let Inner { limiter, hasher, calls, .. } = &*self.0;
        if calls.fetch_add(1, Ordering::Relaxed) % PURGE_EVERY == PURGE_EVERY - 1 {
            limiter.retain_recent();
        }
        if limiter.len() < MAX_CALLERS { hasher.hash_one(caller) } else { OVERFLOW }
    }

    /// Takes calls from the allowance of a caller.
    ///
    /// # Errors
    /// `RATE_LIMITED` if it is used up, with the time after which it is available again.
    fn take(&self, key: u64, calls: NonZeroU32) -> Result<(), ApiError> {
        let Inner { limiter, burst, .. } = &*self.0;
        let Ok(Err(refused)) = limiter.check_key_n(&key, calls.min(*burst)) else { return Ok(()) };
        let wait = refused.wait_time_from(limiter.clock().now());
        Err(ApiError::new(Reason::RateLimited, "you make too many calls; try again later")
            .after(wait))
    }
}

/// Caller of a request: an extension of each request.
#[derive(Clone)]
pub(super) struct Caller {
    /// Identity of the caller, determined once.
    pub(super) identity: Result<Identity, ApiError>,
    /// Key of the caller: the same for all calls of a user in this process.
    pub(super) key: u64,
    limiter: Option<Limiter>,
}

/// State of the middleware.
#[derive(Clone)]
pub(super) struct Admission {
    pub(super) authenticator: Authenticator,
    pub(super) limiter: Option<Limiter>,
    pub(super) responses: ResponseLimits,
    pub(super) hasher: RandomState,
    pub(super) public_routes: &'static [&'static str],
}

impl Admission {
    /// Returns whether a request needs no identity.
    fn is_public(&self, request: &Request) -> bool {
        let route = request.extensions().get::<MatchedPath>();
        route.is_some_and(|route| self.public_routes.contains(&route.as_str()))
            || docs::PATHS.contains(&request.uri().path())
    }
}

/// Middleware that identifies the caller and takes the call from the allowance of the caller. Calls
/// without an identity are taken from the allowance of their address. If callers cannot be
/// identified because there is no key set, that address could be the ingress of all users, so the
/// call is answered with 503 and not counted. The number of concurrent read requests of a user is
/// limited.
pub(super) async fn admit(
    State(admission): State<Admission>,
    mut request: Request,
    next: Next,
) -> Response {
    if admission.is_public(&request) {
        return next.run(request).await;
    }
    let identity = admission.authenticator.identify(request.headers()).await;
    if let Err(error) = &identity
        && error.reason == Reason::UpstreamUnavailable
    {
        return error.clone().into_response();
    }
    let peer = request.extensions().get::<Peer>().map(|peer| subscriber(peer.0));
    let caller = identity.as_ref().map(|identity| identity.user_id.as_str()).map_err(|_| peer);
    let Admission { limiter, responses, hasher, .. } = admission;
    let key =
        limiter.as_ref().map_or_else(|| hasher.hash_one(caller), |limiter| limiter.key(caller));
    if let Some(limiter) = &limiter
        && let Err(refused) = limiter.take(key, NonZeroU32::MIN)
    {
        return refused.into_response();
    }
    let user = identity.is_ok().then_some(key);
    // Other requests have a body, which a client may send slowly.
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    request.extensions_mut().insert(Caller { identity, key, limiter });
    let permit = match user {
        Some(key) if is_read => responses.acquire(key).await,
        _ => None,
    };
    let response = next.run(request).await;
    drop(permit);
    responses.count_memory(user, response)
}

/// Rate limit of calls by something else than their caller.
#[derive(Clone)]
pub struct KeyedRateLimit(Limiter);

impl KeyedRateLimit {
    /// A limit of the calls of each key.
    #[must_use]
    pub fn new(limit: RateLimit) -> Self {
        Self(Limiter::new(limit))
    }

    /// Takes a call from the allowance of a key.
    ///
    /// # Errors
    /// `RATE_LIMITED` if it is used up.
    pub fn take(&self, key: impl Hash) -> Result<(), ApiError> {
        self.0.take(self.0.key(key), NonZeroU32::MIN)
    }

    /// Takes a call from the allowance of an address, or of its network of 64 bits.
    ///
    /// # Errors
    /// `RATE_LIMITED` if it is used up.
    pub fn take_address(&self, address: Option<IpAddr>) -> Result<(), ApiError> {
        self.take(address.map(subscriber))
    }
}

/// Address of a subscriber: of IPv6, a subscriber has a network of 64 bits.
fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::from((u128::from(address) & !u128::from(u64::MAX)).to_be_bytes())
        }
        address => address,
    }
}

/// Allowance of the caller, for calls that do the work of several.
pub struct Allowance(Option<Caller>);

impl Allowance {
    /// Takes the cost of a number of entries beside the call itself: one call for every
    /// [`ENTRIES_PER_CALL`].
    ///
    /// # Errors
    /// `RATE_LIMITED` if the allowance is used up.
    pub fn take_entries(&self, entries: usize) -> Result<(), ApiError> {
        let Some(Caller { key, limiter: Some(limiter), .. }) = &self.0 else { return Ok(()) };
        let calls = u32::try_from(entries / ENTRIES_PER_CALL).unwrap_or(u32::MAX);
        NonZeroU32::new(calls).map_or(Ok(()), |calls| limiter.take(*key, calls))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Allowance {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        Ok(Self(parts.extensions.get::<Caller>().cloned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(per_second: u32, burst: u32) -> Limiter {
        let number = |number| NonZeroU32::new(number).expect("a number");
        Limiter::new(RateLimit { per_second: number(per_second), burst: number(burst) })
    }

    #[test]
    fn refuses_calls_beyond_burst_of_caller() {
        let limiter = limiter(1, 3);
        let (ada, bob) = (limiter.key("ada"), limiter.key("bob"));
        for _ in 0..3 {
            limiter.take(ada, NonZeroU32::MIN).expect("within the burst");
        }
        let refused = limiter.take(ada, NonZeroU32::MIN).expect_err("beyond the burst");
        assert_eq!(refused.reason, Reason::RateLimited);
        assert!(refused.retry_after.is_some_and(|wait| !wait.is_zero()));
        limiter.take(bob, NonZeroU32::MIN).expect("somebody else's");
    }

    #[test]
    fn takes_whole_burst_for_expensive_call() {
        let limiter = limiter(1, 3);
        limiter.take(1, NonZeroU32::MAX).expect("the burst");
        limiter.take(1, NonZeroU32::MIN).expect_err("nothing is left");
    }

    #[test]
    fn keeps_bounded_number_of_callers() {
        let limiter = limiter(1, 1);
        for caller in 0..2 * MAX_CALLERS {
            let key = limiter.key(caller);
            let _ = limiter.take(key, NonZeroU32::MIN);
        }
        assert!(limiter.0.limiter.len() <= MAX_CALLERS + 1);
    }

    #[test]
    fn purges_callers_with_full_allowance() {
        let limiter = limiter(1_000_000, 1);
        for caller in 0..10 * PURGE_EVERY {
            let key = limiter.key(caller);
            let _ = limiter.take(key, NonZeroU32::MIN);
        }
        limiter.0.limiter.retain_recent();
        assert!(limiter.0.limiter.len() < PURGE_EVERY);
    }

    #[test]
    fn counts_network_as_one_subscriber() {
        let address = |text: &str| subscriber(text.parse().expect("an address"));
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:1"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("::ffff:10.0.0.1"), address("10.0.0.1"));
    }
}
