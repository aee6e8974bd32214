//! State of one connection as seen by its limits: what it waits for, and since when.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::Notify, time::Instant};

use super::settings::ServerSettings;

/// State of one connection, shared by its socket, its requests and the listener.
#[derive(Debug)]
pub(super) struct Activity {
    state: Mutex<State>,
    /// Asks the connection to end, because another one needs its place.
    evicted: Notify,
}

#[derive(Debug)]
struct State {
    /// Requests that are not answered completely.
    open_requests: usize,
    /// `true` once a request has come.
    has_served: bool,
    /// Time since which no request is open.
    idle_since: Instant,
    /// Time of the first byte of a head that is not complete (HTTP/1.1 only).
    head_since: Option<Instant>,
    /// Requests whose bodies are awaited, with the time of the first wait.
    receiving: BTreeMap<u64, Instant>,
    /// Answers whose next part the client has not taken, with the time since when it could.
    untaken: BTreeMap<u64, Instant>,
    next_request: u64,
    is_multiplexed: bool,
}

/// Finding of a look at a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// It is within its limits.
    Healthy,
    /// No request came for too long.
    Idle,
    /// A request head was begun and not completed.
    HeadOverdue,
    /// The client does not take its answer.
    Stalled,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        let state = State {
            open_requests: 0,
            has_served: false,
            idle_since: Instant::now(),
            head_since: None,
            receiving: BTreeMap::new(),
            untaken: BTreeMap::new(),
            next_request: 0,
            is_multiplexed: false,
        };
        Arc::new(Self { state: Mutex::new(state), evicted: Notify::new() })
    }

    /// Notes that the connection speaks HTTP/2, where bytes that are no request may come at any
    /// time.
    pub(super) fn multiplexed(&self) {
        self.state().is_multiplexed = true;
    }

    /// Notes that bytes came.
    pub(super) fn received(&self) {
        let mut state = self.state();
        if state.open_requests == 0 && !state.is_multiplexed {
            state.head_since.get_or_insert_with(Instant::now);
        }
    }

    /// Notes that a request begins; it ends when the guard is dropped.
    pub(super) fn open(self: &Arc<Self>) -> OpenRequest {
        let mut state = self.state();
        state.open_requests += 1;
        state.has_served = true;
        state.head_since = None;
        state.next_request += 1;
        OpenRequest { activity: Arc::clone(self), id: state.next_request }
    }

    /// Compares the connection with its limits.
    pub(super) fn look(&self, limits: &ServerSettings) -> Finding {
        let (state, now) = (self.state(), Instant::now());
        let is_over = |since: Instant, limit| now.saturating_duration_since(since) >= limit;
        if state.untaken.values().any(|since| is_over(*since, limits.write_timeout)) {
            return Finding::Stalled;
        }
        if state.open_requests > 0 {
            return Finding::Healthy;
        }
        let first = if state.has_served { limits.idle_timeout } else { limits.header_timeout };
        match state.head_since {
            Some(since) if is_over(since, limits.header_timeout) => Finding::HeadOverdue,
            None if is_over(state.idle_since, first) => Finding::Idle,
            _ => Finding::Healthy,
        }
    }

    /// Time since which the connection keeps a place without being served; none while it is
    /// answered. A connection that sends a body comes after those that send nothing.
    pub(super) fn unused_since(&self) -> Option<(bool, Instant)> {
        let state = self.state();
        if state.open_requests == 0 {
            return Some((false, state.head_since.unwrap_or(state.idle_since)));
        }
        let oldest = state.receiving.values().min().copied();
        oldest.filter(|_| state.receiving.len() == state.open_requests).map(|since| (true, since))
    }

    /// Returns whether a request is open.
    pub(super) fn is_open(&self) -> bool {
        self.state().open_requests > 0
    }

    /// Asks the connection to end.
    pub(super) fn evict(&self) {
        self.evicted.notify_one();
    }

    /// Resolves when the connection is asked to end.
    pub(super) async fn evicted(&self) {
        self.evicted.notified().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request, from its head to the last byte of its answer.
#[derive(Debug)]
pub(super) struct OpenRequest {
    activity: Arc<Activity>,
    id: u64,
}

impl OpenRequest {
    /// A second handle for the request's body.
    pub(super) fn body(&self) -> Receiving {
        Receiving { activity: Arc::clone(&self.activity), id: self.id }
    }

    /// Notes whether the client could take the next part of the answer.
    pub(super) fn offered(&self, is_offered: bool) {
        let mut state = self.activity.state();
        if is_offered {
            state.untaken.insert(self.id, Instant::now());
        } else {
            state.untaken.remove(&self.id);
        }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        state.untaken.remove(&self.id);
        state.open_requests -= 1;
        if state.open_requests == 0 {
            state.idle_since = Instant::now();
        }
    }
}

/// The body of one request, while it is received.
#[derive(Debug)]
pub(super) struct Receiving {
    activity: Arc<Activity>,
    id: u64,
}

impl Receiving {
    /// Notes that the body is waited for.
    pub(super) fn waits(&self) {
        self.activity.state().receiving.entry(self.id).or_insert_with(Instant::now);
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.activity.state().receiving.remove(&self.id);
    }
}
