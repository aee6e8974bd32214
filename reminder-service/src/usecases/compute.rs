//! Expansion of recurrence rules outside of the threads that serve requests.
//!
//! At most one task per core runs at the same time: more would slow down the threads that serve
//! requests. One user holds at most half of the permits, and further tasks of the user wait in a
//! queue of their own, so that a task of another user waits for one task of each user before it,
//! not for all of them.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    thread::available_parallelism,
};

use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
    task::{JoinError, spawn_blocking},
};

/// Error of a task.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The permits are closed. This does not happen while the process runs.
    #[error("wait for a permit to expand a rule")]
    Closed(#[from] AcquireError),
    /// The task panicked.
    #[error("expand a rule")]
    Panicked(#[from] JoinError),
}

static COMPUTE: LazyLock<Compute> =
    LazyLock::new(|| Compute::new(available_parallelism().map_or(1, usize::from)));

/// Permits for all tasks, and for those of each user with a task.
#[derive(Debug, Clone)]
struct Compute {
    all: Arc<Semaphore>,
    /// Largest number of permits of one user.
    share: usize,
    users: Users,
}

type Users = Arc<Mutex<HashMap<String, Arc<Semaphore>>>>;

/// Permit for one task.
#[derive(Debug)]
struct Permit {
    user_id: String,
    users: Users,
    /// One permit of the user and one of all; `None` while waiting for them.
    held: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
}

impl Compute {
    fn new(permits: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(permits)),
            share: permits.div_ceil(2),
            users: Users::default(),
        }
    }

    /// Waits for a permit of the user, then for one of all.
    async fn acquire(&self, user_id: &str) -> Result<Permit, TaskError> {
        // Created first: its drop removes the user's entry even if the request is cancelled.
        let mut permit =
            Permit { user_id: user_id.to_owned(), users: Arc::clone(&self.users), held: None };
        let own = {
            let mut users = locked(&self.users);
            let own = users
                .entry(user_id.to_owned())
                .or_insert_with(|| Arc::new(Semaphore::new(self.share)));
            Arc::clone(own)
        };
        let own = own.acquire_owned().await?;
        let all = Arc::clone(&self.all).acquire_owned().await?;
        permit.held = Some((own, all));
        Ok(permit)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut users = locked(&self.users);
        self.held = None;
        // Every task that waits for a permit or holds one has a reference to the semaphore.
        if users.get(&self.user_id).is_some_and(|own| Arc::strong_count(own) == 1) {
            users.remove(&self.user_id);
        }
    }
}

fn locked(users: &Users) -> MutexGuard<'_, HashMap<String, Arc<Semaphore>>> {
    users.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a task of a user when it gets a permit. The task holds the permit and continues if its
/// request is cancelled. Callers must hold no database connection.
///
/// # Errors
/// If the task panics.
pub(crate) async fn off_thread<T: Send + 'static>(
    user_id: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, TaskError> {
    let permit = COMPUTE.acquire(user_id).await?;
    let work = spawn_blocking(move || {
        let done = work();
        drop(permit);
        done
    });
    Ok(work.await?)
}

/// Takes all permits, so that tasks wait until they are dropped.
#[cfg(test)]
pub(crate) async fn all_permits() -> OwnedSemaphorePermit {
    let all = available_parallelism().map_or(1, usize::from);
    let all = u32::try_from(all).expect("few cores");
    Arc::clone(&COMPUTE.all).acquire_many_owned(all).await.expect("it is not closed")
}

/// Returns `true` if a task runs or waits.
#[cfg(test)]
pub(crate) fn is_in_use() -> bool {
    !locked(&COMPUTE.users).is_empty()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn runs_no_more_at_once_than_cores() {
        static RUNNING: AtomicUsize = AtomicUsize::new(0);
        let work = || {
            let running = RUNNING.fetch_add(1, SeqCst) + 1;
            std::thread::yield_now();
            RUNNING.fetch_sub(1, SeqCst);
            running
        };
        let user = |number: u32| async move { off_thread(&number.to_string(), work).await };
        let tasks: Vec<_> = (0..64).map(|number| tokio::spawn(user(number))).collect();
        let cores = available_parallelism().expect("a number").get();
        for task in tasks {
            let running = task.await.expect("it ends").expect("it does not panic");
            assert!(running <= cores, "{running} at once on {cores} cores");
        }
    }

    #[tokio::test]
    async fn waits_for_one_task_of_each_user() {
        let compute = Compute::new(2);
        let first = compute.acquire("mallory").await.expect("a permit");
        let queue: Vec<_> = (0..100)
            .map(|_| {
                let compute = compute.clone();
                tokio::spawn(async move { compute.acquire("mallory").await })
            })
            .collect();
        tokio::task::yield_now().await;
        let ada = compute.acquire("ada").await.expect("not behind all of mallory's");
        drop((first, ada));
        for waiting in queue {
            waiting.await.expect("it ends").expect("a permit");
        }
        assert!(locked(&compute.users).is_empty(), "no user is left");
    }

    #[tokio::test]
    async fn removes_user_when_request_is_cancelled() {
        let compute = Compute::new(1);
        let first = compute.acquire("ada").await.expect("a permit");
        let waiting = tokio::spawn({
            let compute = compute.clone();
            async move { compute.acquire("bob").await }
        });
        tokio::task::yield_now().await;
        assert_eq!(locked(&compute.users).len(), 2);
        waiting.abort();
        assert!(waiting.await.is_err_and(|error| error.is_cancelled()));
        drop(first);
        assert!(locked(&compute.users).is_empty(), "no user is left");
    }
}
