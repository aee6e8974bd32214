//! The stack of layers around the routes of a REST API.

use std::{
    any::Any,
    hash::RandomState,
    time::{Duration, Instant},
};

use axum::{
    Extension, Json, Router,
    extract::{DefaultBodyLimit, FromRequestParts, MatchedPath, Request},
    http::{HeaderValue, Method, header, request::Parts},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use contract::{Traceparent, new_id};
use service::http::{
    ApiError, ErrorBody, ErrorDetail, REQUEST_ID, Reason,
    guard::{Guard, refuse_other_sites},
};
use service::telemetry::{set_parent, traceparent_of};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;

use super::{
    ApiSettings, Authenticator,
    body_memory::BodyMemory,
    rate_limit::{Admission, Limiter, admit},
    response_limits::ResponseLimits,
};

/// Time limit of a request.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Largest body, unless a route sets another limit.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Context of the current request.
#[derive(Debug, Clone, Copy)]
pub struct RequestContext {
    /// Trace of the request and of its messages.
    pub traceparent: Traceparent,
}

impl<S: Send + Sync> FromRequestParts<S> for RequestContext {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let context = parts.extensions.get::<Self>().copied();
        context.ok_or_else(|| ApiError::unexpected("the routes are not wrapped by rest::api"))
    }
}

/// Wraps routes: request id, trace, metrics, error bodies, panics, time limit, CORS, guard,
/// identity, rate limit and limits of bodies.
pub fn api(routes: Router, authenticator: Authenticator, settings: &ApiSettings) -> Router {
    let routes = routes
        .fallback(async || ApiError::new(Reason::NotFound, "no such path"))
        .method_not_allowed_fallback(async || {
            ApiError::new(Reason::MethodNotAllowed, "the path does not know this method")
        })
        .layer(Extension(authenticator.clone()))
        .layer(Extension(BodyMemory::new(settings.body_memory_mib)))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(admission(authenticator, settings), admit))
        .layer(CatchPanicLayer::custom(panicked));
    let routes = match &settings.hosts {
        Some(hosts) => {
            let guard = Guard::new(hosts.clone(), settings.origins.clone());
            routes.layer(from_fn_with_state(guard, refuse_other_sites))
        }
        None => routes,
    };
    let routes = routes.layer(from_fn(observe));
    match settings.origins.layer() {
        Some(cors) => routes.layer(cors),
        None => routes,
    }
}

fn admission(authenticator: Authenticator, settings: &ApiSettings) -> Admission {
    Admission {
        authenticator,
        limiter: settings.rate_limit.map(Limiter::new),
        responses: ResponseLimits::new(settings.body_memory_mib),
        hasher: RandomState::new(),
        public_routes: settings.public_routes,
    }
}

fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    ApiError::unexpected("a handler panicked").into_response()
}

async fn observe(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request
        .headers()
        .get(REQUEST_ID)
        .and_then(acceptable)
        .unwrap_or_else(|| new_id().simple().to_string());
    let method = method_label(request.method());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unmatched".to_owned(), |path| path.as_str().to_owned());
    let incoming = request
        .headers()
        .get("traceparent")
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok());
    let span =
        tracing::info_span!("request", http.method = method, http.route = route, request.id = id);
    if let Some(parent) = incoming {
        set_parent(&span, parent);
    }
    let traceparent = traceparent_of(&span, incoming.unwrap_or_else(Traceparent::generate));
    request.extensions_mut().insert(RequestContext { traceparent });
    // Handlers, records and other services use the same request id.
    if let Ok(value) = HeaderValue::from_str(&id) {
        request.headers_mut().insert(REQUEST_ID, value);
    }
    let answered = tokio::time::timeout(TIMEOUT, next.run(request).instrument(span.clone())).await;
    let mut response = answered.unwrap_or_else(|_| {
        ApiError::new(Reason::UpstreamUnavailable, "the answer took too long").into_response()
    });
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        response = complete(error, response, &id);
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let status = response.status();
    let elapsed = started.elapsed();
    // Outside of the span, whose fields the line would repeat.
    tracing::debug!(
        parent: None,
        http.method = method,
        http.route = route,
        http.status = status.as_u16(),
        latency_ms = elapsed.as_micros() as f64 / 1000.0,
        request.id = id,
        "request answered"
    );
    metrics::histogram!(
        "reminders_http_request_duration_seconds",
        "method" => method,
        "route" => route,
        "status" => status.as_str().to_owned()
    )
    .record(elapsed.as_secs_f64());
    response
}

/// Label of a method, from a closed set, since clients can invent methods.
fn method_label(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("OTHER")
}

/// Returns the request id of the caller, if it can be logged and returned.
fn acceptable(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    let fits = (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    fits.then(|| text.to_owned())
}

fn complete(error: ApiError, bare: Response, request_id: &str) -> Response {
    let (status, reason) = error.reason.parts();
    let detail = ErrorDetail {
        details: error.details,
        ..ErrorDetail::new(error.message, reason, status.as_u16(), request_id.to_owned())
    };
    let mut response = (status, Json(ErrorBody { error: detail })).into_response();
    for (name, value) in bare.headers() {
        if name != header::CONTENT_LENGTH && name != header::CONTENT_TYPE {
            response.headers_mut().insert(name.clone(), value.clone());
        }
    }
    response
}
