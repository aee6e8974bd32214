//! Limits of calendar feeds: a rate for each feed, a number of concurrent searches for secrets that
//! are not known here, and a rate of attempts that find nothing.

use std::{
    collections::HashSet,
    net::IpAddr,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rest::{KeyedRateLimit, RateLimit};
use service::http::{ApiError, Reason};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::feed::SecretDigest;

/// Reads of one feed: one a second, 30 at once.
const OF_FEED: RateLimit = limit(1, 30);
/// Attempts of one address that find no feed: 10 a second, 100 at once.
const OF_SOURCE: RateLimit = limit(10, 100);
/// Searches for unknown secrets at the same time. Each is one statement of less than a millisecond.
const MAX_SEARCHES: usize = 4;
/// Longest wait for one of them.
const SEARCH_WAIT: Duration = Duration::from_secs(5);
/// Most digests in memory; beyond it all are forgotten.
const MAX_KNOWN: usize = 50_000;

const fn limit(per_second: u32, burst: u32) -> RateLimit {
    match (NonZeroU32::new(per_second), NonZeroU32::new(burst)) {
        (Some(per_second), Some(burst)) => RateLimit { per_second, burst },
        _ => RateLimit { per_second: NonZeroU32::MIN, burst: NonZeroU32::MIN },
    }
}

/// Limits of the feeds of one process. A feed that exists is never refused because of other
/// requests of its address: calendar apps of many users come from few addresses, as does all that
/// an ingress forwards. Addresses that a client may state itself (`X-Forwarded-For`) are not used.
#[derive(Clone)]
pub struct FeedLimits(Arc<Inner>);

struct Inner {
    feeds: KeyedRateLimit,
    sources: KeyedRateLimit,
    /// Permits for searches, which are given in the order of the requests.
    searches: Arc<Semaphore>,
    search_wait: Duration,
    /// Digests of secrets that were found.
    known: Mutex<HashSet<SecretDigest>>,
}

impl Default for FeedLimits {
    fn default() -> Self {
        Self::waiting(SEARCH_WAIT)
    }
}

impl FeedLimits {
    /// Limits with a longest wait for a search.
    fn waiting(search_wait: Duration) -> Self {
        Self(Arc::new(Inner {
            feeds: KeyedRateLimit::new(OF_FEED),
            sources: KeyedRateLimit::new(OF_SOURCE),
            searches: Arc::new(Semaphore::new(MAX_SEARCHES)),
            search_wait,
            known: Mutex::default(),
        }))
    }
}

impl std::fmt::Debug for FeedLimits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FeedLimits")
    }
}

/// Right to ask the database for the feed of a secret.
#[derive(Debug)]
pub(super) struct Search {
    digest: SecretDigest,
    /// Permit of a secret that is not known here; returned once the answer is known.
    permit: Option<OwnedSemaphorePermit>,
}

impl FeedLimits {
    /// Waits until the database may be asked for a secret. A secret that was found before takes one
    /// read of its feed.
    ///
    /// # Errors
    /// `RATE_LIMITED`, also if too many other requests wait.
    pub(super) async fn search(&self, digest: SecretDigest) -> Result<Search, ApiError> {
        if self.known().contains(&digest) {
            self.0.feeds.take(digest)?;
            return Ok(Search { digest, permit: None });
        }
        let permit = Arc::clone(&self.0.searches).acquire_owned();
        let permit = tokio::time::timeout(self.0.search_wait, permit).await.map_err(|_| {
            ApiError::new(Reason::RateLimited, "too many unknown calendars are asked for")
        })?;
        Ok(Search { digest, permit: Some(permit.map_err(ApiError::unexpected)?) })
    }

    /// Ends a search. Returns what was found; the first read of a feed counts as one of its reads.
    ///
    /// # Errors
    /// `RATE_LIMITED`.
    pub(super) fn end<T>(
        &self,
        search: Search,
        source: Option<IpAddr>,
        found: Option<T>,
    ) -> Result<Option<T>, ApiError> {
        let Search { digest, permit } = search;
        self.record(&digest, found.is_some());
        match &found {
            Some(_) if permit.is_some() => self.0.feeds.take(digest)?,
            Some(_) => {}
            None => self.take_miss(source)?,
        }
        Ok(found)
    }

    /// Takes one attempt of an address that found no feed.
    ///
    /// # Errors
    /// `RATE_LIMITED`.
    pub(super) fn take_miss(&self, source: Option<IpAddr>) -> Result<(), ApiError> {
        self.0.sources.take_address(source)
    }

    fn record(&self, digest: &SecretDigest, is_found: bool) {
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

    fn source() -> Option<IpAddr> {
        Some(IpAddr::from([10, 0, 0, 1]))
    }

    /// Reads a feed, or tries a secret that no feed has.
    async fn read(limits: &FeedLimits, number: u32, exists: bool) -> Result<Option<()>, ApiError> {
        let search = limits.search(digest(number)).await?;
        limits.end(search, source(), exists.then_some(()))
    }

    #[tokio::test]
    async fn limits_reads_of_each_feed() {
        let limits = FeedLimits::default();
        for feed in [1, 2] {
            for _ in 0..30 {
                read(&limits, feed, true).await.expect("within the burst");
            }
            read(&limits, feed, true).await.expect_err("beyond the burst");
        }
    }

    #[tokio::test]
    async fn finds_new_feed_beside_many_unknown_secrets() {
        let limits = FeedLimits::default();
        for number in 0..100 {
            assert_eq!(read(&limits, number, false).await.expect("within the burst"), None);
        }
        read(&limits, 100, false).await.expect_err("beyond the burst");
        limits.take_miss(source()).expect_err("beyond the burst");
        limits.take_miss(Some(IpAddr::from([10, 0, 0, 2]))).expect("another address");
        assert_eq!(read(&limits, 101, true).await.expect("a feed of the same address"), Some(()));
        assert_eq!(read(&limits, 101, true).await.expect("again"), Some(()));
        read(&limits, 101, false).await.expect_err("a revoked feed");
    }

    #[tokio::test]
    async fn bounds_concurrent_searches_for_secrets() {
        let limits = FeedLimits::waiting(Duration::from_millis(50));
        read(&limits, 0, true).await.expect("a feed");
        let mut searches = Vec::new();
        for number in 1..=MAX_SEARCHES as u32 {
            searches.push(limits.search(digest(number)).await.expect("a permit"));
        }
        read(&limits, 0, true).await.expect("a known feed needs no permit");
        let refused = limits.search(digest(9)).await.expect_err("none is free for seconds");
        assert_eq!(refused.reason, Reason::RateLimited);
        limits.end::<()>(searches.remove(0), source(), None).expect("ended");
        limits.search(digest(9)).await.expect("the permit of the ended search");
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
