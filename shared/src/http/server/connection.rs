//! One connection: which protocol it speaks, its requests, and its end.

use std::{
    convert::Infallible, future::Future, net::SocketAddr, pin::Pin, sync::Arc, time::Duration,
};

use axum::{Router, body::Body, extract::Request, response::Response};
use bytes::Bytes;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use super::{
    activity::{Activity, Finding},
    bodies::{AnswerBody, RequestBody},
    error_responses,
    permits::Place,
    settings::ServerSettings,
    socket::Socket,
};
use crate::http::Peer;

/// Preface of every HTTP/2 connection (RFC 9113, section 3.4). No HTTP/1.1 request begins so.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Headers of one request.
const MAX_HEADERS: usize = 100;
/// A head that is larger than this when it is not complete is refused.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Bytes that are read ahead of, or written behind, one connection.
const MAX_BUFFER_BYTES: usize = 64 * 1024;
/// Requests that are open at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 100;
/// Bytes that one HTTP/2 request may send before they are read, and all requests of one connection.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
/// Streams that a client may reset before they were looked at, and that may be reset for its
/// errors.
const MAX_RESETS: usize = 20;
const MAX_ERROR_RESETS: usize = 64;
/// Time between two keep-alive pings of an HTTP/2 client, and the time for its answer.
const PING_PERIOD: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Time for a connection to end that was asked to, when no request of it is open.
const GRACE: Duration = Duration::from_secs(1);

/// Parts that all connections of a listener share.
pub(super) struct Listener {
    pub(super) router: Router,
    pub(super) settings: ServerSettings,
    /// Asks connections to end after their open requests.
    pub(super) shutdown: CancellationToken,
    /// Ends them at once.
    pub(super) abort: CancellationToken,
}

/// A connection that was accepted.
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) activity: Arc<Activity>,
    pub(super) place: Place,
}

/// Serves a connection until it ends.
pub(super) async fn run(listener: Arc<Listener>, accepted: Accepted) {
    let Accepted { mut stream, peer, activity, place: _place } = accepted;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(error = %error, "TCP_NODELAY was not set");
    }
    let first = tokio::select! {
        first = timeout(listener.settings.header_timeout, first_bytes(&mut stream)) => first,
        () = activity.evicted() => return,
        () = listener.shutdown.cancelled() => return,
        () = listener.abort.cancelled() => return,
    };
    let Ok(Ok(Some((read_ahead, is_http2)))) = first else { return };
    let socket =
        Socket::new(stream, read_ahead, Arc::clone(&activity), listener.settings.write_timeout);
    // In boxes: a connection that is silent should not cost what one costs that is served.
    if is_http2 {
        activity.multiplexed();
        Box::pin(serve_http2(listener, socket.with_frames_counted(), peer, activity)).await;
    } else {
        Box::pin(serve_http1(listener, socket, peer, activity)).await;
    }
}

/// Reads until the protocol is known; none when the client hangs up before.
async fn first_bytes(stream: &mut TcpStream) -> std::io::Result<Option<(Bytes, bool)>> {
    let mut bytes = [0; PREFACE.len()];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut bytes[filled..]).await?;
        if read == 0 {
            return Ok(None);
        }
        filled += read;
        let is_http2 = PREFACE.starts_with(&bytes[..filled]);
        if !is_http2 || filled == PREFACE.len() {
            return Ok(Some((Bytes::copy_from_slice(&bytes[..filled]), is_http2)));
        }
    }
}

async fn serve_http1(
    listener: Arc<Listener>,
    socket: Socket,
    peer: SocketAddr,
    activity: Arc<Activity>,
) {
    activity.received();
    let mut builder = http1::Builder::new();
    // Its own timeout would be one for heads and idle connections alike; `watch` tells them apart.
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD_BYTES)
        .max_buf_size(MAX_BUFFER_BYTES);
    let service = service_fn(answering(&listener, peer, &activity));
    let mut connection = builder.serve_connection(TokioIo::new(socket), service);
    let end =
        watch(&listener, &activity, &mut connection, |connection| connection.graceful_shutdown())
            .await;
    if end == End::HeadOverdue {
        let mut socket = connection.into_parts().io.into_inner();
        let refused = async {
            socket.write_all(&error_responses::head_timed_out()).await?;
            socket.shutdown().await
        };
        let _ = timeout(GRACE, refused).await;
    }
}

async fn serve_http2(
    listener: Arc<Listener>,
    socket: Socket,
    peer: SocketAddr,
    activity: Arc<Activity>,
) {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(MAX_ERROR_RESETS)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(16 * 1024)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
        .max_send_buf_size(MAX_BUFFER_BYTES)
        .keep_alive_interval(PING_PERIOD)
        .keep_alive_timeout(PING_TIMEOUT);
    let service = service_fn(answering(&listener, peer, &activity));
    let mut connection = builder.serve_connection(TokioIo::new(socket), service);
    watch(&listener, &activity, &mut connection, |connection| connection.graceful_shutdown()).await;
}

/// An answer that is being made.
type Answering = Pin<Box<dyn Future<Output = Result<Response<AnswerBody>, Infallible>> + Send>>;

/// Answers requests by the router, of which there is one for all connections.
fn answering(
    listener: &Arc<Listener>,
    peer: SocketAddr,
    activity: &Arc<Activity>,
) -> impl Fn(hyper::Request<Incoming>) -> Answering + Clone + use<> {
    let (listener, activity) = (Arc::clone(listener), Arc::clone(activity));
    move |request| {
        let open = activity.open();
        let body_timeout = listener.settings.body_timeout;
        let mut request: Request =
            request.map(|body| Body::new(RequestBody::new(body, body_timeout, open.body())));
        request.extensions_mut().insert(Peer(peer.ip()));
        let answered = listener.router.clone().call(request);
        Box::pin(async move {
            let Ok(answer) = answered.await;
            Ok(answer.map(|body| AnswerBody::new(body, open)))
        })
    }
}

/// End of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// By itself, or because it was told to.
    Ended,
    /// The request head did not arrive in time; the client can still be told.
    HeadOverdue,
}

/// Drives a connection until it ends by itself or breaks a limit. When it is idle for too long, has
/// to give way or the process drains, it is asked to end, and may finish the requests that are
/// open.
async fn watch<C, E>(
    listener: &Listener,
    activity: &Activity,
    connection: &mut C,
    ask_to_end: impl Fn(Pin<&mut C>),
) -> End
where
    C: Future<Output = Result<(), E>> + Unpin,
    E: std::fmt::Display,
{
    let period = listener.settings.check_period();
    let mut tick = std::pin::pin!(sleep(period));
    let mut ending = false;
    let mut ends_at = None;
    loop {
        let mut asked = false;
        tokio::select! {
            ended = &mut *connection => {
                if let Err(error) = ended {
                    tracing::debug!(error = %error, "connection ended early");
                }
                return End::Ended;
            }
            () = listener.abort.cancelled() => return End::Ended,
            () = listener.shutdown.cancelled(), if !ending => asked = true,
            () = activity.evicted() => {
                if activity.is_open() {
                    return End::Ended;
                }
                // Another client waits for the place: this one is told if it can be, and not waited
                // for.
                ask_to_end(Pin::new(connection));
                ending = true;
                let ended = timeout(Duration::ZERO, &mut *connection).await;
                if ended.is_ok() || !activity.is_open() {
                    return End::Ended;
                }
            }
            () = &mut tick => {
                let now = tokio::time::Instant::now();
                tick.as_mut().reset(now + period);
                match activity.look(&listener.settings) {
                    Finding::Healthy => {}
                    Finding::Stalled => return End::Ended,
                    Finding::HeadOverdue => return End::HeadOverdue,
                    Finding::Idle => {
                        asked = !ending;
                        ends_at.get_or_insert(now + GRACE);
                    }
                }
                if ends_at.is_some_and(|at| at <= now) && !activity.is_open() {
                    return End::Ended;
                }
            }
        }
        if asked && !ending {
            ending = true;
            ask_to_end(Pin::new(connection));
        }
    }
}
