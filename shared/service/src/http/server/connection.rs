//! One connection: protocol detection, requests, and shutdown.

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
    activity::{Activity, Health},
    bodies::{RequestBody, ResponseBody},
    error_responses,
    permits::ConnectionPermit,
    settings::ServerSettings,
    socket::Socket,
};
use crate::http::Peer;

/// Preface of every HTTP/2 connection (RFC 9113, section 3.4), which no HTTP/1.1 request starts
/// with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Most headers of one request.
const MAX_HEADERS: usize = 100;
/// Largest request head.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Size of the read and write buffers of one connection.
const MAX_BUFFER_BYTES: usize = 64 * 1024;
/// Most open requests of one HTTP/2 connection.
const MAX_STREAMS: u32 = 100;
/// Flow-control windows of HTTP/2: for one request, and for all requests of one connection.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
/// Most streams that a client may reset before they are accepted, and that may be reset for errors
/// of the client.
const MAX_RESETS: usize = 20;
const MAX_ERROR_RESETS: usize = 64;
/// Interval of keep-alive pings to an HTTP/2 client, and the time limit of the reply.
const PING_PERIOD: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Time limit for a connection without open requests to end after it was asked to.
const GRACE: Duration = Duration::from_secs(1);

/// Parts that all connections of a listener share.
pub(super) struct Listener {
    pub(super) router: Router,
    pub(super) settings: ServerSettings,
    /// Ends connections after their open requests.
    pub(super) shutdown: CancellationToken,
    /// Ends connections at once.
    pub(super) abort: CancellationToken,
}

/// A connection that was accepted.
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) activity: Arc<Activity>,
    pub(super) permit: ConnectionPermit,
}

/// Serves a connection until it ends.
pub(super) async fn run(listener: Arc<Listener>, accepted: Accepted) {
    let Accepted { mut stream, peer, activity, permit: _permit } = accepted;
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
    // Boxed, so that a silent connection uses less memory than one with requests.
    if is_http2 {
        activity.set_multiplexed();
        Box::pin(serve_http2(listener, socket.with_frames_counted(), peer, activity)).await;
    } else {
        Box::pin(serve_http1(listener, socket, peer, activity)).await;
    }
}

/// Reads until the protocol is known; `None` if the client disconnects before.
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
    // The timeout of hyper covers request heads and idle connections alike; `watch` has one for
    // each.
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD_BYTES)
        .max_buf_size(MAX_BUFFER_BYTES);
    let service = service_fn(service(&listener, peer, &activity));
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
    let service = service_fn(service(&listener, peer, &activity));
    let mut connection = builder.serve_connection(TokioIo::new(socket), service);
    watch(&listener, &activity, &mut connection, |connection| connection.graceful_shutdown()).await;
}

/// Future of a response.
type ResponseFuture =
    Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, Infallible>> + Send>>;

/// Returns the service of a connection, which calls the router of the listener.
fn service(
    listener: &Arc<Listener>,
    peer: SocketAddr,
    activity: &Arc<Activity>,
) -> impl Fn(hyper::Request<Incoming>) -> ResponseFuture + Clone + use<> {
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
            Ok(answer.map(|body| ResponseBody::new(body, open)))
        })
    }
}

/// Reason that a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The connection ended normally or was aborted.
    Ended,
    /// The request head did not arrive in time; an error can still be sent.
    HeadOverdue,
}

/// Drives a connection until it ends or exceeds a limit. If it is idle for too long, must return
/// its permit or the process drains, it is asked to end after its open requests.
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
                // Another client waits for the permit: the connection is asked to end, without
                // waiting.
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
                match activity.check(&listener.settings) {
                    Health::Healthy => {}
                    Health::Stalled => return End::Ended,
                    Health::HeadOverdue => return End::HeadOverdue,
                    Health::Idle => {
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
