//! A small API behind the real listener, and clients that are plain sockets.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::{Body as AnyBody, Bytes},
    routing::{get, post},
};
use futures::stream;
use rest::{ApiSettings, Auth, Authenticator, Body, api};
use serde::Deserialize;
use service::http::{ServerSettings, serve};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Time limit of a test step.
const STEP_LIMIT: Duration = Duration::from_secs(20);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Note {
    pub(crate) text: String,
}

/// A running server, stopped when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) serving: JoinHandle<std::io::Result<()>>,
    pub(crate) shutdown: CancellationToken,
    /// Cancelled when the endless response is aborted.
    pub(crate) aborted: CancellationToken,
    _stop: DropGuard,
}

/// Limits that expire quickly.
pub(crate) fn short() -> ServerSettings {
    ServerSettings {
        max_connections: 8,
        header_timeout: Duration::from_millis(200),
        body_timeout: Duration::from_millis(200),
        idle_timeout: Duration::from_millis(400),
        write_timeout: Duration::from_millis(200),
    }
}

/// Limits that never expire during a test.
pub(crate) fn long() -> ServerSettings {
    let far = Duration::from_secs(600);
    ServerSettings {
        max_connections: 8,
        header_timeout: far,
        body_timeout: far,
        idle_timeout: far,
        write_timeout: far,
    }
}

/// Responds with an endless body, as fast as the client reads it.
fn endless(dropped: CancellationToken) -> AnyBody {
    let guard = dropped.drop_guard();
    AnyBody::from_stream(stream::unfold(guard, async |guard| {
        Some((Ok::<_, Infallible>(Bytes::from(vec![b'x'; 64 * 1024])), guard))
    }))
}

impl Server {
    pub(crate) async fn start(settings: ServerSettings) -> Self {
        let aborted = CancellationToken::new();
        let dropped = aborted.clone();
        let routes = Router::new()
            .route("/hello", get(async || "hello"))
            .route("/notes", post(async |body: Body<Note>| body.value.text))
            .route("/endless", get(async move || endless(dropped.clone())))
            .route(
                "/quiet",
                get(async || {
                    AnyBody::from_stream(stream::once(async {
                        tokio::time::sleep(Duration::from_millis(900)).await;
                        Ok::<_, Infallible>("at last")
                    }))
                }),
            );
        let authenticator =
            Authenticator::new(Auth::Gateway { secret: None }).expect("an authenticator");
        Self::start_router(api(routes, authenticator, &ApiSettings::default()), settings, aborted)
            .await
    }

    pub(crate) async fn start_router(
        router: Router,
        settings: ServerSettings,
        aborted: CancellationToken,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shutdown = CancellationToken::new();
        let token = shutdown.clone();
        let serving = tokio::spawn(async move { serve(listener, router, &settings, token).await });
        Self { address, serving, aborted, _stop: shutdown.clone().drop_guard(), shutdown }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("a connection")
    }

    /// Opens a connection and sends a text.
    pub(crate) async fn send(&self, text: &str) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.expect("sent");
        stream
    }
}

/// Reads until the server closes the connection.
pub(crate) async fn until_closed(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = timeout(STEP_LIMIT, stream.read_to_end(&mut bytes))
        .await
        .expect("the server closes the connection");
    // A reset closes it as well.
    let _ = read;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads until a text is received.
pub(crate) async fn until_contains(stream: &mut TcpStream, text: &str) -> String {
    let mut bytes = Vec::new();
    while !String::from_utf8_lossy(&bytes).contains(text) {
        let mut part = [0; 4096];
        let read = timeout(STEP_LIMIT, stream.read(&mut part))
            .await
            .expect("an answer")
            .expect("an open connection");
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&part[..read]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Waits for something that must happen.
pub(crate) async fn soon<T>(happens: impl Future<Output = T>) -> T {
    timeout(STEP_LIMIT, happens).await.expect("it happens")
}

/// Returns the error of a response, which must have the given status.
pub(crate) fn error_of(answer: &str, status: u16) -> serde_json::Value {
    let (head, body) =
        answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    let body: serde_json::Value =
        serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {answer}"));
    assert_eq!(body["error"]["status"], status);
    assert!(body["error"]["requestId"].is_string() && head.contains("x-request-id"), "{answer}");
    body["error"].clone()
}

pub(crate) const HELLO: &str = "GET /hello HTTP/1.1\r\nhost: a\r\n\r\n";
