//! Jobs in memory that are not in flight, taken round-robin by user: one job of each user, then the
//! next of each. A user who had no job before comes before the others, so that users who send
//! little do not wait for a round of those who send much.
//!
//! A user's urgent jobs come before their others. A user has a bounded number of jobs in flight, so
//! that one user does not use up the provider's rate. The permits of the channel bound the queue's
//! length.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// Newcomers that are taken in a row while other users wait.
const NEWCOMERS_IN_A_ROW: usize = 8;

/// Queue of one channel.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    state: Mutex<State<T>>,
    ready: Notify,
    /// Most jobs of one user in flight.
    max_in_flight: usize,
}

#[derive(Debug)]
struct State<T> {
    users: HashMap<Arc<str>, User<T>>,
    /// Users who have a job to take and may have one more in flight, each once here or among the
    /// newcomers.
    rotation: VecDeque<Arc<str>>,
    /// Users who had no job queued or in flight before.
    newcomers: VecDeque<Arc<str>>,
    /// Newcomers taken since a user of the rotation was.
    newcomers_in_a_row: usize,
    closed: bool,
}

#[derive(Debug)]
struct User<T> {
    urgent: VecDeque<T>,
    normal: VecDeque<T>,
    in_flight: usize,
    is_scheduled: bool,
}

/// Job of a user in flight; once dropped, the user may have another.
#[derive(Debug)]
pub(super) struct InFlightGuard<T> {
    queue: Arc<FairQueue<T>>,
    user: Arc<str>,
}

impl<T> FairQueue<T> {
    /// Creates an empty queue; each user may have `max_in_flight` of its jobs in flight.
    pub(super) fn new(max_in_flight: usize) -> Arc<Self> {
        let (rotation, newcomers) = Default::default();
        let state = State {
            users: HashMap::new(),
            rotation,
            newcomers,
            newcomers_in_a_row: 0,
            closed: false,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            ready: Notify::new(),
            max_in_flight: max_in_flight.max(1),
        })
    }

    /// Adds a job of a user; returns `false` and drops the job once the queue is closed.
    pub(super) fn push(&self, user: &str, is_urgent: bool, job: T) -> bool {
        {
            let mut state = self.state();
            if state.closed {
                return false;
            }
            let (name, is_new) = match state.users.get_key_value(user) {
                Some((name, _)) => (Arc::clone(name), false),
                None => (Arc::from(user), true),
            };
            let known = state.users.entry(Arc::clone(&name)).or_insert_with(User::new);
            if is_urgent {
                known.urgent.push_back(job)
            } else {
                known.normal.push_back(job)
            }
            if known.may_be_scheduled(self.max_in_flight) {
                known.is_scheduled = true;
                let users = if is_new { &mut state.newcomers } else { &mut state.rotation };
                users.push_back(name);
            }
        }
        self.ready.notify_one();
        true
    }

    /// Takes the next job, once there is one that may be in flight. `most` returns the number of
    /// jobs that one user may have in flight now.
    pub(super) async fn next(self: &Arc<Self>, most: impl Fn() -> usize) -> (T, InFlightGuard<T>) {
        loop {
            if let Some(next) = self.pop(most()) {
                return next;
            }
            self.ready.notified().await;
        }
    }

    /// Closes the queue and returns the jobs left in it.
    pub(super) fn close(&self) -> Vec<T> {
        let mut state = self.state();
        state.closed = true;
        state.rotation.clear();
        state.newcomers.clear();
        let users = std::mem::take(&mut state.users);
        users.into_values().flat_map(|user| user.urgent.into_iter().chain(user.normal)).collect()
    }

    fn pop(self: &Arc<Self>, most: usize) -> Option<(T, InFlightGuard<T>)> {
        let mut state = self.state();
        let name = state.next_user(most)?;
        let user = state.users.get_mut(&name)?;
        user.is_scheduled = false;
        let job = user.urgent.pop_front().or_else(|| user.normal.pop_front())?;
        user.in_flight += 1;
        if user.may_be_scheduled(self.max_in_flight) {
            user.is_scheduled = true;
            state.rotation.push_back(Arc::clone(&name));
        }
        Some((job, InFlightGuard { queue: Arc::clone(self), user: name }))
    }

    fn ended(&self, name: &Arc<str>) {
        {
            let mut state = self.state();
            let Some(user) = state.users.get_mut(name) else { return };
            user.in_flight = user.in_flight.saturating_sub(1);
            if user.is_idle() {
                state.users.remove(name);
            } else if user.may_be_scheduled(self.max_in_flight) {
                user.is_scheduled = true;
                state.rotation.push_back(Arc::clone(name));
            }
            if state.rotation.is_empty() {
                return;
            }
        }
        // Another user may be allowed one more job in flight now.
        self.ready.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    /// Next user of the round-robin who has fewer than `most` jobs in flight.
    fn next_user(&mut self, most: usize) -> Option<Arc<str>> {
        let others_wait = !self.rotation.is_empty();
        let takes_newcomer = self.newcomers_in_a_row < NEWCOMERS_IN_A_ROW || !others_wait;
        if takes_newcomer && let Some(newcomer) = self.newcomers.pop_front() {
            self.newcomers_in_a_row = if others_wait { self.newcomers_in_a_row + 1 } else { 0 };
            return Some(newcomer);
        }
        self.newcomers_in_a_row = 0;
        for _ in 0..self.rotation.len() {
            let name = self.rotation.pop_front()?;
            if self.users.get(&name).is_some_and(|user| user.in_flight < most) {
                return Some(name);
            }
            self.rotation.push_back(name);
        }
        self.newcomers.pop_front()
    }
}

impl<T> User<T> {
    fn new() -> Self {
        Self { urgent: VecDeque::new(), normal: VecDeque::new(), in_flight: 0, is_scheduled: false }
    }

    fn has_queued(&self) -> bool {
        !(self.urgent.is_empty() && self.normal.is_empty())
    }

    fn may_be_scheduled(&self, in_flight: usize) -> bool {
        !self.is_scheduled && self.in_flight < in_flight && self.has_queued()
    }

    fn is_idle(&self) -> bool {
        self.in_flight == 0 && !self.has_queued()
    }
}

impl<T> Drop for InFlightGuard<T> {
    fn drop(&mut self) {
        self.queue.ended(&self.user);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn names(
        queue: &Arc<FairQueue<String>>,
        count: usize,
    ) -> (Vec<String>, Vec<InFlightGuard<String>>) {
        std::iter::repeat_with(|| queue.pop(usize::MAX)).take(count).flatten().unzip()
    }

    #[test]
    fn takes_users_round_robin() {
        let queue = FairQueue::new(10);
        for number in 0..5 {
            queue.push("hog", false, format!("hog-{number}"));
        }
        queue.push("ada", false, "ada-0".to_owned());
        queue.push("bob", false, "bob-0".to_owned());
        let (taken, _flights) = names(&queue, 10);
        assert_eq!(taken, ["hog-0", "ada-0", "bob-0", "hog-1", "hog-2", "hog-3", "hog-4"]);
    }

    #[test]
    fn takes_urgent_jobs_of_user_first() {
        let queue = FairQueue::new(10);
        for number in 0..3 {
            queue.push("ada", false, format!("normal-{number}"));
        }
        queue.push("ada", true, "urgent".to_owned());
        let (taken, _flights) = names(&queue, 2);
        assert_eq!(taken, ["urgent", "normal-0"]);
    }

    #[test]
    fn bounds_jobs_of_user_in_flight() {
        let queue = FairQueue::new(2);
        for number in 0..4 {
            queue.push("hog", false, format!("hog-{number}"));
        }
        let (taken, flights) = names(&queue, 10);
        assert_eq!(taken.len(), 2);
        queue.push("ada", false, "ada".to_owned());
        assert_eq!(queue.pop(usize::MAX).map(|(job, _)| job).as_deref(), Some("ada"));
        drop(flights);
        assert_eq!(names(&queue, 10).0, ["hog-2", "hog-3"]);
    }

    #[test]
    fn takes_newcomer_before_round_of_others() {
        let queue = FairQueue::new(10);
        for user in ["hog", "pig", "cow"] {
            (0..3).for_each(|number| assert!(queue.push(user, false, format!("{user}-{number}"))));
        }
        let (_, _flights) = names(&queue, 3);
        queue.push("ada", false, "ada".to_owned());
        assert_eq!(names(&queue, 2).0, ["ada", "hog-1"]);
    }

    #[test]
    fn takes_others_between_newcomers() {
        let queue = FairQueue::new(10);
        (0..3).for_each(|number| assert!(queue.push("hog", false, format!("hog-{number}"))));
        let (_, _flights) = names(&queue, 1);
        (0..20).for_each(|number| {
            assert!(queue.push(&format!("new-{number}"), false, format!("new-{number}")))
        });
        let (taken, _more) = names(&queue, 22);
        let positions: Vec<_> = taken
            .iter()
            .enumerate()
            .filter(|(_, job)| job.starts_with("hog"))
            .map(|(at, _)| at)
            .collect();
        assert_eq!(positions, [8, 17]);
    }

    #[test]
    fn skips_users_at_their_limit() {
        let queue = FairQueue::new(10);
        (0..6).for_each(|number| assert!(queue.push("hog", false, number)));
        queue.push("pig", false, 10);
        let flights: Vec<_> = std::iter::repeat_with(|| queue.pop(2)).take(9).flatten().collect();
        let taken: Vec<_> = flights.iter().map(|(job, _)| *job).collect();
        assert_eq!(taken, [0, 10, 1]);
        assert_eq!(queue.pop(3).map(|(job, _)| job), Some(2));
    }

    #[test]
    fn returns_queued_jobs_when_closed() {
        let queue = FairQueue::new(1);
        queue.push("ada", false, 1);
        queue.push("ada", true, 2);
        assert_eq!(queue.close(), [2, 1]);
        assert!(!queue.push("ada", false, 3));
        assert!(queue.pop(usize::MAX).is_none());
    }

    proptest! {
        #[test]
        fn takes_each_job_once(
            jobs in prop::collection::vec((0u8..5, any::<bool>()), 0..200),
            limit in 1usize..4,
        ) {
            let queue = FairQueue::new(limit);
            let mut given = HashSet::new();
            let mut flights = Vec::new();
            for (number, (user, is_urgent)) in jobs.iter().enumerate() {
                queue.push(&user.to_string(), *is_urgent, number);
                if number % 3 == 0
                    && let Some((job, flight)) = queue.pop(usize::MAX)
                {
                    prop_assert!(given.insert(job));
                    flights.push(flight);
                }
            }
            loop {
                flights.clear();
                let Some((job, flight)) = queue.pop(usize::MAX) else { break };
                prop_assert!(given.insert(job));
                flights.push(flight);
            }
            prop_assert_eq!(given.len(), jobs.len());
            flights.clear();
            prop_assert!(queue.state().users.is_empty(), "idle users are removed");
        }
    }
}
