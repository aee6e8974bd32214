//! State of one connection that its limits depend on.

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
    /// Notified when the connection must end because another one needs its permit.
    evicted: Notify,
}

#[derive(Debug)]
struct State {
    /// Number of requests that are not answered completely.
    open_requests: usize,
    /// `true` once a request was received.
    has_served: bool,
    /// Time since which no request is open.
    idle_since: Instant,
    /// Time of the first byte of an incomplete request head (HTTP/1.1 only).
    head_since: Option<Instant>,
    /// Requests whose bodies are awaited, with the time of the first wait.
    receiving: BTreeMap<u64, Instant>,
    /// Responses whose next part the client has not read, with the time at which it was offered.
    unread: BTreeMap<u64, Instant>,
    next_request: u64,
    is_multiplexed: bool,
}

/// Result of a check of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// The connection is within its limits.
    Healthy,
    /// No request was received for too long.
    Idle,
    /// A request head is incomplete for too long.
    HeadOverdue,
    /// The client does not read its response.
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
            unread: BTreeMap::new(),
            next_request: 0,
            is_multiplexed: false,
        };
        Arc::new(Self { state: Mutex::new(state), evicted: Notify::new() })
    }

    /// Records that the connection uses HTTP/2, where bytes that are not a request may arrive at
    /// any time.
    pub(super) fn set_multiplexed(&self) {
        self.state().is_multiplexed = true;
    }

    /// Records that bytes were received.
    pub(super) fn received(&self) {
        let mut state = self.state();
        if state.open_requests == 0 && !state.is_multiplexed {
            state.head_since.get_or_insert_with(Instant::now);
        }
    }

    /// Records the start of a request, which ends when the returned guard is dropped.
    pub(super) fn open(self: &Arc<Self>) -> OpenRequest {
        let mut state = self.state();
        state.open_requests += 1;
        state.has_served = true;
        state.head_since = None;
        state.next_request += 1;
        OpenRequest { activity: Arc::clone(self), id: state.next_request }
    }

    /// Checks the limits of the connection.
    pub(super) fn check(&self, limits: &ServerSettings) -> Health {
        let (state, now) = (self.state(), Instant::now());
        let is_over = |since: Instant, limit| now.saturating_duration_since(since) >= limit;
        if state.unread.values().any(|since| is_over(*since, limits.write_timeout)) {
            return Health::Stalled;
        }
        if state.open_requests > 0 {
            return Health::Healthy;
        }
        let first = if state.has_served { limits.idle_timeout } else { limits.header_timeout };
        match state.head_since {
            Some(since) if is_over(since, limits.header_timeout) => Health::HeadOverdue,
            None if is_over(state.idle_since, first) => Health::Idle,
            _ => Health::Healthy,
        }
    }

    /// Time since which the connection holds a permit without an open request; `None` while a
    /// request is handled. A connection that sends a body is ordered after those that send nothing.
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

    /// Requests the end of the connection.
    pub(super) fn evict(&self) {
        self.evicted.notify_one();
    }

    /// Resolves when the end of the connection is requested.
    pub(super) async fn evicted(&self) {
        self.evicted.notified().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request, from its head to the last byte of its response.
#[derive(Debug)]
pub(super) struct OpenRequest {
    activity: Arc<Activity>,
    id: u64,
}

impl OpenRequest {
    /// Returns a handle for the body of the request.
    pub(super) fn body(&self) -> Receiving {
        Receiving { activity: Arc::clone(&self.activity), id: self.id }
    }

    /// Records whether a part of the response is offered to the client.
    pub(super) fn offered(&self, is_offered: bool) {
        let mut state = self.activity.state();
        if is_offered {
            state.unread.insert(self.id, Instant::now());
        } else {
            state.unread.remove(&self.id);
        }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        state.unread.remove(&self.id);
        state.open_requests -= 1;
        if state.open_requests == 0 {
            state.idle_since = Instant::now();
        }
    }
}

/// Body of one request, while it is received.
#[derive(Debug)]
pub(super) struct Receiving {
    activity: Arc<Activity>,
    id: u64,
}

impl Receiving {
    /// Records that the body is awaited.
    pub(super) fn waits(&self) {
        self.activity.state().receiving.entry(self.id).or_insert_with(Instant::now);
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.activity.state().receiving.remove(&self.id);
    }
}
