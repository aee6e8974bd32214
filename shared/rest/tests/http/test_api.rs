//! A small router behind the real layers, and calls to it.

use axum::{
    Json, Router,
    body::{Body as RawBody, to_bytes},
    http::{Request, StatusCode},
    routing::{get, post},
};
use rest::{ApiSettings, Auth, Authenticator, Body, Identity, Params, api};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use service::http::ApiError;
use tower::ServiceExt;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Note {
    text: String,
    #[serde(default)]
    tags: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    limit: u16,
}

pub(crate) fn app(auth: Auth) -> Router {
    let routes = Router::new()
        .route("/who", get(async |identity: Identity| identity.email))
        .route("/verified", get(async |identity: Identity| identity.email_verified.to_string()))
        .route(
            "/notes",
            post(async |body: Body<Note>| Json(body.value))
                .get(async |page: Params<Page>| page.0.limit.to_string()),
        )
        .route("/lost", get(async || ApiError::from(sqlx::Error::PoolTimedOut)))
        .route("/broken", get(async || ApiError::unexpected("the password is hunter2")))
        .route("/panic", get(async || -> String { panic!("inside") }));
    let settings = ApiSettings {
        origins: "https://app.example.com".parse().expect("an origin"),
        ..ApiSettings::default()
    };
    api(routes, Authenticator::new(auth).expect("an authenticator"), &settings)
}

pub(crate) fn gateway() -> Auth {
    Auth::Gateway { secret: None }
}

pub(crate) async fn call(
    app: Router,
    request: Request<RawBody>,
) -> (StatusCode, axum::http::HeaderMap, Value) {
    let response = app.oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.expect("a body");
    let value =
        serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)));
    (parts.status, parts.headers, value)
}

pub(crate) fn request(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Request<RawBody> {
    let builder = Request::builder().method(method).uri(path);
    let builder =
        headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
    builder.body(RawBody::from(body.to_owned())).expect("a request")
}

pub(crate) const IDENTITY: &[(&str, &str)] =
    &[("X-Authenticated-Userid", "u1"), ("X-Consumer-Username", "u1@example.com")];
