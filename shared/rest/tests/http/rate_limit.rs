//! Rate limits.

use axum::{Router, http::StatusCode, routing::get};
use rest::{ApiSettings, Authenticator, Identity, RateLimit, api};
use serde_json::json;

use crate::test_api::{IDENTITY, call, gateway, request};

fn limited(per_second: u32, burst: u32) -> Router {
    let number = |number| std::num::NonZeroU32::new(number).expect("a number");
    let rate_limit = Some(RateLimit { per_second: number(per_second), burst: number(burst) });
    let routes = Router::new().route("/who", get(async |identity: Identity| identity.email));
    let openapi = utoipa::openapi::OpenApi::default();
    let settings = ApiSettings { rate_limit, ..ApiSettings::default() };
    let authenticator = Authenticator::new(gateway()).expect("an authenticator");
    api(routes.merge(rest::openapi_routes(&openapi)), authenticator, &settings)
}

#[tokio::test]
async fn limits_calls_of_each_user() {
    let app = limited(1, 3);
    let bob = [("X-Authenticated-Userid", "u2"), ("X-Consumer-Username", "u2@example.com")];
    for _ in 0..3 {
        assert_eq!(call(app.clone(), request("GET", "/who", IDENTITY, "")).await.0, StatusCode::OK);
    }
    let (status, sent, answer) = call(app.clone(), request("GET", "/nowhere", IDENTITY, "")).await;
    assert_eq!(
        (status, &answer["error"]["reason"]),
        (StatusCode::TOO_MANY_REQUESTS, &json!("RATE_LIMITED"))
    );
    assert_eq!(sent["retry-after"], "1");
    assert_eq!(call(app, request("GET", "/who", &bob, "")).await.0, StatusCode::OK);
}

#[tokio::test]
async fn limits_calls_without_identity() {
    let app = limited(1, 3);
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(call(app.clone(), request("GET", "/who", &[], "")).await.0.as_u16());
    }
    assert_eq!(statuses, [401, 401, 401, 429, 429]);
    assert_eq!(call(app, request("GET", "/who", IDENTITY, "")).await.0, StatusCode::OK);
}

#[tokio::test]
async fn serves_descriptions_without_limit() {
    let app = limited(1, 1);
    for _ in 0..3 {
        for path in ["/openapi.json", "/docs"] {
            assert_eq!(call(app.clone(), request("GET", path, &[], "")).await.0, StatusCode::OK);
        }
    }
}
