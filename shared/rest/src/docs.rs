//! `GET /openapi.json`, and `GET /docs`: the same as a page without external resources.

use axum::{
    Router,
    http::header::CONTENT_TYPE,
    response::{Html, IntoResponse},
    routing::get,
};
use bytes::Bytes;
use utoipa::openapi::OpenApi;

use service::http::ApiError;

/// Paths of the routes that describe an API, which are public and not rate-limited.
pub(super) const PATHS: [&str; 2] = ["/openapi.json", "/docs"];

/// Builds the routes that describe an API. The description is serialized once; every response
/// refers to the same bytes.
pub fn openapi_routes(openapi: &OpenApi) -> Router {
    let written = serde_json::to_vec(openapi).map(Bytes::from).map_err(ApiError::unexpected);
    let [json, page] = PATHS;
    Router::new()
        .route(
            json,
            get(async move || {
                written.map(|text| ([(CONTENT_TYPE, "application/json")], text)).into_response()
            }),
        )
        .route(page, get(async || Html(include_str!("docs.html"))))
}
