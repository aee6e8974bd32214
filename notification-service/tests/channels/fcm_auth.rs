//! Access tokens: once for everyone, before they expire, and when they are refused.

use crate::phone::{Phone, is_sent, soon, told};
use sandbox::{FcmMode, Mode, OAuthMode};
use std::time::{Duration, Instant};

fn oauth(oauth: OAuthMode) -> Mode {
    Mode { oauth, ..Mode::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_from_cold_fetches_one_token() {
    let phone = Phone::new().await;
    phone.sandbox.set_mode(oauth(OAuthMode { latency_ms: 100, ..OAuthMode::default() }));
    assert!(phone.burst("works-", 500).await.iter().all(is_sent));
    assert_eq!(phone.sandbox.stats().oauth_refreshes, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_with_a_revoked_token_fetches_one_more() {
    let phone = Phone::new().await;
    assert!(is_sent(&phone.push("works-0").await));
    phone.sandbox.set_mode(oauth(OAuthMode { latency_ms: 100, ..OAuthMode::default() }));
    phone.sandbox.revoke_tokens();
    assert!(phone.burst("works-", 500).await.iter().all(is_sent));
    assert_eq!(phone.sandbox.stats().oauth_refreshes, 2);
    assert_eq!(phone.sandbox.stats().duplicates, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_renewed_before_it_expires() {
    let phone = Phone::new().await;
    phone.sandbox.set_mode(oauth(OAuthMode { expires_in: Some(2), ..OAuthMode::default() }));
    let start = Instant::now();
    while phone.sandbox.stats().oauth_refreshes < 3 {
        assert!(is_sent(&phone.push("works-1").await));
        assert!(start.elapsed() < Duration::from_secs(30), "no renewal");
    }
    assert_eq!(phone.sandbox.stats().unauthenticated, 0);
}

#[tokio::test]
async fn a_refused_key_is_our_fault_and_costs_one_call() {
    let phone = Phone::new().await;
    phone.sandbox.set_mode(oauth(OAuthMode { status: Some(400), latency_ms: 50, ..OAuthMode::default() }));
    for outcome in phone.burst("works-", 50).await {
        assert_eq!(told(&outcome), ("misconfigured", "OAUTH_INVALID_GRANT"));
    }
    assert!(phone.sandbox.captured().is_empty());
}

#[tokio::test]
async fn the_token_endpoints_outage_passes() {
    let phone = Phone::new().await;
    phone.sandbox.set_mode(oauth(OAuthMode { status: Some(503), ..OAuthMode::default() }));
    assert_eq!(told(&phone.push("works-1").await), ("unavailable", "OAUTH_INTERNAL_FAILURE"));
    phone.sandbox.set_mode(oauth(OAuthMode { down: true, ..OAuthMode::default() }));
    let start = Instant::now();
    while told(&phone.push("works-1").await) != ("unavailable", "OAUTH_CONNECTION_LOST") {
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
async fn a_slow_token_endpoint_is_not_waited_for_without_end() {
    let phone = Phone::with(|settings| settings.oauth_timeout = Duration::from_secs(1)).await;
    phone.sandbox.set_mode(oauth(OAuthMode { latency_ms: 60_000, ..OAuthMode::default() }));
    let outcomes = soon(Duration::from_secs(5), phone.burst("works-", 100)).await;
    assert!(outcomes.iter().all(|outcome| told(outcome) == ("unavailable", "OAUTH_TIMEOUT")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_401_stops_the_lane_and_spares_the_token_endpoint() {
    let phone = Phone::new().await;
    phone.sandbox.set_mode(Mode { fcm: FcmMode { status: Some(401), ..FcmMode::default() }, ..Mode::default() });
    for round in 0..3 {
        for outcome in phone.burst(&format!("works-{round}-"), 100).await {
            assert_eq!(told(&outcome), ("misconfigured", "UNAUTHENTICATED"));
        }
    }
    assert_eq!(phone.sandbox.stats().oauth_refreshes, 2);
    phone.sandbox.set_mode(Mode::default());
    assert!(is_sent(&phone.push("works-1").await));
}
