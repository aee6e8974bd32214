//! Limits of responses: the number that is computed for one user at the same time, and the memory
//! of those that clients have not received yet.
//!
//! Without them, a client that requests large responses and does not read them could fill the
//! memory, and one with many concurrent requests could delay all others.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    response::{IntoResponse, Response},
};
use hyper::body::{Frame, SizeHint};
use service::http::{ApiError, Reason};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::memory_budget::{Exceeded, MemoryBudget, Reservation};

/// Concurrent `GET` requests of one user; further ones wait for a permit.
const CONCURRENT_READS: usize = 4;
/// Size up to which responses are not counted: the number of connections limits these.
const FREE_BYTES: usize = 16 * 1024;
/// Time after which a client whose response was refused may try again.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Limits of the responses of one API.
#[derive(Debug, Clone)]
pub(super) struct ResponseLimits {
    memory: MemoryBudget,
    /// Permits of users with a request in progress.
    users: Arc<Mutex<HashMap<u64, Arc<Semaphore>>>>,
}

/// Permit for one request of a user.
#[derive(Debug)]
pub(super) struct ReadPermit {
    limits: ResponseLimits,
    key: u64,
    semaphore: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
}

impl ResponseLimits {
    /// Limits with `mib` MiB for all responses together.
    pub(super) fn new(mib: usize) -> Self {
        Self { memory: MemoryBudget::new(mib), users: Arc::default() }
    }

    fn users(&self) -> MutexGuard<'_, HashMap<u64, Arc<Semaphore>>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a permit of the user; `None` only when the process ends.
    pub(super) async fn acquire(&self, key: u64) -> Option<ReadPermit> {
        let semaphore = Arc::clone(
            self.users().entry(key).or_insert_with(|| Arc::new(Semaphore::new(CONCURRENT_READS))),
        );
        let mut permit = ReadPermit {
            limits: self.clone(),
            key,
            semaphore: Arc::clone(&semaphore),
            permit: None,
        };
        permit.permit = Some(semaphore.acquire_owned().await.ok()?);
        Some(permit)
    }

    /// Counts the memory of a response until its client has received it. A streamed response of
    /// unknown length counts its own memory.
    pub(super) fn count_memory(&self, user: Option<u64>, response: Response) -> Response {
        let bytes = response
            .body()
            .size_hint()
            .exact()
            .and_then(|bytes| usize::try_from(bytes).ok())
            .unwrap_or(0);
        if bytes <= FREE_BYTES {
            return response;
        }
        match self.hold(user, bytes) {
            Ok(held) => response.map(|body| Body::new(HeldBody { body, _held: held })),
            Err(refused) => refused.into_response(),
        }
    }

    /// Reserves memory for a response. A single response may exceed the share of its user.
    fn hold(&self, user: Option<u64>, bytes: usize) -> Result<Reservation, ApiError> {
        let mut held = self.memory.reservation(user);
        let refused = |refused| {
            let (reason, message) = match refused {
                Exceeded::Caller => (
                    Reason::RateLimited,
                    "earlier responses to you have not been received; read them, then try again",
                ),
                Exceeded::Total => (
                    Reason::UpstreamUnavailable,
                    "too many large responses are waiting for their clients; try again",
                ),
            };
            ApiError::new(reason, message).after(RETRY_AFTER)
        };
        held.grow(bytes).map_err(refused).map(|()| held)
    }
}

impl Drop for ReadPermit {
    fn drop(&mut self) {
        let mut users = self.limits.users();
        self.permit = None;
        // Two references, of the map and of this permit, mean that no other request holds one or
        // waits; none can get one while the map is locked.
        if Arc::strong_count(&self.semaphore) <= 2 {
            users.remove(&self.key);
        }
    }
}

/// A body whose memory is counted.
struct HeldBody {
    body: Body,
    _held: Reservation,
}

impl HttpBody for HeldBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn reason(held: Result<Reservation, ApiError>) -> Reason {
        held.expect_err("refused").reason
    }

    #[test]
    fn refuses_responses_beyond_memory_limits() {
        let limits = ResponseLimits::new(8);
        let ada = [
            limits.hold(Some(1), MIB).expect("the first"),
            limits.hold(Some(1), MIB).expect("the second"),
        ];
        assert_eq!(reason(limits.hold(Some(1), MIB)), Reason::RateLimited);
        let bob = limits.hold(None, 6 * MIB).expect("one alone may be large");
        assert_eq!(reason(limits.hold(Some(3), MIB)), Reason::UpstreamUnavailable);
        drop((ada, bob));
    }

    #[tokio::test]
    async fn limits_concurrent_reads_of_one_user() {
        let limits = ResponseLimits::new(8);
        let mut permits = Vec::new();
        for _ in 0..CONCURRENT_READS {
            permits.push(limits.acquire(1).await);
        }
        let mut next = Box::pin(limits.acquire(1));
        assert!(futures::poll!(&mut next).is_pending());
        assert!(futures::poll!(Box::pin(limits.acquire(2))).is_ready());
        permits.pop();
        assert!(next.await.is_some());
        drop(permits);
        assert!(limits.users().is_empty());
    }

    #[tokio::test]
    async fn counts_memory_until_body_is_dropped() {
        let limits = ResponseLimits::new(8);
        let large = || vec![b'x'; 2 * MIB].into_response();
        let first = limits.count_memory(Some(1), large());
        assert_eq!(first.body().size_hint().exact(), Some(2 * MIB as u64));
        assert_eq!(limits.count_memory(Some(1), large()).status(), 429);
        assert_eq!(limits.count_memory(Some(1), "small".into_response()).status(), 200);
        drop(first);
        assert_eq!(limits.count_memory(Some(1), large()).status(), 200);
    }
}
