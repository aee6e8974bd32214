//! One attempt at a time, whose result everybody who waits for it shares: success and failure
//! alike.

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use std::sync::{Mutex, PoisonError};

/// Joins concurrent callers into one running attempt.
pub(super) struct SingleFlight<T: Clone> {
    current: Mutex<Option<Shared<BoxFuture<'static, T>>>>,
}

impl<T: Clone + Send + Sync + 'static> SingleFlight<T> {
    pub(super) fn new() -> Self {
        SingleFlight { current: Mutex::new(None) }
    }

    /// The attempt that is running, or a new one. `already` is asked first, under the lock: an
    /// attempt that has ended since the caller looked is not repeated. The attempt runs in a task
    /// of its own, so that it ends even when every caller has gone away.
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

    /// Whether an attempt is running.
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
    async fn callers_share_one_attempt_and_its_failure() {
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
    async fn a_new_attempt_starts_after_the_last_has_ended() {
        let flight = SingleFlight::<u32>::new();
        assert_eq!(flight.join(|| None, || async { 1 }).await, 1);
        assert_eq!(flight.join(|| None, || async { 2 }).await, 2);
        assert_eq!(flight.join(|| Some(9), || async { 3 }).await, 9);
    }
}
