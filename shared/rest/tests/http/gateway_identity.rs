//! Identity from headers of the gateway.

use axum::http::{HeaderName, HeaderValue, StatusCode};
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
    for user in [long.as_str(), "", " ", "\u{a0}", "\u{200b}", "u\u{ffff}"] {
        let headers = [("X-Authenticated-Userid", user), whole[1], whole[2]];
        let status = call(app(auth()), request("GET", "/who", &headers, "")).await.0;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{user}");
    }
}

/// Case I1.
#[tokio::test]
async fn takes_identity_as_utf8() {
    for email in
        ["zoe@example.com", "zoë@example.com", "ada@bücher.example", "ze\u{301}@example.com"]
    {
        let headers = [("X-Authenticated-Userid", "zoë"), ("X-Consumer-Username", email)];
        let (status, _, body) = call(app(gateway()), request("GET", "/who", &headers, "")).await;
        assert_eq!((status, body), (StatusCode::OK, json!(email)));
    }
}

#[tokio::test]
async fn names_fault_of_identity_header() {
    let valid = HeaderValue::from_static("ada");
    let latin = HeaderValue::from_bytes(b"zo\xeb").expect("a value");
    let long = HeaderValue::from_str(&"ü".repeat(128)).expect("a value");
    for (value, problem) in [
        (None, "is missing"),
        (Some(latin), "is not UTF-8: encode the value as UTF-8"),
        (Some(long), "has more than 255 bytes"),
        (Some(HeaderValue::from_static(" ")), "is empty or has no visible character"),
    ] {
        for (name, other) in [
            ("X-Authenticated-Userid", "X-Consumer-Username"),
            ("X-Consumer-Username", "X-Authenticated-Userid"),
        ] {
            let mut request = request("GET", "/who", &[], "");
            request.headers_mut().insert(header(other), valid.clone());
            if let Some(value) = &value {
                request.headers_mut().insert(header(name), value.clone());
            }
            let (status, _, body) = call(app(gateway()), request).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED);
            assert_eq!(body["error"]["message"], format!("{name} {problem}"));
        }
    }
}

fn header(name: &str) -> HeaderName {
    name.parse().expect("a name")
}
