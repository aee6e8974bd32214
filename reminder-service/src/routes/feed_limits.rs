//! Rate limits of calendar feeds: one for each feed, and one for the addresses that try secrets.

use std::{
    collections::HashSet,
    net::IpAddr,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rest::{KeyedRateLimit, RateLimit};
use service::http::ApiError;

use crate::domain::feed::SecretDigest;

/// Reads of one feed: one a second, 30 at once.
const OF_FEED: RateLimit = limit(1, 30);
/// Attempts of one address with secrets that are not known here: 10 a second, 100 at once.
const OF_SOURCE: RateLimit = limit(10, 100);
/// Most digests in memory; beyond it all are forgotten.
const MAX_KNOWN: usize = 50_000;

const fn limit(per_second: u32, burst: u32) -> RateLimit {
    match (NonZeroU32::new(per_second), NonZeroU32::new(burst)) {
        (Some(per_second), Some(burst)) => RateLimit { per_second, burst },
        _ => RateLimit { per_second: NonZeroU32::MIN, burst: NonZeroU32::MIN },
    }
}

/// Rate limits of the feeds of one process. Reads of a feed that was found before do not count
/// against their address: calendar apps of many users come from few addresses, as does all that an
/// ingress forwards.
#[derive(Clone)]
pub struct FeedLimits(Arc<Inner>);

struct Inner {
    feeds: KeyedRateLimit,
    sources: KeyedRateLimit,
    /// Digests of secrets that were found.
    known: Mutex<HashSet<SecretDigest>>,
}

impl Default for FeedLimits {
    fn default() -> Self {
        Self(Arc::new(Inner {
            feeds: KeyedRateLimit::new(OF_FEED),
            sources: KeyedRateLimit::new(OF_SOURCE),
            known: Mutex::default(),
        }))
    }
}

impl std::fmt::Debug for FeedLimits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FeedLimits")
    }
}

impl FeedLimits {
    /// Takes one read of a secret, before the database is asked.
    ///
    /// # Errors
    /// `RATE_LIMITED`.
    pub(super) fn take(
        &self,
        source: Option<IpAddr>,
        digest: &SecretDigest,
    ) -> Result<(), ApiError> {
        if self.known().contains(digest) {
            self.0.feeds.take(digest)
        } else {
            self.take_unknown(source)
        }
    }

    /// Takes one attempt with a text that is no secret.
    ///
    /// # Errors
    /// `RATE_LIMITED`.
    pub(super) fn take_unknown(&self, source: Option<IpAddr>) -> Result<(), ApiError> {
        self.0.sources.take_address(source)
    }

    /// Records if a feed has a secret.
    pub(super) fn record(&self, digest: &SecretDigest, is_found: bool) {
        let mut known = self.known();
        if !is_found {
            known.remove(digest);
        } else if known.len() < MAX_KNOWN {
            known.insert(*digest);
        } else if !known.contains(digest) {
            known.clear();
            known.insert(*digest);
        }
    }

    fn known(&self) -> MutexGuard<'_, HashSet<SecretDigest>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u32) -> SecretDigest {
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&number.to_be_bytes());
        digest
    }

    #[test]
    fn limits_reads_of_each_feed() {
        let limits = FeedLimits::default();
        for feed in [1, 2] {
            limits.record(&digest(feed), true);
            for _ in 0..30 {
                limits.take(None, &digest(feed)).expect("within the burst");
            }
            limits.take(None, &digest(feed)).expect_err("beyond the burst");
        }
    }

    #[test]
    fn limits_unknown_secrets_of_each_address() {
        let limits = FeedLimits::default();
        let source = Some(IpAddr::from([10, 0, 0, 1]));
        for number in 0..100 {
            limits.take(source, &digest(number)).expect("within the burst");
        }
        limits.take(source, &digest(100)).expect_err("beyond the burst");
        limits.take_unknown(source).expect_err("beyond the burst");
        limits.take(Some(IpAddr::from([10, 0, 0, 2])), &digest(100)).expect("another address");
        limits.record(&digest(7), true);
        limits.take(source, &digest(7)).expect("a known feed of the same address");
        limits.record(&digest(7), false);
        limits.take(source, &digest(7)).expect_err("a revoked feed");
    }

    #[test]
    fn keeps_bounded_number_of_digests() {
        let limits = FeedLimits::default();
        for number in 0..MAX_KNOWN as u32 + 10 {
            limits.record(&digest(number), true);
        }
        assert!(limits.known().len() <= MAX_KNOWN);
    }
}
