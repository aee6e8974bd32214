//! Load generator: keep-alive HTTP/1.1 connections, each of which sends its next request when the
//! previous one is answered.

use std::{
    net::SocketAddr,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

use crate::stats::Spread;

/// Longest time until an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Builds the request with a number.
pub(crate) type Make = dyn Fn(u32) -> Request<Full<Bytes>> + Send + Sync;

/// One keep-alive connection.
pub(crate) struct Connection {
    addr: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    pub(crate) async fn open(addr: SocketAddr) -> anyhow::Result<Self> {
        let stream = timeout(ANSWER_LIMIT, TcpStream::connect(addr))
            .await
            .context("no connection in time")?;
        let stream = stream.with_context(|| format!("connect to {addr}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { addr, sender })
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn call(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let answering = async {
            self.sender.ready().await?;
            let (parts, mut body) = self.sender.send_request(request).await?.into_parts();
            // Most answers come in one piece, which is not copied.
            let first = body
                .frame()
                .await
                .transpose()?
                .and_then(|frame| frame.into_data().ok())
                .unwrap_or_default();
            let rest = body.collect().await?.to_bytes();
            let bytes = if rest.is_empty() { first } else { [first, rest].concat().into() };
            Ok::<_, hyper::Error>((parts.status, bytes))
        };
        let answered = timeout(ANSWER_LIMIT, answering).await;
        let answered = answered
            .with_context(|| format!("no answer from {} within {ANSWER_LIMIT:?}", self.addr))?;
        answered.with_context(|| format!("call {}", self.addr))
    }
}

/// Builds a request as a client of the suite sends it.
pub(crate) fn request(
    method: Method,
    addr: SocketAddr,
    path: &str,
    user: &str,
    body: impl Into<Bytes>,
) -> Request<Full<Bytes>> {
    let body: Bytes = body.into();
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    // An origin-form target and the Host header, as HTTP/1.1 requires.
    *request.uri_mut() = path.parse().unwrap_or_default();
    let headers = request.headers_mut();
    let text = |text: String| {
        http::HeaderValue::try_from(text).unwrap_or(http::HeaderValue::from_static(""))
    };
    headers.insert(header::HOST, text(addr.to_string()));
    headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    headers.insert("x-authenticated-userid", text(user.to_owned()));
    headers.insert("x-consumer-username", text(format!("{user}@example.com")));
    let secret = http::HeaderValue::from_static(crate::test_suite::GATEWAY_SECRET);
    headers.insert("x-gateway-secret", secret);
    request
}

/// End of a load.
#[derive(Debug, Clone)]
pub(crate) enum Until {
    /// After each number of the range was sent once.
    Sent(Range<u32>),
    /// After this time.
    Elapsed(Duration),
}

/// Result of a load.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) requests: usize,
    pub(crate) time: Duration,
    /// Milliseconds from sending to the complete answer.
    pub(crate) latency_ms: Spread,
}

/// Sends requests over `connections`, and calls `progress` after each.
///
/// # Errors
/// If an answer has no success status, or does not come in time.
pub(crate) async fn run(
    addr: SocketAddr,
    connections: usize,
    until: Until,
    make: Arc<Make>,
    progress: impl Fn(u64) + Clone + Send + 'static,
) -> anyhow::Result<Outcome> {
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        open.push(Connection::open(addr).await?);
    }
    let begun = Instant::now();
    let (first, last, deadline) = match until {
        Until::Sent(numbers) => (numbers.start, numbers.end, None),
        Until::Elapsed(time) => (0, u32::MAX, Some(begun + time)),
    };
    let next = Arc::new(AtomicU32::new(first));
    let mut workers = JoinSet::new();
    for connection in open {
        let worker =
            Worker { connection, next: Arc::clone(&next), last, deadline, make: Arc::clone(&make) };
        workers.spawn(worker.work(progress.clone()));
    }
    let mut latencies = Vec::new();
    while let Some(worked) = workers.join_next().await {
        latencies.append(&mut worked.context("a connection's task ended")??);
    }
    let time = begun.elapsed();
    let requests = latencies.len();
    let latency_ms = Spread::of(latencies).context("no request was sent")?;
    Ok(Outcome { requests, time, latency_ms })
}

struct Worker {
    connection: Connection,
    next: Arc<AtomicU32>,
    last: u32,
    deadline: Option<Instant>,
    make: Arc<Make>,
}

impl Worker {
    async fn work(mut self, progress: impl Fn(u64)) -> anyhow::Result<Vec<f64>> {
        let mut latencies = Vec::with_capacity(4_096);
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let sent = Instant::now();
            if number >= self.last || self.deadline.is_some_and(|deadline| sent >= deadline) {
                return Ok(latencies);
            }
            let (status, body) = self.connection.call((self.make)(number)).await?;
            latencies.push(sent.elapsed().as_secs_f64() * 1e3);
            if !status.is_success() {
                bail!("request {number} was answered {status}: {}", String::from_utf8_lossy(&body));
            }
            progress(1);
        }
    }
}

/// Makes one call that must succeed.
///
/// # Errors
/// If it does not succeed.
pub(crate) async fn call(addr: SocketAddr, request: Request<Full<Bytes>>) -> anyhow::Result<Bytes> {
    let call = format!("{} {}", request.method(), request.uri());
    let (status, body) = Connection::open(addr).await?.call(request).await?;
    ensure!(
        status.is_success(),
        "{call} was answered {status}: {}",
        String::from_utf8_lossy(&body)
    );
    Ok(body)
}
