//! The token endpoint.

use std::time::Duration;

use sandbox::{Mode, OAuthMode};
use serde_json::json;

use crate::client::Sender;

#[tokio::test]
async fn issues_token_for_signed_assertion() {
    let sender = Sender::new().await;

    let answer = sender.ask_token(&sender.assertion(json!({}))).await;

    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["token_type"], "Bearer");
    assert_eq!(answer.json()["expires_in"], 3_599);
    assert_eq!(sender.sandbox.stats().oauth_refreshes, 2);
}

#[tokio::test]
async fn refuses_wrong_assertion() {
    let sender = Sender::new().await;
    let cases = [
        (json!({"iss": "somebody@else.example"}), "invalid_grant"),
        (json!({"aud": "https://example.com/"}), "invalid_grant"),
        (json!({"exp": 1_000}), "invalid_grant"),
        (json!({"iat": 1_000}), "invalid_grant"),
        (json!({"scope": "email"}), "invalid_scope"),
    ];
    for (changes, error) in cases {
        let answer = sender.ask_token(&sender.assertion(changes.clone())).await;

        assert_eq!(
            (answer.status.as_u16(), answer.json()["error"].as_str()),
            (400, Some(error)),
            "{changes}"
        );
    }
    let mut forged = sender.assertion(json!({}));
    forged.truncate(forged.len() - 8);
    assert_eq!(sender.ask_token(&forged).await.json()["error"], "invalid_grant");
}

#[tokio::test]
async fn refuses_expired_token() {
    let mut sender = Sender::new().await;
    let oauth = OAuthMode { expires_in: Some(0), ..OAuthMode::default() };
    sender.sandbox.set_mode(Mode { oauth, ..Mode::default() });
    let answer = sender.ask_token(&sender.assertion(json!({}))).await;
    sender.access_token = answer.json()["access_token"].as_str().unwrap().to_owned();

    support::wait_until(Duration::from_secs(5), async || {
        sender.push_to("device-1").await.status == 401
    })
    .await;
}

#[tokio::test]
async fn refuses_revoked_tokens() {
    let sender = Sender::new().await;
    assert_eq!(sender.push_to("device-1").await.status, 200);

    sender.sandbox.revoke_tokens();

    assert_eq!(sender.push_to("device-1").await.status, 401);
}

#[tokio::test]
async fn refuses_all_requests_in_error_mode() {
    let sender = Sender::new().await;
    for (status, error) in
        [(400, "invalid_grant"), (401, "invalid_client"), (503, "internal_failure")]
    {
        let oauth = OAuthMode { status: Some(status), ..OAuthMode::default() };
        sender.sandbox.set_mode(Mode { oauth, ..Mode::default() });

        let answer = sender.ask_token(&sender.assertion(json!({}))).await;

        assert_eq!(
            (answer.status.as_u16(), answer.json()["error"].as_str()),
            (status, Some(error))
        );
    }
}
