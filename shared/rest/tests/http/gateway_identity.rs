//! Identity from headers of the gateway.

use axum::http::StatusCode;
use env_config::LiveSecret;
use rest::Auth;
use serde_json::json;

use crate::test_api::{IDENTITY, app, call, gateway, request};

#[tokio::test]
async fn identifies_caller_by_gateway_headers() {
    let (status, _, body) = call(app(gateway()), request("GET", "/who", IDENTITY, "")).await;
    assert_eq!((status, body), (StatusCode::OK, json!("u1@example.com")));
}

#[tokio::test]
async fn refuses_request_without_identity() {
    for headers in
        [&[][..], &IDENTITY[..1], &IDENTITY[1..], &[IDENTITY[0], IDENTITY[0], IDENTITY[1]]]
    {
        let (status, sent, body) = call(app(gateway()), request("GET", "/who", headers, "")).await;
        assert_eq!(
            (status, &body["error"]["reason"]),
            (StatusCode::UNAUTHORIZED, &json!("UNAUTHENTICATED"))
        );
        assert_eq!(body["error"]["status"], 401);
        assert_eq!(body["error"]["requestId"], sent["x-request-id"].to_str().expect("text"));
    }
}

#[tokio::test]
async fn refuses_anonymous_consumer() {
    let headers = [IDENTITY, &[("X-Anonymous-Consumer", "true")]].concat();
    assert_eq!(
        call(app(gateway()), request("GET", "/who", &headers, "")).await.0,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn requires_gateway_secret_if_set() {
    let auth = || Auth::Gateway { secret: Some(LiveSecret::fixed("s3cret".into())) };
    let with = |secret| [IDENTITY, &[("X-Gateway-Secret", secret)]].concat();
    assert_eq!(
        call(app(auth()), request("GET", "/who", IDENTITY, "")).await.0,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        call(app(auth()), request("GET", "/who", &with("wrong"), "")).await.0,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        call(app(auth()), request("GET", "/who", &with("s3cret"), "")).await.0,
        StatusCode::OK
    );
}

#[tokio::test]
async fn refuses_repeated_gateway_headers() {
    let auth = || Auth::Gateway { secret: Some(LiveSecret::fixed("s3cret".into())) };
    let whole = [IDENTITY, &[("X-Gateway-Secret", "s3cret")]].concat();
    assert_eq!(call(app(auth()), request("GET", "/who", &whole, "")).await.0, StatusCode::OK);
    for twice in [
        ("X-Authenticated-Userid", "u2"),
        ("X-Consumer-Username", "u2@example.com"),
        ("X-Gateway-Secret", "s3cret"),
        ("X-Anonymous-Consumer", "true"),
    ] {
        let headers = [&whole[..], &[("X-Anonymous-Consumer", "false"), twice]].concat();
        let status = call(app(auth()), request("GET", "/who", &headers, "")).await.0;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{twice:?}");
    }
    let long = "u".repeat(256);
    for user in [long.as_str(), "", " ", "u\u{e9}"] {
        let headers = [("X-Authenticated-Userid", user), whole[1], whole[2]];
        let status = call(app(auth()), request("GET", "/who", &headers, "")).await.0;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{user}");
    }
}
