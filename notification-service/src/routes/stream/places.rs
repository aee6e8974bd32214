//! How many streams may be open, and their end.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use shared::http::{ApiError, Reason};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

/// Streams that are open at once in a process.
const STREAMS: usize = 1_000;
/// Streams of one user among them.
const STREAMS_OF_USER: usize = 10;
/// Connections to the database that all streams of a process use together: deliveries must not wait for those who watch.
const CONNECTIONS: usize = 2;

/// The streams that are open in a process.
#[derive(Debug, Clone)]
pub struct Streams {
    open: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    users: Users,
    ending: CancellationToken,
}

type Users = Arc<Mutex<HashMap<String, usize>>>;

/// The place of one open stream, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    user_id: String,
    users: Users,
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

    /// Resolves when streams are to end.
    pub(super) async fn ended(&self) {
        self.ending.cancelled().await;
    }

    /// A place for one more stream of a user.
    ///
    /// # Errors
    /// `RATE_LIMITED` when the user has too many, `UPSTREAM_UNAVAILABLE` when the process has.
    pub(super) fn enter(&self, user_id: &str) -> Result<Place, ApiError> {
        let mut users = locked(&self.users);
        let open = users.get(user_id).copied().unwrap_or_default();
        if open >= STREAMS_OF_USER {
            return Err(ApiError::new(Reason::RateLimited, format!("you have {STREAMS_OF_USER} streams open")));
        }
        let full = |_| ApiError::new(Reason::UpstreamUnavailable, "too many streams are open here; try again");
        let permit = Arc::clone(&self.open).try_acquire_owned().map_err(full)?;
        users.insert(user_id.to_owned(), open + 1);
        drop(users);
        metrics::gauge!("notification_streams_open").increment(1.0);
        Ok(Place { user_id: user_id.to_owned(), users: Arc::clone(&self.users), _permit: permit })
    }

    /// Leave to use a connection to the database, until it is dropped.
    ///
    /// # Errors
    /// Never: nothing closes it.
    pub(super) async fn connection(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        self.connections.acquire().await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut users = locked(&self.users);
        if let Some(open) = users.get_mut(&self.user_id) {
            *open -= 1;
            if *open == 0 {
                users.remove(&self.user_id);
            }
        }
        metrics::gauge!("notification_streams_open").decrement(1.0);
    }
}

fn locked(users: &Users) -> MutexGuard<'_, HashMap<String, usize>> {
    users.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_so_many_and_gets_one_back_for_each_that_ends() {
        let streams = Streams::default();
        let mut places: Vec<_> = (0..STREAMS_OF_USER).map(|_| streams.enter("ada").expect("a place")).collect();
        assert_eq!(streams.enter("ada").expect_err("one too many").reason, Reason::RateLimited);
        streams.enter("bob").expect("another user's are not counted");
        places.pop();
        streams.enter("ada").expect("a place that was given back");
        places.clear();
        assert!(locked(&streams.users).is_empty(), "nobody is remembered");
    }

    #[test]
    fn a_process_has_so_many() {
        let streams = Streams::default();
        let places: Vec<_> = (0..STREAMS).map(|user| streams.enter(&user.to_string()).expect("a place")).collect();
        let refused = streams.enter("one more").expect_err("one too many");
        assert_eq!((refused.reason, refused.retry_after.is_some()), (Reason::UpstreamUnavailable, true));
        drop(places);
        streams.enter("one more").expect("a place");
    }
}
