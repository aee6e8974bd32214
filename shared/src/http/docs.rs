//! `GET /openapi.json`, and `GET /docs`: the same as a page that needs nothing from elsewhere.

use axum::{Json, Router, response::Html, routing::get};
use utoipa::openapi::OpenApi;

/// The routes that describe an API.
pub fn openapi_routes(openapi: OpenApi) -> Router {
    Router::new()
        .route("/openapi.json", get(async move || Json(openapi)))
        .route("/docs", get(async || Html(include_str!("docs.html"))))
}
