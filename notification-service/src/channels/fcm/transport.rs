//! Long-lived connections to one origin: many HTTP/2 streams each, or HTTP/1.1 where the server
//! speaks nothing else.
//!
//! What is promised: a call that was not sent by the time it should begin ends then, any other
//! within the request timeout from when it was sent, and a failed one says whether the server may
//! have taken the request all the same ([`TransportError::maybe_delivered`]). A request that
//! certainly was not taken is given to another connection; any other never. A connection that sent
//! GOAWAY, closed, or answered nothing for a whole timeout gets no new request.

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

/// How often a request is given to a connection that turns out to take none, beyond once for each
/// connection there may be: all of them may have been told to go away at the same time.
const SPARE_TRIES: usize = 3;
/// How often the server may refuse a request by itself before it is believed.
const REFUSALS: usize = 3;

/// The limits of a transport.
#[derive(Debug, Clone)]
pub(super) struct TransportSettings {
    /// The most HTTP/2 connections; opened as the load asks for them.
    pub(super) connections: usize,
    /// The most streams one of them is given, where its server does not want fewer.
    pub(super) streams_per_connection: usize,
    /// The most connections to a server that speaks HTTP/1.1 only, one request each.
    pub(super) http1_connections: usize,
    /// The most requests on their way at a time; more wait for their turn.
    pub(super) max_in_flight: usize,
    /// For name, TCP, TLS and finding out the protocol.
    pub(super) connect_timeout: Duration,
    /// From the sending to the last byte of the answer; and, before, for a permit and a connection.
    pub(super) request_timeout: Duration,
    /// An HTTP/2 connection on which nothing comes for so long is asked for a sign of life.
    pub(super) ping_interval: Duration,
    /// And closed when none comes for so long.
    pub(super) ping_timeout: Duration,
    /// The most bytes of an answer that are read; what has more is taken as empty.
    pub(super) max_answer_bytes: usize,
}

impl TransportSettings {
    /// Defaults around a number of connections.
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
            max_answer_bytes: 64 * 1024,
        }
    }
}

/// A path of the origin, ready for use.
#[derive(Debug, Clone)]
pub(super) struct Target {
    absolute: Uri,
    path: Uri,
    host: HeaderValue,
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum TransportError {
    /// No connection came about.
    #[error(transparent)]
    Connect(Arc<ConnectError>),
    /// The request timeout passed.
    #[error("no answer in time")]
    Timeout {
        /// Whether the request had been given to a connection.
        sent: bool,
    },
    /// The connection broke while the answer was awaited.
    #[error("the connection broke before the answer was complete")]
    Interrupted,
    /// Connection after connection closed without taking the request.
    #[error("the server takes no requests")]
    NotTaken,
}

impl TransportError {
    fn is_hung_up(&self) -> bool {
        matches!(self, TransportError::Connect(error) if matches!(**error, ConnectError::HungUp))
    }

    /// Whether the server may have done what was asked.
    pub(super) fn maybe_delivered(&self) -> bool {
        match self {
            TransportError::Timeout { sent } => *sent,
            TransportError::Interrupted => true,
            TransportError::Connect(_) | TransportError::NotTaken => false,
        }
    }

    /// A stable code.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            TransportError::Connect(error) => error.reason(),
            TransportError::Timeout { .. } => "TIMEOUT",
            TransportError::Interrupted => "CONNECTION_LOST",
            TransportError::NotTaken => "REQUEST_NOT_TAKEN",
        }
    }
}

/// How a request on one connection failed.
#[derive(Debug)]
enum Failure {
    /// The connection takes no requests; this one did not reach the server's application.
    NotSent,
    /// The server refused this one, untouched (REFUSED_STREAM; RFC 9113, section 8.7).
    Refused,
    /// Nobody knows.
    Lost,
}

/// Connections to one origin.
pub(super) struct Transport {
    pool: Arc<Pool>,
    permits: Semaphore,
    http1_turns: Semaphore,
    request_timeout: Duration,
}

struct Pool {
    dialer: Dialer,
    settings: TransportSettings,
    multiplexed: http2::Connections,
    keep_alive: http1::Connections,
}

impl Transport {
    /// Nothing is connected yet.
    pub(super) fn new(
        origin: &Url,
        tls: &Tls,
        settings: TransportSettings,
    ) -> Result<Self, SetupError> {
        let dialer = Dialer::new(origin, tls, settings.connect_timeout)?;
        let permits = Semaphore::new(settings.max_in_flight.clamp(1, Semaphore::MAX_PERMITS));
        let http1_turns =
            Semaphore::new(settings.http1_connections.clamp(1, Semaphore::MAX_PERMITS));
        let request_timeout = settings.request_timeout;
        let multiplexed = http2::Connections::new();
        let keep_alive = http1::Connections::new();
        let pool = Arc::new(Pool { dialer, settings, multiplexed, keep_alive });
        Ok(Transport { pool, permits, http1_turns, request_timeout })
    }

    /// A path (and query) of the origin, to be prepared once.
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

    /// Posts `body` and reads the whole answer. What has no permit and no connection by `start_by`,
    /// or within the request timeout, is not sent; what is sent has the whole request timeout for
    /// its answer.
    pub(super) async fn post(
        &self,
        target: &Target,
        headers: &HeaderMap,
        body: Bytes,
        start_by: Instant,
    ) -> Result<Answer, TransportError> {
        let now = Instant::now();
        let start_by =
            now.checked_add(self.request_timeout).map_or(start_by, |latest| latest.min(start_by));
        // The semaphores are never closed.
        let _permit = in_time(start_by, self.permits.acquire())
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
    ) -> Result<Answer, TransportError> {
        let mut refusals = 0;
        for _ in 0..self.pool.settings.connections + SPARE_TRIES {
            if Instant::now() > start_by {
                return Err(TransportError::Timeout { sent: false });
            }
            let failure = match self.pool.protocol() {
                Some(Protocol::Http1) => {
                    self.over_http1(target, headers, body.clone(), start_by).await?
                }
                Some(Protocol::Http2) | None => {
                    match in_time(start_by, self.pool.stream()).await? {
                        Ok(None) => continue,
                        // It said nothing, so it was given nothing.
                        Err(error) if error.is_hung_up() => Err(Failure::Refused),
                        Err(error) => return Err(error),
                        Ok(Some(stream)) => {
                            let request = target.over_http2(headers, body.clone());
                            self.answered(stream.exchange(request, &self.pool.settings)).await?
                        }
                    }
                }
            };
            match failure {
                Ok(answer) => return Ok(answer),
                Err(Failure::Lost) => return Err(TransportError::Interrupted),
                Err(Failure::NotSent) => {}
                Err(Failure::Refused) => refusals += 1,
            }
            if refusals == REFUSALS {
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
    ) -> Result<Result<Answer, Failure>, TransportError> {
        let _permit = in_time(start_by, self.http1_turns.acquire())
            .await?
            .map_err(|_| TransportError::NotTaken)?;
        let Some(connection) = in_time(start_by, self.pool.keep_alive_connection()).await?? else {
            return Ok(Err(Failure::NotSent));
        };
        let request = target.over_http1(headers, body);
        let exchanged = self
            .answered(self.pool.keep_alive.exchange(connection, request, &self.pool.settings))
            .await?;
        if exchanged.is_err() {
            self.pool.dialer.forget_protocol();
        }
        Ok(exchanged)
    }

    /// Waits for the answer to a request that is on its way.
    async fn answered<T>(&self, exchange: impl Future<Output = T>) -> Result<T, TransportError> {
        timeout(self.request_timeout, exchange)
            .await
            .map_err(|_| TransportError::Timeout { sent: true })
    }
}

/// Waits for what a request needs before it is sent.
async fn in_time<T>(
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

/// Reads a body of at most `limit` bytes; a longer one becomes empty, its status still says enough.
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
