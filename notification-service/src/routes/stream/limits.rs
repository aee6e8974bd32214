//! Limits of open streams, and their shutdown.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use service::http::{ApiError, Reason};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

/// Largest number of open streams in a process.
const STREAMS: usize = 1_000;
/// Largest number of open streams of one user among them.
const STREAMS_OF_USER: usize = 10;
/// Largest number of database connections that the streams of a process use, so that deliveries do
/// not wait for them.
const CONNECTIONS: usize = 2;
/// Largest number of these connections that the streams of one user use, because their queries may
/// be slow.
const CONNECTIONS_OF_USER: usize = 1;

/// Open streams of a process.
#[derive(Debug, Clone)]
pub struct Streams {
    open: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    users: Users,
    ending: CancellationToken,
}

type Users = Arc<Mutex<HashMap<String, UserStreams>>>;

/// Open streams of one user.
#[derive(Debug)]
struct UserStreams {
    open: usize,
    connections: Arc<Semaphore>,
}

impl Default for UserStreams {
    fn default() -> Self {
        Self { open: 0, connections: Arc::new(Semaphore::new(CONNECTIONS_OF_USER)) }
    }
}

/// Permit for one open stream, released when it is dropped.
#[derive(Debug)]
pub(super) struct StreamPermit {
    user_id: String,
    users: Users,
    /// Connection permits of the user, shared by all of the user's streams.
    connections: Arc<Semaphore>,
    _permit: OwnedSemaphorePermit,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            open: Arc::new(Semaphore::new(STREAMS)),
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            users: Users::default(),
            ending: CancellationToken::new(),
        }
    }
}

impl Streams {
    /// Ends all streams when the token is cancelled.
    pub async fn end_with(&self, shutdown: &CancellationToken) {
        shutdown.cancelled().await;
        self.ending.cancel();
    }

    /// Resolves when streams must end.
    pub(super) async fn ended(&self) {
        self.ending.cancelled().await;
    }

    /// Takes a permit for another stream of a user.
    ///
    /// # Errors
    /// `RATE_LIMITED` if the user has too many open streams, `UPSTREAM_UNAVAILABLE` if the process
    /// has.
    pub(super) fn open_stream(&self, user_id: &str) -> Result<StreamPermit, ApiError> {
        let mut users = lock(&self.users);
        if users.get(user_id).is_some_and(|user| user.open >= STREAMS_OF_USER) {
            return Err(ApiError::new(
                Reason::RateLimited,
                format!("you have {STREAMS_OF_USER} open streams; close one first"),
            ));
        }
        let full =
            |_| ApiError::new(Reason::UpstreamUnavailable, "too many streams are open; try again");
        let permit = Arc::clone(&self.open).try_acquire_owned().map_err(full)?;
        let user = users.entry(user_id.to_owned()).or_default();
        user.open += 1;
        let connections = Arc::clone(&user.connections);
        drop(users);
        metrics::gauge!("reminders_delivery_streams_open").increment(1.0);
        Ok(StreamPermit {
            user_id: user_id.to_owned(),
            users: Arc::clone(&self.users),
            connections,
            _permit: permit,
        })
    }

    /// Takes a permit for a database connection: waits first for the user's own streams, then for
    /// all streams.
    ///
    /// # Errors
    /// Never, because the semaphores are not closed.
    pub(super) async fn connection<'a>(
        &'a self,
        permit: &'a StreamPermit,
    ) -> Result<ConnectionPermit<'a>, AcquireError> {
        let own = permit.connections.acquire().await?;
        Ok(ConnectionPermit { _all: self.connections.acquire().await?, _own: own })
    }
}

/// Permit for a database connection.
#[derive(Debug)]
pub(super) struct ConnectionPermit<'a> {
    _all: SemaphorePermit<'a>,
    _own: SemaphorePermit<'a>,
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let mut users = lock(&self.users);
        if let Some(user) = users.get_mut(&self.user_id) {
            user.open -= 1;
            if user.open == 0 {
                users.remove(&self.user_id);
            }
        }
        metrics::gauge!("reminders_delivery_streams_open").decrement(1.0);
    }
}

fn lock(users: &Users) -> MutexGuard<'_, HashMap<String, UserStreams>> {
    users.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_streams_of_user_and_releases_permits() {
        let streams = Streams::default();
        let mut permits: Vec<_> =
            (0..STREAMS_OF_USER).map(|_| streams.open_stream("ada").expect("a permit")).collect();
        assert_eq!(
            streams.open_stream("ada").expect_err("one too many").reason,
            Reason::RateLimited
        );
        streams.open_stream("bob").expect("another user's are not counted");
        permits.pop();
        streams.open_stream("ada").expect("a released permit");
        permits.clear();
        assert!(lock(&streams.users).is_empty(), "no user is left in the map");
    }

    #[tokio::test]
    async fn leaves_connection_to_others_when_user_waits() {
        let streams = Streams::default();
        let permits: Vec<_> = (0..STREAMS_OF_USER)
            .map(|_| streams.open_stream("mallory").expect("a permit"))
            .collect();
        let bob = streams.open_stream("bob").expect("a permit");
        let first = streams.connection(&permits[0]).await.expect("the user's first");
        let mut others: Vec<_> =
            permits[1..].iter().map(|permit| Box::pin(streams.connection(permit))).collect();
        for other in &mut others {
            assert!(futures::poll!(other).is_pending(), "a second connection of one user");
        }
        let of_bob = Box::pin(streams.connection(&bob));
        assert!(futures::poll!(of_bob).is_ready(), "another user waits behind them");
        drop(first);
        assert!(futures::poll!(&mut others[0]).is_ready(), "the user's next stream proceeds");
    }

    #[test]
    fn limits_streams_of_process() {
        let streams = Streams::default();
        let permits: Vec<_> = (0..STREAMS)
            .map(|user| streams.open_stream(&user.to_string()).expect("a permit"))
            .collect();
        let refused = streams.open_stream("one more").expect_err("one too many");
        assert_eq!(
            (refused.reason, refused.retry_after.is_some()),
            (Reason::UpstreamUnavailable, true)
        );
        drop(permits);
        streams.open_stream("one more").expect("a permit");
    }
}
