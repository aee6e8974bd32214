//! Jobs in memory that are not due yet, until they are. The permits of the channel bound their
//! number.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::{sync::Notify, time::sleep_until};

/// Jobs by the instant at which they may start.
#[derive(Debug)]
pub(super) struct HeldJobs<T> {
    state: Mutex<State<T>>,
    /// Wakes the task that waits for the first job: another one may be the first now.
    added: Notify,
}

#[derive(Debug)]
struct State<T> {
    /// In order; the number distinguishes jobs of the same instant.
    jobs: BTreeMap<(Instant, u64), T>,
    added: u64,
    closed: bool,
}

impl<T> HeldJobs<T> {
    pub(super) fn new() -> Self {
        let state = State { jobs: BTreeMap::new(), added: 0, closed: false };
        Self { state: Mutex::new(state), added: Notify::new() }
    }

    /// Holds a job until an instant; drops it if no more are held.
    pub(super) fn hold(&self, starts_at: Instant, job: T) {
        let mut state = self.state();
        if !state.closed {
            state.added += 1;
            let key = (starts_at, state.added);
            state.jobs.insert(key, job);
            drop(state);
            self.added.notify_one();
        }
    }

    /// Waits until jobs may start, and takes those.
    pub(super) async fn next(&self) -> Vec<T> {
        loop {
            let first = {
                let mut state = self.state();
                let started = state.take_started(Instant::now());
                if !started.is_empty() {
                    return started;
                }
                state.jobs.first_key_value().map(|((starts_at, _), _)| *starts_at)
            };
            match first {
                None => self.added.notified().await,
                Some(first) => tokio::select! {
                    () = sleep_until(first.into()) => {}
                    () = self.added.notified() => {}
                },
            }
        }
    }

    /// Number of jobs that are held.
    pub(super) fn len(&self) -> usize {
        self.state().jobs.len()
    }

    /// Holds no more, and returns the jobs that are held.
    pub(super) fn close(&self) -> Vec<T> {
        let mut state = self.state();
        state.closed = true;
        std::mem::take(&mut state.jobs).into_values().collect()
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn take_started(&mut self, now: Instant) -> Vec<T> {
        let later = self.jobs.split_off(&(now, u64::MAX));
        std::mem::replace(&mut self.jobs, later).into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;

    #[tokio::test]
    async fn returns_jobs_when_they_may_start_in_order() {
        let held = Arc::new(HeldJobs::new());
        let now = Instant::now();
        let (first, second) = (now + Duration::from_millis(30), now + Duration::from_millis(60));
        held.hold(second, ("second", second));
        let taking = tokio::spawn({
            let held = Arc::clone(&held);
            async move {
                let mut taken = Vec::new();
                while taken.len() < 4 {
                    let jobs = held.next().await;
                    assert!(jobs.iter().all(|(_, starts_at)| *starts_at <= Instant::now()));
                    taken.extend(jobs.into_iter().map(|(name, _)| name));
                }
                taken
            }
        });
        tokio::task::yield_now().await;
        for name in ["first", "of the same instant"] {
            held.hold(first, (name, first));
        }
        held.hold(now, ("now", now));
        let taken = taking.await.expect("taken");
        assert_eq!(taken, ["now", "first", "of the same instant", "second"]);
    }

    #[test]
    fn returns_held_jobs_when_closed() {
        let held = HeldJobs::new();
        let later = Instant::now() + Duration::from_secs(60);
        held.hold(later, 1);
        held.hold(later, 2);
        assert_eq!(held.close(), [1, 2]);
        held.hold(later, 3);
        assert!(held.close().is_empty());
    }
}
