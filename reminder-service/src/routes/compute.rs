//! Work on recurrence rules, off the threads that serve requests.

use std::{
    sync::{Arc, LazyLock},
    thread::available_parallelism,
};

use shared::http::ApiError;
use tokio::{sync::Semaphore, task::spawn_blocking};

/// As many at once as there are cores: more would only take time from the threads that serve requests.
static PERMITS: LazyLock<Arc<Semaphore>> =
    LazyLock::new(|| Arc::new(Semaphore::new(available_parallelism().map_or(1, usize::from))));

/// Runs work in its turn. The permit stays with the work, which goes on when its request is gone.
///
/// # Errors
/// When the work panics.
pub(super) async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    let permit = Arc::clone(&PERMITS).acquire_owned().await.map_err(ApiError::unexpected)?;
    let work = spawn_blocking(move || {
        let done = work();
        drop(permit);
        done
    });
    work.await.map_err(ApiError::unexpected)
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
        let tasks: Vec<_> = (0..64).map(|_| tokio::spawn(off_thread(work))).collect();
        let cores = available_parallelism().expect("a number").get();
        for task in tasks {
            let running = task.await.expect("it ends").expect("it does not panic");
            assert!(running <= cores, "{running} at once on {cores} cores");
        }
    }
}
