//! The running sandbox and its in-process interface.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{Stream, stream};
use serde_json::Value;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    Captured, Mode,
    capture::{Attempt, Stats, Store},
    fcm, oauth, server, ses,
};

/// Settings of a sandbox.
#[derive(Debug, Clone)]
pub struct Options {
    /// Address to listen on; port 0 for a free one.
    pub addr: SocketAddr,
    /// Number of messages, and of attempts, that are kept.
    pub capacity: usize,
    /// Lifetime of access tokens.
    pub token_lifetime: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            capacity: 10_000,
            token_lifetime: Duration::from_secs(3_599),
        }
    }
}

/// A failure to start a sandbox.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address could not be bound.
    #[error("could not listen on {addr}")]
    Bind {
        /// The requested address.
        addr: SocketAddr,
        /// Error of the operating system.
        #[source]
        source: io::Error,
    },
}

/// The expected message did not arrive.
#[derive(Debug, thiserror::Error)]
#[error("no such message within {limit:?}; {arrived} arrived; answers so far: {answers}")]
pub struct TimedOut {
    /// Time that was waited.
    pub limit: Duration,
    /// Number of captured messages.
    pub arrived: usize,
    /// Counts of the answers by kind, as JSON.
    pub answers: String,
}

/// State that the endpoints share.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) tokens: oauth::Tokens,
    pub(crate) sends: fcm::SendCounts,
    pub(crate) templates: ses::Templates,
    mode: Mutex<Arc<Mode>>,
    /// Number of calls to close all connections gracefully.
    pub(crate) go_away: watch::Sender<u64>,
}

impl State {
    pub(crate) fn mode(&self) -> Arc<Mode> {
        Arc::clone(&self.mode.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set_mode(&self, mode: Mode) {
        *self.mode.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(mode);
    }

    pub(crate) fn go_away(&self) {
        self.go_away.send_modify(|count| *count += 1);
    }
}

/// A running sandbox. It stops when this value is dropped.
#[derive(Debug)]
pub struct Sandbox {
    addr: SocketAddr,
    state: Arc<State>,
    stop: CancellationToken,
    serving: Option<JoinHandle<()>>,
}

impl Sandbox {
    /// Starts a sandbox.
    ///
    /// # Errors
    ///
    /// If the address cannot be bound.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let bind = |source| Error::Bind { addr: options.addr, source };
        let listener = TcpListener::bind(options.addr).await.map_err(bind)?;
        let addr = listener.local_addr().map_err(bind)?;
        let state = Arc::new(State {
            store: Store::new(options.capacity),
            tokens: oauth::Tokens::new(options.token_lifetime),
            sends: fcm::SendCounts::default(),
            templates: ses::Templates::default(),
            mode: Mutex::default(),
            go_away: watch::Sender::new(0),
        });
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server::serve(listener, Arc::clone(&state), stop.clone()));
        Ok(Self { addr, state, stop, serving: Some(serving) })
    }

    /// Address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Address as `http://…`: the value for `FCM_ENDPOINT` and `AWS_ENDPOINT_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Service account that gets its access tokens here.
    pub fn service_account(&self) -> Value {
        oauth::service_account(&self.url())
    }

    /// The same as JSON text: the value for `FCM_PROJECT_CONFIG`.
    pub fn fcm_project_config(&self) -> String {
        self.service_account().to_string()
    }

    /// Messages that were accepted and are still kept, in order of arrival.
    pub fn captured(&self) -> Vec<Arc<Captured>> {
        self.captured_after(0)
    }

    /// The same, after the message with this sequence number.
    pub fn captured_after(&self, seq: u64) -> Vec<Arc<Captured>> {
        self.state.store.after(seq)
    }

    /// Waits for the first captured message that `wanted` accepts, for at most `limit`.
    ///
    /// # Errors
    ///
    /// If none arrives in time.
    pub async fn wait_for(
        &self,
        wanted: impl Fn(&Captured) -> bool,
        limit: Duration,
    ) -> Result<Arc<Captured>, TimedOut> {
        let mut newest = self.state.store.newest();
        let mut seen = 0;
        let waiting = async {
            loop {
                newest.mark_unchanged();
                for message in self.captured_after(seen) {
                    seen = message.seq;
                    if wanted(&message) {
                        return message;
                    }
                }
                // The sender lives in `self.state`: the channel does not close meanwhile.
                let _ = newest.changed().await;
            }
        };
        tokio::time::timeout(limit, waiting).await.map_err(|_| TimedOut {
            limit,
            arrived: self.captured().len(),
            answers: serde_json::to_string(&self.stats().answers).unwrap_or_default(),
        })
    }

    /// Endless stream of the messages after this sequence number.
    pub fn stream(&self, after: u64) -> impl Stream<Item = Arc<Captured>> + use<> {
        stream_of(Arc::clone(&self.state), after)
    }

    /// Requests to send to `address` (a token or a recipient) that are still kept, refused ones
    /// included.
    pub fn attempts(&self, address: &str) -> Vec<Attempt> {
        self.state.store.attempts(|attempt| attempt.address == address)
    }

    /// The counts.
    pub fn stats(&self) -> Stats {
        self.state.store.stats()
    }

    /// Removes the captured messages and resets the counts.
    pub fn clear(&self) {
        self.state.store.clear();
    }

    /// Changes the behaviour of the providers.
    pub fn set_mode(&self, mode: Mode) {
        self.state.set_mode(mode);
    }

    /// Revokes every access token issued so far.
    pub fn revoke_tokens(&self) {
        self.state.tokens.revoke();
    }

    /// Closes every open connection gracefully: HTTP/2 clients get a GOAWAY.
    pub fn go_away(&self) {
        self.state.go_away();
    }

    /// Stops after the requests in flight are answered.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(serving) = self.serving.take() {
            let _ = serving.await;
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The kept messages after `after`, then each as it arrives.
pub(crate) fn stream_of(state: Arc<State>, after: u64) -> impl Stream<Item = Arc<Captured>> {
    let newest = state.store.newest();
    let begin = (state, newest, after, Vec::new().into_iter());
    stream::unfold(begin, |(state, mut newest, mut seen, mut batch)| async move {
        loop {
            if let Some(message) = batch.next() {
                let message: Arc<Captured> = message;
                seen = message.seq;
                return Some((message, (state, newest, seen, batch)));
            }
            newest.mark_unchanged();
            batch = state.store.after(seen).into_iter();
            if batch.len() == 0 {
                newest.changed().await.ok()?;
            }
        }
    })
}
