//! HTTP client for one origin with long-lived connections: HTTP/2 with many streams each, or
//! HTTP/1.1 if the server speaks nothing else.
//!
//! Guarantees: A call that was not sent by its start time ends then. Any other call ends within the
//! request timeout after it was sent. A failed call reports if the server may have accepted the
//! request all the same ([`TransportError::maybe_delivered`]). Only a request that the server
//! certainly did not accept is sent again on another connection. A connection that sent GOAWAY, was
//! closed, or received no response for a whole timeout gets no new request.

mod connect;
mod first_byte;
mod http1;
mod http2;
mod read_after_close;

use super::setup_error::SetupError;
use bytes::{Bytes, BytesMut};
pub(super) use connect::Tls;
use connect::{ConnectError, Dialer, Protocol};
use http::header::{CONTENT_LENGTH, HOST, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode, Uri, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::{timeout, timeout_at};
use url::Url;

/// Number of connections that a request may fail on without being sent, in addition to one for each
/// possible connection: all of them may receive GOAWAY at the same time.
const EXTRA_TRIES: usize = 3;
/// Number of times that the server may refuse a request before the call fails.
const MAX_REFUSALS: usize = 3;

/// Limits of a transport.
#[derive(Debug, Clone)]
pub(super) struct TransportSettings {
    /// Largest number of HTTP/2 connections, opened on demand.
    pub(super) connections: usize,
    /// Largest number of streams on one of them. The server may allow fewer.
    pub(super) streams_per_connection: usize,
    /// Largest number of connections to a server that speaks only HTTP/1.1, with one request each.
    pub(super) http1_connections: usize,
    /// Largest number of requests in flight. Others wait for a permit.
    pub(super) max_in_flight: usize,
    /// Timeout for name resolution, TCP, TLS and protocol negotiation.
    pub(super) connect_timeout: Duration,
    /// Timeout from sending a request to the last byte of its response; before that, also the
    /// timeout for a permit and a connection.
    pub(super) request_timeout: Duration,
    /// Time without data after which an HTTP/2 connection is pinged.
    pub(super) ping_interval: Duration,
    /// Time without a ping response after which an HTTP/2 connection is closed.
    pub(super) ping_timeout: Duration,
    /// Largest body of a response, in bytes. A larger one counts as empty.
    pub(super) max_response_bytes: usize,
}

impl TransportSettings {
    /// Returns the default limits for a number of connections.
    pub(super) fn with_connections(connections: usize) -> Self {
        let connections = connections.max(1);
        TransportSettings {
            connections,
            streams_per_connection: 100,
            http1_connections: 256,
            max_in_flight: connections * 100,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(15),
            ping_interval: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(5),
            max_response_bytes: 64 * 1024,
        }
    }
}

/// Parsed path on the origin.
#[derive(Debug, Clone)]
pub(super) struct Target {
    absolute: Uri,
    path: Uri,
    host: HeaderValue,
}

/// Complete HTTP response.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Failure to get a response.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum TransportError {
    /// No connection could be opened.
    #[error(transparent)]
    Connect(Arc<ConnectError>),
    /// The request timeout passed.
    #[error("no response in time")]
    Timeout {
        /// `true` if the request had been passed to a connection.
        sent: bool,
    },
    /// The connection broke while the response was awaited.
    #[error("the connection broke before the response was complete")]
    Interrupted,
    /// Every connection closed without accepting the request.
    #[error("the server accepts no requests")]
    NotTaken,
}

impl TransportError {
    fn is_hung_up(&self) -> bool {
        matches!(self, TransportError::Connect(error) if matches!(**error, ConnectError::HungUp))
    }

    /// Returns `true` if the server may have handled the request.
    pub(super) fn maybe_delivered(&self) -> bool {
        match self {
            TransportError::Timeout { sent } => *sent,
            TransportError::Interrupted => true,
            TransportError::Connect(_) | TransportError::NotTaken => false,
        }
    }

    /// Returns the code of the failure.
    pub(super) fn code(&self) -> &'static str {
        match self {
            TransportError::Connect(error) => error.code(),
            TransportError::Timeout { .. } => "TIMEOUT",
            TransportError::Interrupted => "CONNECTION_LOST",
            TransportError::NotTaken => "REQUEST_NOT_TAKEN",
        }
    }
}

/// Failure of a request on one connection.
#[derive(Debug)]
enum Failure {
    /// The connection accepts no requests, and the request did not reach the server's application.
    NotSent,
    /// The server refused the request without processing it (REFUSED_STREAM; RFC 9113, section
    /// 8.7).
    Refused,
    /// The server may or may not have handled the request.
    Lost,
}

/// HTTP client for one origin.
pub(super) struct Transport {
    pool: Arc<Pool>,
    permits: Semaphore,
    http1_permits: Semaphore,
    request_timeout: Duration,
}

struct Pool {
    dialer: Dialer,
    settings: TransportSettings,
    multiplexed: http2::Connections,
    keep_alive: http1::Connections,
}

impl Transport {
    /// Creates a transport without connecting.
    pub(super) fn new(
        origin: &Url,
        tls: &Tls,
        settings: TransportSettings,
    ) -> Result<Self, SetupError> {
        let dialer = Dialer::new(origin, tls, settings.connect_timeout)?;
        let permits = Semaphore::new(settings.max_in_flight.clamp(1, Semaphore::MAX_PERMITS));
        let http1_permits =
            Semaphore::new(settings.http1_connections.clamp(1, Semaphore::MAX_PERMITS));
        let request_timeout = settings.request_timeout;
        let multiplexed = http2::Connections::new();
        let keep_alive = http1::Connections::new();
        let pool = Arc::new(Pool { dialer, settings, multiplexed, keep_alive });
        Ok(Transport { pool, permits, http1_permits, request_timeout })
    }

    /// Parses a path (and query) of the origin, so that requests can reuse it.
    pub(super) fn target(&self, path: &str) -> Result<Target, SetupError> {
        let unusable = |_| SetupError::Url("the endpoint");
        let origin = self.pool.dialer.origin();
        let mut parts = origin.clone().into_parts();
        parts.path_and_query = Some(path.parse().map_err(|_| SetupError::Url("the endpoint"))?);
        let host = origin.authority().map_or("", |authority| authority.as_str());
        Ok(Target {
            absolute: Uri::from_parts(parts).map_err(|_| SetupError::Url("the endpoint"))?,
            path: path.parse().map_err(|_| SetupError::Url("the endpoint"))?,
            host: HeaderValue::from_str(host).map_err(unusable)?,
        })
    }

    /// Posts `body` and reads the complete response. A request without a permit and a connection by
    /// `start_by`, or within the request timeout, is not sent. A request that is sent has the whole
    /// request timeout for its response.
    pub(super) async fn post(
        &self,
        target: &Target,
        headers: &HeaderMap,
        body: Bytes,
        start_by: Instant,
    ) -> Result<Response, TransportError> {
        let now = Instant::now();
        let start_by =
            now.checked_add(self.request_timeout).map_or(start_by, |latest| latest.min(start_by));
        // The semaphores are never closed.
        let _permit = before_deadline(start_by, self.permits.acquire())
            .await?
            .map_err(|_| TransportError::NotTaken)?;
        self.exchange(target, headers, body, start_by).await
    }

    async fn exchange(
        &self,
        target: &Target,
        headers: &HeaderMap,
        body: Bytes,
        start_by: Instant,
    ) -> Result<Response, TransportError> {
        let mut refusals = 0;
        for _ in 0..self.pool.settings.connections + EXTRA_TRIES {
            if Instant::now() > start_by {
                return Err(TransportError::Timeout { sent: false });
            }
            let failure = match self.pool.protocol() {
                Some(Protocol::Http1) => {
                    self.over_http1(target, headers, body.clone(), start_by).await?
                }
                Some(Protocol::Http2) | None => {
                    match before_deadline(start_by, self.pool.stream()).await? {
                        Ok(None) => continue,
                        // The server sent no byte, so no request was sent to it.
                        Err(error) if error.is_hung_up() => Err(Failure::Refused),
                        Err(error) => return Err(error),
                        Ok(Some(stream)) => {
                            let request = target.over_http2(headers, body.clone());
                            self.await_response(stream.exchange(request, &self.pool.settings))
                                .await?
                        }
                    }
                }
            };
            match failure {
                Ok(response) => return Ok(response),
                Err(Failure::Lost) => return Err(TransportError::Interrupted),
                Err(Failure::NotSent) => {}
                Err(Failure::Refused) => refusals += 1,
            }
            if refusals == MAX_REFUSALS {
                break;
            }
        }
        Err(TransportError::NotTaken)
    }

    async fn over_http1(
        &self,
        target: &Target,
        headers: &HeaderMap,
        body: Bytes,
        start_by: Instant,
    ) -> Result<Result<Response, Failure>, TransportError> {
        let _permit = before_deadline(start_by, self.http1_permits.acquire())
            .await?
            .map_err(|_| TransportError::NotTaken)?;
        let Some(connection) =
            before_deadline(start_by, self.pool.keep_alive_connection()).await??
        else {
            return Ok(Err(Failure::NotSent));
        };
        let request = target.over_http1(headers, body);
        let exchanged = self
            .await_response(self.pool.keep_alive.exchange(connection, request, &self.pool.settings))
            .await?;
        if exchanged.is_err() {
            self.pool.dialer.forget_protocol();
        }
        Ok(exchanged)
    }

    /// Waits for the response to a request that was sent.
    async fn await_response<T>(
        &self,
        exchange: impl Future<Output = T>,
    ) -> Result<T, TransportError> {
        timeout(self.request_timeout, exchange)
            .await
            .map_err(|_| TransportError::Timeout { sent: true })
    }
}

/// Waits for a precondition of sending a request, until `start_by`.
async fn before_deadline<T>(
    start_by: Instant,
    needed: impl Future<Output = T>,
) -> Result<T, TransportError> {
    timeout_at(start_by.into(), needed).await.map_err(|_| TransportError::Timeout { sent: false })
}

impl Target {
    fn over_http2(&self, headers: &HeaderMap, body: Bytes) -> Request<Full<Bytes>> {
        self.request(headers, body, self.absolute.clone(), Version::HTTP_2)
    }

    fn over_http1(&self, headers: &HeaderMap, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = self.request(headers, body, self.path.clone(), Version::HTTP_11);
        request.headers_mut().insert(HOST, self.host.clone());
        request
    }

    fn request(
        &self,
        headers: &HeaderMap,
        body: Bytes,
        uri: Uri,
        version: Version,
    ) -> Request<Full<Bytes>> {
        let length = HeaderValue::from(body.len());
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        *request.version_mut() = version;
        *request.headers_mut() = headers.clone();
        request.headers_mut().insert(CONTENT_LENGTH, length);
        request
    }
}

/// Reads a body of at most `limit` bytes. A longer body counts as empty: the status still tells
/// enough.
async fn read_bounded(mut body: Incoming, limit: usize) -> Result<Bytes, hyper::Error> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if first.len() + rest.len() + data.len() > limit {
            return Ok(Bytes::new());
        }
        match first.is_empty() {
            true => first = data,
            false => rest.extend_from_slice(&data),
        }
        if body.is_end_stream() {
            break;
        }
    }
    if rest.is_empty() {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(first.len() + rest.len());
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&rest);
    Ok(whole.freeze())
}
