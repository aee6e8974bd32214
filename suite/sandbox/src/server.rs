//! One port for HTTP/1.1 and HTTP/2 with prior knowledge (h2c).

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, State as Shared},
    middleware::from_fn,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{Request, StatusCode};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use crate::{admin, fcm, guard, mode::HOLD, oauth, sandbox::State, ses};

/// Largest body: SES accepts e-mails of up to 10 MB, encoded as base64 in a form.
const BODY_LIMIT_BYTES: usize = 20 * 1024 * 1024;
/// Longest time that requests in flight may take at the end.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);
/// Streams that FCM allows on one connection.
const MAX_STREAMS: u32 = 100;

/// Marker of a response that is not sent: the connection breaks instead.
#[derive(Debug, Clone, Copy)]
struct Break;

/// Builds a response in place of which the connection breaks.
pub(crate) fn broken() -> Response {
    let mut response = StatusCode::SERVICE_UNAVAILABLE.into_response();
    response.extensions_mut().insert(Break);
    response
}

/// Keeps the request open without an answer, then breaks the connection; clients have their own
/// timeouts.
pub(crate) async fn unanswered() -> Response {
    tokio::time::sleep(HOLD).await;
    broken()
}

/// Serves until `stop` is cancelled.
pub(crate) async fn serve(listener: TcpListener, state: Arc<State>, stop: CancellationToken) {
    let router = router(Arc::clone(&state));
    let router = match listener.local_addr() {
        Ok(address) if !guard::is_needed(address) => router,
        _ => router.layer(from_fn(guard::refuse_other_sites)),
    };
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                connections.spawn(connection(
                    stream,
                    router.clone(),
                    Arc::clone(&state),
                    stop.clone(),
                ));
            }
            Err(error) => {
                tracing::warn!(%error, "sandbox did not accept a connection");
                // Most likely there is no file descriptor left; an immediate retry would fail too.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    connections.close();
    let _ = tokio::time::timeout(DRAIN_LIMIT, connections.wait()).await;
}

async fn connection(stream: TcpStream, router: Router, state: Arc<State>, stop: CancellationToken) {
    let service = service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        async move {
            let response =
                router.oneshot(request).await.unwrap_or_else(|never: Infallible| match never {});
            match response.extensions().get::<Break>() {
                Some(Break) => Err(io::Error::other("broken on purpose")),
                None => Ok(response),
            }
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http2().max_concurrent_streams(MAX_STREAMS);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let mut go_away = state.go_away.subscribe();
    let stopped = async {
        tokio::select! {
            () = stop.cancelled() => {}
            _ = go_away.changed() => {}
        }
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped => {
            connection.as_mut().graceful_shutdown();
            let drained = async {
                stop.cancelled().await;
                tokio::time::sleep(DRAIN_LIMIT).await;
            };
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = drained => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "sandbox connection ended");
    }
}

fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/", post(ses::query))
        .route("/token", post(oauth::token))
        .route("/v1/projects/{project}/{call}", post(fcm::send))
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(|| async { "ok" }))
        .merge(admin::routes())
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES))
        .with_state(state)
}

async fn not_found(Shared(_): Shared<Arc<State>>, request: Request<Body>) -> Response {
    let message = format!("the sandbox has no {} {}\n", request.method(), request.uri().path());
    (StatusCode::NOT_FOUND, message).into_response()
}
