//! Single flight: concurrent callers share one running call and its result, success or failure.

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use std::sync::{Mutex, PoisonError};

/// Joins concurrent callers into one running call.
pub(super) struct SingleFlight<T: Clone> {
    current: Mutex<Option<Shared<BoxFuture<'static, T>>>>,
}

impl<T: Clone + Send + Sync + 'static> SingleFlight<T> {
    pub(super) fn new() -> Self {
        SingleFlight { current: Mutex::new(None) }
    }

    /// Joins the running call, or starts a new one. `already` is checked first, under the lock, so
    /// that a call that ended since the caller looked is not repeated. The call runs in its own
    /// task, so that it completes even if every caller is dropped.
    pub(super) async fn join<F>(
        &self,
        already: impl FnOnce() -> Option<T>,
        start: impl FnOnce() -> F,
    ) -> T
    where
        F: Future<Output = T> + Send + 'static,
    {
        let attempt = {
            let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            match current.as_ref().filter(|attempt| attempt.peek().is_none()) {
                Some(running) => running.clone(),
                None => {
                    if let Some(value) = already() {
                        return value;
                    }
                    let attempt = start().boxed().shared();
                    tokio::spawn(attempt.clone());
                    *current = Some(attempt.clone());
                    attempt
                }
            }
        };
        attempt.await
    }

    /// Returns `true` if a call is running.
    pub(super) fn is_running(&self) -> bool {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().is_some_and(|attempt| attempt.peek().is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Semaphore;

    #[tokio::test]
    async fn shares_one_call_and_its_failure() {
        let flight = Arc::new(SingleFlight::<Result<u32, &'static str>>::new());
        let started = Arc::new(AtomicUsize::new(0));
        let gate = Arc::new(Semaphore::new(0));
        let callers: Vec<_> = (0..50)
            .map(|_| {
                let (flight, started, gate) = (flight.clone(), started.clone(), gate.clone());
                tokio::spawn(async move {
                    let start = || async move {
                        started.fetch_add(1, Ordering::SeqCst);
                        let _permit = gate.acquire().await.unwrap();
                        Err("no")
                    };
                    flight.join(|| None, start).await
                })
            })
            .collect();
        while callers.iter().any(|_| !flight.is_running()) {
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
        gate.add_permits(1);
        for caller in callers {
            assert_eq!(caller.await.unwrap(), Err("no"));
        }
        assert_eq!(started.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn starts_new_call_after_last_has_ended() {
        let flight = SingleFlight::<u32>::new();
        assert_eq!(flight.join(|| None, || async { 1 }).await, 1);
        assert_eq!(flight.join(|| None, || async { 2 }).await, 2);
        assert_eq!(flight.join(|| Some(9), || async { 3 }).await, 9);
    }
}
