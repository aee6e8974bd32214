//! Connections that end, break, fill up or go dead, with servers of different protocols.

use crate::test_phone::{TestPhone, burst, class_and_code, ends_within, fcm, is_sent, push};
use crate::test_servers::{CuttableProxy, Server, ServerProtocol};
use fcm::Outcome;
use http::StatusCode;
use sandbox::{FcmMode, Mode, Options, Sandbox};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const ACCEPTED: &str = r#"{"name":"projects/demo/messages/1"}"#;

async fn tokens() -> Sandbox {
    Sandbox::start(Options::default()).await.unwrap()
}

#[tokio::test]
async fn reuses_connections_of_http1_server() {
    let sandbox = tokens().await;
    let server = Server::start(ServerProtocol::Http1, StatusCode::OK, ACCEPTED).await;
    let fcm = Arc::new(fcm(&sandbox, &server.url, |settings| settings.http1_connections = 8));
    assert!(burst(&fcm, "works-", 100).await.iter().all(is_sent));
    for _ in 0..20 {
        assert!(is_sent(&push(&fcm, "works-1").await));
    }
    assert_eq!(server.requests.load(Ordering::SeqCst), 120);
    let connections = server.connections.load(Ordering::SeqCst);
    assert!(connections <= 10, "{connections} connections");
}

#[tokio::test]
async fn uses_few_connections_to_h2c_server() {
    let sandbox = tokens().await;
    let server =
        Server::start(ServerProtocol::Http2 { max_streams: 100 }, StatusCode::OK, ACCEPTED).await;
    let fcm = Arc::new(fcm(&sandbox, &server.url, |settings| settings.connections = 3));
    assert!(burst(&fcm, "works-", 1_000).await.iter().all(is_sent));
    let connections = server.connections.load(Ordering::SeqCst);
    assert!(connections <= 4, "{connections} connections, the probe included");
}

#[tokio::test]
async fn respects_stream_limit_of_server() {
    let sandbox = tokens().await;
    let server =
        Server::start(ServerProtocol::Http2 { max_streams: 5 }, StatusCode::OK, ACCEPTED).await;
    let fcm = Arc::new(fcm(&sandbox, &server.url, |settings| settings.connections = 2));
    assert!(burst(&fcm, "works-", 300).await.iter().all(is_sent));
    assert_eq!(server.requests.load(Ordering::SeqCst), 300);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loses_and_repeats_nothing_after_goaway() {
    let phone = TestPhone::new().await;
    phone
        .sandbox
        .set_mode(Mode { fcm: FcmMode { latency_ms: 5, ..FcmMode::default() }, ..Mode::default() });
    let fcm = Arc::clone(&phone.fcm);
    let sending = tokio::spawn(async move { burst(&fcm, "works-", 3_000).await });
    for arrived in [300, 900, 1_500, 2_100] {
        phone
            .sandbox
            .wait_for(|message| message.seq >= arrived, Duration::from_secs(30))
            .await
            .unwrap();
        phone.sandbox.go_away();
    }
    let outcomes = sending.await.unwrap();
    // The sandbox does not linger: closing sometimes resets a connection while responses are in
    // transit.
    let unsent: Vec<_> = outcomes.iter().filter(|outcome| !is_sent(outcome)).collect();
    assert!(unsent.len() < 150, "{} not sent, such as {:?}", unsent.len(), unsent[0]);
    for outcome in &unsent {
        let code = "CONNECTION_LOST".into();
        assert_eq!(
            **outcome,
            Outcome::Unavailable { retry_after: None, code, maybe_delivered: true }
        );
    }
    assert!((3_000 - unsent.len()..=3_000).contains(&phone.sandbox.captured().len()));
    assert_eq!(phone.sandbox.stats().duplicates, 0);
}

#[tokio::test]
async fn reconnects_when_server_is_up_again() {
    let phone = TestPhone::new().await;
    let (addr, config) = (phone.sandbox.addr(), phone.sandbox.fcm_project_config());
    assert!(is_sent(&phone.push("works-1").await));
    let TestPhone { sandbox, fcm } = phone;
    sandbox.stop().await;
    let outcome = ends_within(Duration::from_secs(5), push(&fcm, "works-1")).await;
    let code = "CONNECT_FAILED".into();
    assert_eq!(outcome, Outcome::Unavailable { retry_after: None, code, maybe_delivered: false });
    let sandbox = Sandbox::start(Options { addr, ..Options::default() }).await.unwrap();
    assert_eq!(sandbox.fcm_project_config(), config);
    let start = Instant::now();
    while !is_sent(&push(&fcm, "works-1").await) {
        assert!(start.elapsed() < Duration::from_secs(10), "no recovery");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn is_maybe_delivered_when_connection_breaks() {
    let phone = TestPhone::new().await;
    assert!(is_sent(&phone.push("works-1").await));
    phone
        .sandbox
        .set_mode(Mode { fcm: FcmMode { down: true, ..FcmMode::default() }, ..Mode::default() });
    assert_eq!(class_and_code(&phone.push("works-1").await), ("unavailable", "CONNECTION_LOST"));
    phone.sandbox.set_mode(Mode::default());
    assert!(is_sent(&phone.push("works-1").await));
}

#[tokio::test]
async fn drops_dead_connection_after_one_timeout() {
    let sandbox = tokens().await;
    let proxy = CuttableProxy::to(sandbox.addr()).await;
    let fcm = Arc::new(fcm(&sandbox, &proxy.url, |settings| {
        settings.request_timeout = Duration::from_secs(2);
        settings.connections = 1;
    }));
    assert!(is_sent(&push(&fcm, "works-1").await));
    proxy.cut();
    let outcomes = ends_within(Duration::from_secs(6), burst(&fcm, "works-2-", 100)).await;
    assert!(outcomes.iter().all(|outcome| class_and_code(outcome) == ("unavailable", "TIMEOUT")));
    assert!(burst(&fcm, "works-3-", 100).await.iter().all(is_sent));
}

#[tokio::test]
async fn detects_dead_idle_connection_by_ping() {
    let sandbox = tokens().await;
    let proxy = CuttableProxy::to(sandbox.addr()).await;
    let fcm = Arc::new(fcm(&sandbox, &proxy.url, |settings| {
        settings.ping_interval = Duration::from_millis(100);
        settings.ping_timeout = Duration::from_millis(200);
    }));
    assert!(is_sent(&push(&fcm, "works-1").await));
    proxy.cut();
    let outcome = ends_within(Duration::from_secs(5), push(&fcm, "works-2")).await;
    assert!(
        is_sent(&outcome) || class_and_code(&outcome) == ("unavailable", "CONNECTION_LOST"),
        "{outcome:?}"
    );
    assert!(is_sent(&push(&fcm, "works-3").await));
}

#[tokio::test]
async fn abandons_black_hole_in_bounded_time() {
    let sandbox = tokens().await;
    let proxy = CuttableProxy::to(sandbox.addr()).await;
    proxy.black_hole();
    let fcm = Arc::new(fcm(&sandbox, &proxy.url, |settings| {
        settings.connect_timeout = Duration::from_millis(300)
    }));
    let outcomes = ends_within(Duration::from_secs(3), burst(&fcm, "works-", 200)).await;
    for outcome in outcomes {
        let code = "CONNECT_TIMEOUT".into();
        assert_eq!(
            outcome,
            Outcome::Unavailable { retry_after: None, code, maybe_delivered: false }
        );
    }
}

#[tokio::test]
async fn stops_reading_endless_response() {
    let sandbox = tokens().await;
    for speaks in [ServerProtocol::Http1, ServerProtocol::Http2 { max_streams: 100 }] {
        let server =
            Server::start(speaks, StatusCode::INTERNAL_SERVER_ERROR, vec![b'x'; 8 << 20]).await;
        let fcm = fcm(&sandbox, &server.url, |_| {});
        for _ in 0..3 {
            let outcome = ends_within(Duration::from_secs(5), push(&fcm, "works-1")).await;
            assert_eq!(class_and_code(&outcome), ("unavailable", "HTTP_500"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_not_delivered_when_connections_are_full() {
    let phone = TestPhone::with(|settings| {
        settings.connections = 1;
        settings.request_timeout = Duration::from_secs(3);
    })
    .await;
    assert!(is_sent(&phone.push("works-1").await));
    phone.sandbox.set_mode(Mode {
        fcm: FcmMode { latency_ms: 2_000, ..FcmMode::default() },
        ..Mode::default()
    });
    // A hundred fit. The others are sent after a response to those, or not at all, and are never
    // interrupted.
    for outcome in phone.burst("works-2-", 230).await {
        let doubtful = matches!(outcome, Outcome::Unavailable { maybe_delivered: true, .. });
        assert!(!doubtful, "{outcome:?}");
    }
    assert_eq!(phone.sandbox.stats().duplicates, 0);
}
