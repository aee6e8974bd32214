//! Limit of open connections.

use std::{
    io::{Read, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Router, extract::State, routing::get};
use service::http::{ServerSettings, admin::Readiness, serve_admin};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::server::{HELLO, Server, long, soon, until_closed, until_contains};

#[tokio::test]
async fn closes_longest_idle_connection_at_limit() {
    let server = Server::start(ServerSettings { max_connections: 3, ..long() }).await;
    let mut silent = server.connect().await;
    let mut idle = server.send(HELLO).await;
    until_contains(&mut idle, "hello").await;
    let mut others = Vec::new();
    for _ in 0..6 {
        let mut stream = server.send(HELLO).await;
        assert!(until_contains(&mut stream, "hello").await.contains("200 OK"));
        others.push(stream);
    }
    assert_eq!(until_closed(&mut silent).await, "");
    assert_eq!(until_closed(&mut idle).await, "");
}

#[tokio::test]
async fn replaces_incomplete_connections_at_once() {
    const LIMIT: usize = 64;
    let server = Server::start(ServerSettings { max_connections: LIMIT, ..long() }).await;
    let mut held = Vec::new();
    for begun in ["GET /hello HTTP/1.1\r\nhost: a\r\nx-a: ", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        for _ in 0..LIMIT {
            held.push(server.send(begun).await);
        }
        // Sequential, so that the test would time out if each connection had to wait.
        let answered = async {
            for _ in 0..LIMIT {
                let mut stream = server.send(HELLO).await;
                assert!(until_contains(&mut stream, "hello").await.contains("200 OK"));
                held.push(stream);
            }
        };
        soon(answered).await;
    }
}

#[tokio::test]
async fn waits_at_limit_while_all_have_open_requests() {
    let server = Server::start(ServerSettings { max_connections: 2, ..long() }).await;
    let quiet = "GET /quiet HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut busy = [server.send(quiet).await, server.send(quiet).await];
    for stream in &mut busy {
        until_contains(stream, "\r\n\r\n").await;
    }
    let mut waiting = server.send(HELLO).await;
    for stream in &mut busy {
        until_contains(stream, "at last").await;
    }
    assert!(until_contains(&mut waiting, "hello").await.contains("200 OK"));
}

/// State that counts its copies.
struct Counted(Arc<AtomicUsize>);

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

#[tokio::test]
async fn shares_one_router_among_connections() {
    let copies = Arc::new(AtomicUsize::new(0));
    let router = Router::new()
        .route("/hello", get(async |_: State<Counted>| "hello"))
        .with_state(Counted(Arc::clone(&copies)));
    let server = Server::start_router(
        router,
        ServerSettings { max_connections: 64, ..long() },
        CancellationToken::new(),
    )
    .await;
    let mut stream = server.send(HELLO).await;
    until_contains(&mut stream, "hello").await;
    let before = copies.load(Ordering::Relaxed);
    let mut others = Vec::new();
    for _ in 0..32 {
        others.push(server.send("GET /").await);
    }
    let mut last = server.send(HELLO).await;
    until_contains(&mut last, "hello").await;
    let per_request = before;
    assert!(
        copies.load(Ordering::Relaxed) - before <= per_request,
        "connections copied the router"
    );
}

#[tokio::test]
async fn answers_health_while_runtime_is_blocked() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(serve_admin(listener, Readiness::default(), shutdown.clone()));
    tokio::task::yield_now().await;
    // This thread runs the runtime, so nothing else of it runs while it waits here.
    let asking = std::thread::spawn(move || {
        let mut stream = std::net::TcpStream::connect(address)?;
        stream.set_read_timeout(Some(std::time::Duration::from_secs(20)))?;
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        std::io::Result::Ok(answer)
    });
    let answer = asking.join().expect("no panic").expect("an answer");
    assert!(answer.contains("200 OK") && answer.contains("ok"), "{answer}");
    shutdown.cancel();
    soon(serving).await.expect("no panic").expect("it ended");
}
