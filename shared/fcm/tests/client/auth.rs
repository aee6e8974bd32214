//! Access tokens: fetched once for all, renewed before they expire, and replaced if refused.

use crate::test_phone::{TestPhone, burst, class_and_code, ends_within, fcm, is_sent};
use crate::test_servers::{Server, ServerProtocol};
use fcm::ServiceAccount;
use sandbox::{FcmMode, Mode, OAuthMode, Options, Sandbox};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

fn oauth(oauth: OAuthMode) -> Mode {
    Mode { oauth, ..Mode::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetches_one_token_for_first_burst() {
    let phone = TestPhone::new().await;
    phone.sandbox.set_mode(oauth(OAuthMode { latency_ms: 100, ..OAuthMode::default() }));
    assert!(phone.burst("works-", 500).await.iter().all(is_sent));
    assert_eq!(phone.sandbox.stats().oauth_refreshes, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetches_one_more_token_when_it_is_revoked() {
    let phone = TestPhone::new().await;
    assert!(is_sent(&phone.push("works-0").await));
    phone.sandbox.set_mode(oauth(OAuthMode { latency_ms: 100, ..OAuthMode::default() }));
    phone.sandbox.revoke_tokens();
    assert!(phone.burst("works-", 500).await.iter().all(is_sent));
    assert_eq!(phone.sandbox.stats().oauth_refreshes, 2);
    assert_eq!(phone.sandbox.stats().duplicates, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renews_token_before_it_expires() {
    let phone = TestPhone::new().await;
    phone.sandbox.set_mode(oauth(OAuthMode { expires_in: Some(2), ..OAuthMode::default() }));
    let start = Instant::now();
    while phone.sandbox.stats().oauth_refreshes < 3 {
        assert!(is_sent(&phone.push("works-1").await));
        assert!(start.elapsed() < Duration::from_secs(30), "no renewal");
    }
    assert_eq!(phone.sandbox.stats().unauthenticated, 0);
}

#[tokio::test]
async fn makes_one_call_when_key_is_refused() {
    let phone = TestPhone::new().await;
    phone.sandbox.set_mode(oauth(OAuthMode {
        status: Some(400),
        latency_ms: 50,
        ..OAuthMode::default()
    }));
    for outcome in phone.burst("works-", 50).await {
        assert_eq!(class_and_code(&outcome), ("misconfigured", "OAUTH_INVALID_GRANT"));
    }
    assert!(phone.sandbox.captured().is_empty());
}

#[tokio::test]
async fn recovers_after_outage_of_token_endpoint() {
    let phone = TestPhone::new().await;
    phone.sandbox.set_mode(oauth(OAuthMode { status: Some(503), ..OAuthMode::default() }));
    assert_eq!(
        class_and_code(&phone.push("works-1").await),
        ("unavailable", "OAUTH_INTERNAL_FAILURE")
    );
    phone.sandbox.set_mode(oauth(OAuthMode { down: true, ..OAuthMode::default() }));
    let start = Instant::now();
    while class_and_code(&phone.push("works-1").await) != ("unavailable", "OAUTH_CONNECTION_LOST") {
        assert!(start.elapsed() < Duration::from_secs(10), "the failure is held for ever");
        tokio::task::yield_now().await;
    }
    phone.sandbox.set_mode(Mode::default());
    while !is_sent(&phone.push("works-1").await) {
        assert!(start.elapsed() < Duration::from_secs(20), "no recovery");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn recovers_after_nonsense_of_token_endpoint() {
    let long = format!(r#"{{"access_token":"{}"}}"#, "x".repeat(20_000));
    let cases = [
        (200, "<html>all is well</html>", "OAUTH_UNREADABLE"),
        (200, "", "OAUTH_UNREADABLE"),
        (200, "{}", "OAUTH_UNREADABLE"),
        (200, r#"{"access_token":"","expires_in":3599}"#, "OAUTH_UNREADABLE"),
        (200, r#"{"access_token":"a\nb","expires_in":3599}"#, "OAUTH_UNREADABLE"),
        (200, &*long, "OAUTH_UNREADABLE"),
        (429, "<html>slow down</html>", "OAUTH_HTTP_429"),
        (502, "<html>sorry</html>", "OAUTH_HTTP_502"),
    ];
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    for (status, body, code) in cases {
        let status = http::StatusCode::from_u16(status).unwrap();
        let server = Server::start(ServerProtocol::Http1, status, body.to_owned()).await;
        let account = sandbox::service_account(&server.url).to_string();
        let fcm = Arc::new(fcm(&sandbox, &sandbox.url(), |settings| {
            settings.account = ServiceAccount::parse(&account).unwrap();
        }));
        for outcome in burst(&fcm, "works-", 50).await {
            assert_eq!(class_and_code(&outcome), ("unavailable", code), "{status} {body:?}");
        }
        assert!(server.requests.load(Ordering::SeqCst) <= 2, "everybody shares one failure");
    }
    assert!(sandbox.captured().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetches_one_token_for_refused_messages() {
    let phone = TestPhone::new().await;
    for round in 0..20 {
        assert!(is_sent(&phone.push("works-1").await));
        let refused = phone.push(&format!("unauthenticated-{round}")).await;
        assert_eq!(class_and_code(&refused), ("misconfigured", "UNAUTHENTICATED"));
    }
    let fetched = phone.sandbox.stats().oauth_refreshes;
    assert!(fetched < 20, "{fetched} tokens for 20 refused messages");
}

#[tokio::test]
async fn bounds_wait_for_slow_token_endpoint() {
    let phone = TestPhone::with(|settings| settings.oauth_timeout = Duration::from_secs(1)).await;
    phone.sandbox.set_mode(oauth(OAuthMode { latency_ms: 60_000, ..OAuthMode::default() }));
    let outcomes = ends_within(Duration::from_secs(5), phone.burst("works-", 100)).await;
    assert!(
        outcomes.iter().all(|outcome| class_and_code(outcome) == ("unavailable", "OAUTH_TIMEOUT"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spares_token_endpoint_when_all_answers_are_401() {
    let phone = TestPhone::new().await;
    phone.sandbox.set_mode(Mode {
        fcm: FcmMode { status: Some(401), ..FcmMode::default() },
        ..Mode::default()
    });
    for round in 0..3 {
        for outcome in phone.burst(&format!("works-{round}-"), 100).await {
            assert_eq!(class_and_code(&outcome), ("misconfigured", "UNAUTHENTICATED"));
        }
    }
    assert_eq!(phone.sandbox.stats().oauth_refreshes, 2);
    phone.sandbox.set_mode(Mode::default());
    assert!(is_sent(&phone.push("works-1").await));
}
