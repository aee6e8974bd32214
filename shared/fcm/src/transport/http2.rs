//! HTTP/2: a few connections. A request goes to the least busy one, and another one is opened when
//! they fill up.
//!
//! A connection gets no more requests than its server allows at once. One more would wait inside
//! the connection, be sent when its time is nearly over, and end with an unknown result. Such a
//! request waits outside of the connection, where it certainly was not sent.

use super::connect::{ConnectError, Protocol, Stream};
use super::first_byte::FirstByteSignal;
use super::read_after_close::ReadAfterClose;
use super::{Failure, Pool, Response, TransportError, TransportSettings, http1, read_bounded};
use crate::single_flight::SingleFlight;
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

/// Divisor of a connection's streams: with a larger part in use, another connection is opened.
const BUSY_SHARE: usize = 4;
/// Longest time that a request waits for a free stream before it checks again.
const RECHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Connections that accept requests.
pub(super) struct Connections {
    live: RwLock<Vec<Arc<Connection>>>,
    connecting: SingleFlight<Result<(), Arc<ConnectError>>>,
    /// Notified when a stream may be free.
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

    /// Returns the least busy connection, and the number of connections.
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

    /// Reserves a stream, and waits while every connection is full. Returns `None` if the server
    /// turned out to speak HTTP/1.1.
    pub(super) async fn stream(self: &Arc<Self>) -> Result<Option<StreamPermit>, TransportError> {
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
                // A notification may be missed in between, so the wait is short.
                let _ = timeout(RECHECK_INTERVAL, self.multiplexed.freed.notified()).await;
            }
        }
    }

    /// Opens a connection, once for all concurrent callers. `already` returns a result if there is
    /// a connection by now.
    async fn connect(
        self: &Arc<Self>,
        already: impl FnOnce() -> Option<Result<(), Arc<ConnectError>>>,
    ) -> Result<(), Arc<ConnectError>> {
        self.multiplexed.connecting.join(already, || Arc::clone(self).open()).await
    }

    /// Opens a connection and adds it to the pool of its HTTP version.
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

/// Connection and its state.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    in_flight: AtomicUsize,
    /// The server's SETTINGS_MAX_CONCURRENT_STREAMS.
    server_limit: Arc<AtomicUsize>,
    opened_at: Instant,
    /// Milliseconds from `opened_at` to the last response.
    last_response_ms: AtomicU64,
    retired: AtomicBool,
}

impl Connection {
    /// Starts an HTTP/2 client on a stream, and waits for the server's first frame.
    async fn over(stream: Stream, settings: &TransportSettings) -> Result<Self, ConnectError> {
        let (stream, first_byte_received) = FirstByteSignal::new(ReadAfterClose::new(stream));
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
        match timeout(settings.connect_timeout, first_byte_received).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(ConnectError::HungUp),
            Err(_) => return Err(ConnectError::Timeout),
        }
        Ok(Connection {
            sender,
            in_flight: AtomicUsize::new(0),
            server_limit,
            opened_at: Instant::now(),
            last_response_ms: AtomicU64::new(0),
            retired: AtomicBool::new(false),
        })
    }

    fn is_usable(&self) -> bool {
        !self.retired.load(Ordering::Relaxed) && !self.sender.is_closed()
    }

    fn load(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Reserves one of the streams that the server allows. Returns `None` if all of them are in
    /// use.
    fn reserve(self: &Arc<Self>, limit: usize, freed: &Arc<Notify>) -> Option<StreamPermit> {
        let one_more = |load| (load < limit).then_some(load + 1);
        self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(StreamPermit { connection: Arc::clone(self), freed: Arc::clone(freed) })
    }

    fn limit(&self, settings: &TransportSettings) -> usize {
        self.server_limit.load(Ordering::Relaxed).clamp(1, settings.streams_per_connection.max(1))
    }

    fn age_ms(&self) -> u64 {
        u64::try_from(self.opened_at.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Sends a request and reads its response.
    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        settings: &TransportSettings,
    ) -> Result<Response, Failure> {
        let mut waiting = PendingResponse::on(self, settings.request_timeout);
        let result = match self.sender.clone().try_send_request(request).await {
            Err(mut error) => Err(self.failed(error.take_message().is_some(), error.error())),
            Ok(response) => {
                let (head, body) = response.into_parts();
                match read_bounded(body, settings.max_response_bytes).await {
                    Ok(body) => Ok(Response { status: head.status, headers: head.headers, body }),
                    Err(_) => Err(Failure::Lost),
                }
            }
        };
        waiting.ended = true;
        if result.is_ok() {
            self.last_response_ms.store(self.age_ms(), Ordering::Relaxed);
        }
        result
    }

    /// Classifies a request without a response by its possible effect. A connection that cannot
    /// accept requests is retired.
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
        // A GOAWAY that excludes the stream (RFC 9113, section 6.8): h2 returns this error for no
        // other stream.
        let left_out = said.is_some_and(h2::Error::is_go_away);
        // The connection ended while the request waited for a free stream, with its body unsent.
        let dropped = error.is_user();
        if never_sent || left_out || dropped { Failure::NotSent } else { Failure::Lost }
    }
}

/// Permit for one stream of a connection, released when it is dropped.
pub(super) struct StreamPermit {
    connection: Arc<Connection>,
    freed: Arc<Notify>,
}

impl StreamPermit {
    /// Sends a request and reads its response.
    pub(super) async fn exchange(
        self,
        request: Request<Full<Bytes>>,
        settings: &TransportSettings,
    ) -> Result<Response, Failure> {
        self.connection.exchange(request, settings).await
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.connection.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.freed.notify_one();
    }
}

/// Tracks a request until its response, and detects a black hole if the request is abandoned.
struct PendingResponse<'a> {
    connection: &'a Connection,
    since_ms: u64,
    request_timeout: Duration,
    ended: bool,
}

impl<'a> PendingResponse<'a> {
    fn on(connection: &'a Connection, request_timeout: Duration) -> Self {
        PendingResponse { connection, since_ms: connection.age_ms(), request_timeout, ended: false }
    }
}

impl Drop for PendingResponse<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // The request was abandoned. If no response at all arrived in its time, the connection is a
        // black hole.
        let waited = self.connection.age_ms().saturating_sub(self.since_ms);
        let half_of_timeout =
            u64::try_from(self.request_timeout.as_millis()).unwrap_or(u64::MAX) / 2;
        let silent = self.connection.last_response_ms.load(Ordering::Relaxed) <= self.since_ms;
        if silent && waited >= half_of_timeout {
            self.connection.retired.store(true, Ordering::Relaxed);
        }
    }
}
