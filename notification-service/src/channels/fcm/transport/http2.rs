//! HTTP/2: a few connections, the least busy one for the next request, another one when they fill
//! up.
//!
//! A connection is given no more requests than its server takes at once: one more would wait inside
//! of the connection, be sent when its time is nearly over, and end in doubt. It waits outside,
//! where it is certain that it was not sent.

use super::connect::{ConnectError, Protocol, Stream};
use super::first_byte::Greeted;
use super::read_after_close::ReadOn;
use super::{Answer, Failure, Pool, TransportError, TransportSettings, http1, read_bounded};
use crate::channels::fcm::single_flight::SingleFlight;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::timeout;

/// A connection with more than a quarter of its streams in use calls for another.
const BUSY_SHARE: usize = 4;
/// The longest that a request waits for a free stream before it looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The connections that take requests.
pub(super) struct Connections {
    live: RwLock<Vec<Arc<Connection>>>,
    connecting: SingleFlight<Result<(), Arc<ConnectError>>>,
    /// A stream may be free.
    freed: Arc<Notify>,
}

impl Connections {
    pub(super) fn new() -> Self {
        Connections {
            live: RwLock::default(),
            connecting: SingleFlight::new(),
            freed: Arc::default(),
        }
    }

    /// The least busy connection, and how many there are.
    fn least_busy(&self) -> Option<(Arc<Connection>, usize)> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let usable = live.iter().filter(|connection| connection.is_usable());
        let (least, count) =
            usable.fold((None, 0), |(least, count): (Option<&Arc<Connection>>, _), next| {
                let better = least.is_none_or(|least| next.load() < least.load());
                (if better { Some(next) } else { least }, count + 1)
            });
        least.map(|connection| (Arc::clone(connection), count))
    }

    fn add(&self, connection: Connection) {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        live.retain(|connection| connection.is_usable());
        live.push(Arc::new(connection));
    }
}

impl Pool {
    pub(super) fn protocol(&self) -> Option<Protocol> {
        self.dialer.protocol()
    }

    /// A stream to send on; `None` when the server turned out to speak HTTP/1.1. Waits while every
    /// connection is full.
    pub(super) async fn stream(self: &Arc<Self>) -> Result<Option<FreeStream>, TransportError> {
        loop {
            let Some((connection, count)) = self.multiplexed.least_busy() else {
                let already = || self.multiplexed.least_busy().map(|_| Ok(()));
                self.connect(already).await.map_err(TransportError::Connect)?;
                if self.multiplexed.least_busy().is_none() {
                    return Ok(None);
                }
                continue;
            };
            let limit = connection.limit(&self.settings);
            let may_grow = count < self.settings.connections;
            if let Some(stream) = connection.reserve(limit, &self.multiplexed.freed) {
                let busy = connection.load() * BUSY_SHARE >= limit;
                if busy && may_grow && !self.multiplexed.connecting.is_running() {
                    let pool = Arc::clone(self);
                    tokio::spawn(async move { pool.connect(|| None).await });
                }
                return Ok(Some(stream));
            }
            let has_grown = may_grow
                && self.connect(|| None).await.is_ok()
                && self.multiplexed.least_busy().is_some_and(|(_, now)| now > count);
            if !has_grown {
                // Whatever frees a stream may be missed in between: it is looked at again soon in
                // any case.
                let _ = timeout(LOOK_AGAIN, self.multiplexed.freed.notified()).await;
            }
        }
    }

    /// Opens a connection, once for everybody who wants one; `already` may say that there is one by
    /// now.
    async fn connect(
        self: &Arc<Self>,
        already: impl FnOnce() -> Option<Result<(), Arc<ConnectError>>>,
    ) -> Result<(), Arc<ConnectError>> {
        self.multiplexed.connecting.join(already, || Arc::clone(self).open()).await
    }

    /// Opens a connection and puts it where its protocol belongs.
    async fn open(self: Arc<Self>) -> Result<(), Arc<ConnectError>> {
        let opened = async {
            match self.dialer.dial().await? {
                (stream, Protocol::Http2) => {
                    self.multiplexed.add(Connection::over(stream, &self.settings).await?);
                }
                (stream, Protocol::Http1) => self.keep_alive.put(http1::over(stream).await?),
            }
            Ok(())
        };
        opened.await.map_err(|error: ConnectError| {
            tracing::warn!(
                error = &error as &dyn Error,
                origin = %self.dialer.origin(),
                "connection to a provider failed, will retry"
            );
            Arc::new(error)
        })
    }
}

/// One connection and what is known of it.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    in_flight: AtomicUsize,
    /// The server's SETTINGS_MAX_CONCURRENT_STREAMS.
    server_limit: Arc<AtomicUsize>,
    opened_at: Instant,
    /// Milliseconds from `opened_at` to the last answer.
    answered_ms: AtomicU64,
    retired: AtomicBool,
}

impl Connection {
    /// Speaks HTTP/2 on a stream, and waits until the server does.
    async fn over(stream: Stream, settings: &TransportSettings) -> Result<Self, ConnectError> {
        let (stream, greeted) = Greeted::new(ReadOn::new(stream));
        let (sender, mut connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(settings.ping_interval)
            .keep_alive_timeout(settings.ping_timeout)
            .keep_alive_while_idle(true)
            .handshake(stream)
            .await
            .map_err(|error| ConnectError::Handshake(Box::new(error)))?;
        let server_limit = Arc::new(AtomicUsize::new(settings.streams_per_connection));
        let limit = Arc::clone(&server_limit);
        tokio::spawn(async move {
            let driven = poll_fn(|context| {
                let polled = Pin::new(&mut connection).poll(context);
                limit.store(connection.current_max_send_streams(), Ordering::Relaxed);
                polled
            });
            if let Err(error) = driven.await {
                tracing::debug!(
                    error = &error as &dyn Error,
                    "HTTP/2 connection to a provider ended"
                );
            }
        });
        match timeout(settings.connect_timeout, greeted).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(ConnectError::HungUp),
            Err(_) => return Err(ConnectError::Timeout),
        }
        Ok(Connection {
            sender,
            in_flight: AtomicUsize::new(0),
            server_limit,
            opened_at: Instant::now(),
            answered_ms: AtomicU64::new(0),
            retired: AtomicBool::new(false),
        })
    }

    fn is_usable(&self) -> bool {
        !self.retired.load(Ordering::Relaxed) && !self.sender.is_closed()
    }

    fn load(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Takes one of the streams that the server allows; `None` when all of them are in use.
    fn reserve(self: &Arc<Self>, limit: usize, freed: &Arc<Notify>) -> Option<FreeStream> {
        let one_more = |load| (load < limit).then_some(load + 1);
        self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(FreeStream { connection: Arc::clone(self), freed: Arc::clone(freed) })
    }

    fn limit(&self, settings: &TransportSettings) -> usize {
        self.server_limit.load(Ordering::Relaxed).clamp(1, settings.streams_per_connection.max(1))
    }

    fn age_ms(&self) -> u64 {
        u64::try_from(self.opened_at.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Sends a request and reads its answer.
    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        settings: &TransportSettings,
    ) -> Result<Answer, Failure> {
        let mut waiting = Waiting::on(self, settings.request_timeout);
        let result = match self.sender.clone().try_send_request(request).await {
            Err(mut error) => Err(self.failed(error.take_message().is_some(), error.error())),
            Ok(response) => {
                let (head, body) = response.into_parts();
                match read_bounded(body, settings.max_answer_bytes).await {
                    Ok(body) => Ok(Answer { status: head.status, headers: head.headers, body }),
                    Err(_) => Err(Failure::Lost),
                }
            }
        };
        waiting.ended = true;
        if result.is_ok() {
            self.answered_ms.store(self.age_ms(), Ordering::Relaxed);
        }
        result
    }

    /// Whether a request without an answer certainly had no effect. A connection that cannot take
    /// requests is not asked again.
    fn failed(&self, never_sent: bool, error: &hyper::Error) -> Failure {
        let said = error
            .source()
            .and_then(|source| source.downcast_ref::<h2::Error>())
            .filter(|error| error.is_remote());
        if said.is_some_and(|said| {
            said.is_reset() && said.reason() == Some(h2::Reason::REFUSED_STREAM)
        }) {
            return Failure::Refused;
        }
        self.retired.store(true, Ordering::Relaxed);
        // A GOAWAY that leaves the stream out (RFC 9113, section 6.8): h2 gives that error to no
        // other stream.
        let left_out = said.is_some_and(h2::Error::is_go_away);
        // The connection ended while the request waited for a free stream, its body still here.
        let dropped = error.is_user();
        if never_sent || left_out || dropped { Failure::NotSent } else { Failure::Lost }
    }
}

/// A stream of a connection, taken for one request and given back when it is dropped.
pub(super) struct FreeStream {
    connection: Arc<Connection>,
    freed: Arc<Notify>,
}

impl FreeStream {
    /// Sends a request and reads its answer.
    pub(super) async fn exchange(
        self,
        request: Request<Full<Bytes>>,
        settings: &TransportSettings,
    ) -> Result<Answer, Failure> {
        self.connection.exchange(request, settings).await
    }
}

impl Drop for FreeStream {
    fn drop(&mut self) {
        self.connection.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.freed.notify_one();
    }
}

/// Waits for an answer, and learns from a request that was given up.
struct Waiting<'a> {
    connection: &'a Connection,
    since_ms: u64,
    patience: Duration,
    ended: bool,
}

impl<'a> Waiting<'a> {
    fn on(connection: &'a Connection, patience: Duration) -> Self {
        Waiting { connection, since_ms: connection.age_ms(), patience, ended: false }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // Given up: if nothing at all was answered in the whole time, the connection is a black
        // hole.
        let waited = self.connection.age_ms().saturating_sub(self.since_ms);
        let most_of_it = u64::try_from(self.patience.as_millis()).unwrap_or(u64::MAX) / 2;
        let silent = self.connection.answered_ms.load(Ordering::Relaxed) <= self.since_ms;
        if silent && waited >= most_of_it {
            self.connection.retired.store(true, Ordering::Relaxed);
        }
    }
}
