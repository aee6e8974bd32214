//! Servers of other makes than the sandbox: HTTP/1.1 alone, h2c alone, and a wire that can be cut.

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

/// What a server speaks.
#[derive(Clone, Copy)]
pub(crate) enum Speaks {
    Http1,
    Http2 { max_streams: u32 },
}

/// Answers every POST alike.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) requests: Arc<AtomicUsize>,
    _stop: DropGuard,
}

impl Server {
    pub(crate) async fn start(speaks: Speaks, status: StatusCode, body: impl Into<Bytes>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (connections, requests) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let stop = CancellationToken::new();
        let answer = Answer { status, body: body.into(), requests: Arc::clone(&requests) };
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
struct Answer {
    status: StatusCode,
    body: Bytes,
    requests: Arc<AtomicUsize>,
}

async fn serve(stream: TcpStream, speaks: Speaks, answer: Answer) {
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
    // A client that hangs up is none of the server's business.
    let _ = match speaks {
        Speaks::Http1 => {
            hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await
        }
        Speaks::Http2 { max_streams } => {
            let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            builder.max_concurrent_streams(max_streams).serve_connection(stream, service).await
        }
    };
}

/// A wire to a server whose present connections can go dead without a word.
pub(crate) struct Wire {
    pub(crate) url: String,
    dead_below: Arc<AtomicUsize>,
    accepted: Arc<AtomicUsize>,
    all_dead: Arc<AtomicBool>,
    _stop: DropGuard,
}

impl Wire {
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
                    stopped.clone().run_until_cancelled_owned(carry(near, server, is_dead)),
                );
            }
        });
        Wire { url, dead_below, accepted, all_dead, _stop: stop.drop_guard() }
    }

    /// The connections there are swallow everything from now on; new ones work.
    pub(crate) fn cut(&self) {
        self.dead_below.store(self.accepted.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// New ones swallow everything too.
    pub(crate) fn cut_for_good(&self) {
        self.all_dead.store(true, Ordering::SeqCst);
    }
}

async fn carry(near: TcpStream, server: SocketAddr, is_dead: impl Fn() -> bool) {
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
