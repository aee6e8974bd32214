//! HTTP/1.1: one request at a time on each connection, and connections are reused.

use super::connect::{ConnectError, Protocol, Stream};
use super::{Failure, Pool, Response, TransportError, TransportSettings, read_bounded};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time after which an idle connection is not reused. Common servers close it after five seconds,
/// and a request sent at that moment may or may not have been read.
const IDLE: Duration = Duration::from_secs(4);

/// Connection between two requests.
pub(super) type Connection = SendRequest<Full<Bytes>>;

/// Idle connections, the most recently used last.
pub(super) struct Connections {
    idle: Mutex<Vec<(Connection, Instant)>>,
}

/// Starts an HTTP/1.1 client on a stream.
pub(super) async fn over(stream: Stream) -> Result<Connection, ConnectError> {
    let (sender, connection) =
        http1::handshake(stream).await.map_err(|error| ConnectError::Handshake(Box::new(error)))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(
                error = &error as &dyn Error,
                "HTTP/1.1 connection to a provider ended"
            );
        }
    });
    Ok(sender)
}

impl Connections {
    pub(super) fn new() -> Self {
        Connections { idle: Mutex::default() }
    }

    /// Stores a connection for the next request.
    pub(super) fn put(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push((connection, Instant::now()));
    }

    fn take(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(connection, since)| !connection.is_closed() && since.elapsed() < IDLE);
        idle.pop().map(|(connection, _)| connection)
    }

    /// Sends a request and reads its response. Stores the connection if it can be reused.
    pub(super) async fn exchange(
        &self,
        mut connection: Connection,
        request: Request<Full<Bytes>>,
        settings: &TransportSettings,
    ) -> Result<Response, Failure> {
        let response = connection.try_send_request(request).await.map_err(|mut error| {
            if error.take_message().is_some() { Failure::NotSent } else { Failure::Lost }
        })?;
        let (head, body) = response.into_parts();
        let body =
            read_bounded(body, settings.max_response_bytes).await.map_err(|_| Failure::Lost)?;
        self.put(connection);
        Ok(Response { status: head.status, headers: head.headers, body })
    }
}

impl Pool {
    /// Returns an idle or a new connection, ready for a request. Returns `None` if the server
    /// closed it, or speaks HTTP/2 by now.
    pub(super) async fn keep_alive_connection(&self) -> Result<Option<Connection>, TransportError> {
        let mut connection = match self.keep_alive.take() {
            Some(connection) => connection,
            None => match self
                .dialer
                .dial()
                .await
                .map_err(|error| TransportError::Connect(Arc::new(error)))?
            {
                (_, Protocol::Http2) => return Ok(None),
                (stream, Protocol::Http1) => {
                    over(stream).await.map_err(|error| TransportError::Connect(Arc::new(error)))?
                }
            },
        };
        Ok(connection.ready().await.is_ok().then_some(connection))
    }
}
