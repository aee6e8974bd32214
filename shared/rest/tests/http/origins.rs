//! Origins of web clients, and host names.

use axum::{Router, http::StatusCode, routing::get};
use rest::{ApiSettings, Authenticator, Identity, api};
use serde_json::json;

use crate::test_api::{IDENTITY, app, call, gateway, request};

#[tokio::test]
async fn allows_any_origin_if_configured() {
    let settings = ApiSettings { origins: "*".parse().expect("any"), ..ApiSettings::default() };
    let app =
        api(Router::new(), Authenticator::new(gateway()).expect("an authenticator"), &settings);
    let (_, sent, _) =
        call(app, request("GET", "/nowhere", &[("Origin", "https://any.example.com")], "")).await;
    assert_eq!(sent["access-control-allow-origin"], "*");
    assert!(!sent.contains_key("access-control-allow-credentials"));
}

#[tokio::test]
async fn refuses_other_sites_if_hosts_are_configured() {
    let settings =
        ApiSettings { hosts: Some("127.0.0.1".parse().expect("a host")), ..ApiSettings::default() };
    let app = || {
        let routes = Router::new().route("/who", get(async |identity: Identity| identity.email));
        api(routes, Authenticator::new(gateway()).expect("an authenticator"), &settings)
    };
    let with = |headers: &[(&'static str, &'static str)]| [IDENTITY, headers].concat();
    let own = with(&[("Host", "127.0.0.1:3000")]);
    assert_eq!(call(app(), request("GET", "/who", &own, "")).await.0, StatusCode::OK);
    for headers in [
        with(&[("Host", "rebound.example.org:3000")]),
        with(&[("Host", "127.0.0.1:3000"), ("Origin", "https://example.org")]),
    ] {
        let (status, _, answer) = call(app(), request("GET", "/who", &headers, "")).await;
        assert_eq!(
            (status, &answer["error"]["reason"]),
            (StatusCode::FORBIDDEN, &json!("PERMISSION_DENIED"))
        );
    }
}

#[tokio::test]
async fn allows_configured_origins_only() {
    let preflight = |origin| {
        request(
            "OPTIONS",
            "/notes",
            &[("Origin", origin), ("Access-Control-Request-Method", "POST")],
            "",
        )
    };
    let (_, sent, _) = call(app(gateway()), preflight("https://app.example.com")).await;
    assert_eq!(sent["access-control-allow-origin"], "https://app.example.com");
    let (_, sent, _) = call(app(gateway()), preflight("https://evil.example.com")).await;
    assert!(!sent.contains_key("access-control-allow-origin"));
}
