//! Servers other than the sandbox: HTTP/1.1 only, h2c only, and a proxy whose connections can go
//! dead.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Protocol of a server.
#[derive(Clone, Copy)]
pub(crate) enum ServerProtocol {
    Http1,
    Http2 { max_streams: u32 },
}

/// Server with the same response to every POST.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) requests: Arc<AtomicUsize>,
    _stop: DropGuard,
}

impl Server {
    pub(crate) async fn start(
        speaks: ServerProtocol,
        status: StatusCode,
        body: impl Into<Bytes>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (connections, requests) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let stop = CancellationToken::new();
        let answer = CannedResponse { status, body: body.into(), requests: Arc::clone(&requests) };
        let (counter, stopped) = (Arc::clone(&connections), stop.clone());
        tokio::spawn(async move {
            while let Some(Ok((stream, _))) = stopped.run_until_cancelled(listener.accept()).await {
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(stopped.clone().run_until_cancelled_owned(serve(
                    stream,
                    speaks,
                    answer.clone(),
                )));
            }
        });
        Server { url, connections, requests, _stop: stop.drop_guard() }
    }
}

#[derive(Clone)]
struct CannedResponse {
    status: StatusCode,
    body: Bytes,
    requests: Arc<AtomicUsize>,
}

async fn serve(stream: TcpStream, speaks: ServerProtocol, answer: CannedResponse) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer.clone();
        async move {
            let read = request.into_body().collect().await;
            answer.requests.fetch_add(usize::from(read.is_ok()), Ordering::SeqCst);
            let mut response = Response::new(Full::new(answer.body));
            *response.status_mut() = answer.status;
            Ok::<_, Infallible>(response)
        }
    });
    let stream = TokioIo::new(stream);
    // A client that closes the connection is not an error of the server.
    let _ = match speaks {
        ServerProtocol::Http1 => {
            hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await
        }
        ServerProtocol::Http2 { max_streams } => {
            let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            builder.max_concurrent_streams(max_streams).serve_connection(stream, service).await
        }
    };
}

/// Proxy to a server whose connections can go dead without being closed.
pub(crate) struct CuttableProxy {
    pub(crate) url: String,
    dead_below: Arc<AtomicUsize>,
    accepted: Arc<AtomicUsize>,
    all_dead: Arc<AtomicBool>,
    _stop: DropGuard,
}

impl CuttableProxy {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (dead_below, accepted) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let all_dead = Arc::new(AtomicBool::new(false));
        let stop = CancellationToken::new();
        let (dead, count, mute, stopped) =
            (dead_below.clone(), accepted.clone(), all_dead.clone(), stop.clone());
        tokio::spawn(async move {
            while let Some(Ok((near, _))) = stopped.run_until_cancelled(listener.accept()).await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let (dead, mute) = (dead.clone(), mute.clone());
                let is_dead =
                    move || mute.load(Ordering::SeqCst) || number < dead.load(Ordering::SeqCst);
                tokio::spawn(
                    stopped
                        .clone()
                        .run_until_cancelled_owned(copy_until_dead(near, server, is_dead)),
                );
            }
        });
        CuttableProxy { url, dead_below, accepted, all_dead, _stop: stop.drop_guard() }
    }

    /// Makes all current connections dead. New ones work.
    pub(crate) fn cut(&self) {
        self.dead_below.store(self.accepted.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Makes all current and new connections dead.
    pub(crate) fn black_hole(&self) {
        self.all_dead.store(true, Ordering::SeqCst);
    }
}

async fn copy_until_dead(near: TcpStream, server: SocketAddr, is_dead: impl Fn() -> bool) {
    let Ok(far) = TcpStream::connect(server).await else { return };
    let (mut to_far, mut to_near) = ([0u8; 16_384], [0u8; 16_384]);
    loop {
        let (from, to, buffer) = tokio::select! {
            ready = near.readable() => { if ready.is_err() { return } (&near, &far, &mut to_far) }
            ready = far.readable() => { if ready.is_err() { return } (&far, &near, &mut to_near) }
        };
        let read = match from.try_read(buffer) {
            Ok(0) => return,
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(_) => return,
        };
        if !is_dead() && !write(to, &buffer[..read]).await {
            return;
        }
    }
}

async fn write(to: &TcpStream, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        if to.writable().await.is_err() {
            return false;
        }
        match to.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
    }
    true
}
