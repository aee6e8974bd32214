//! On a loopback address, nobody but programs of this machine is answered: a web page reaches such an address too, under
//! its own origin or, by DNS rebinding, under a name of its own.

use std::net::SocketAddr;

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};

/// Returns whether a listener has to be guarded.
pub(crate) fn is_needed(address: SocketAddr) -> bool {
    address.ip().is_loopback()
}

/// Middleware that refuses what another site's page may have caused.
pub(crate) async fn refuse_other_sites(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let host = request.uri().authority().map(|authority| authority.as_str());
    let host = host.or_else(|| headers.get(header::HOST).and_then(|value| value.to_str().ok())).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let is_local = ["127.0.0.1", "localhost", "[::1]"].contains(&name);
    let is_of_a_page = headers
        .get(header::ORIGIN)
        .is_some_and(|origin| origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://")) != Some(host));
    if is_local && !is_of_a_page {
        return next.run(request).await;
    }
    (StatusCode::FORBIDDEN, "the sandbox answers programs of this machine only\n").into_response()
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, middleware::from_fn, routing::get};
    use tower::ServiceExt;

    use super::*;

    async fn status(headers: &[(&str, &str)]) -> StatusCode {
        let app = Router::new().route("/", get(async || "ok")).layer(from_fn(refuse_other_sites));
        let request = headers.iter().fold(Request::builder(), |request, (name, value)| request.header(*name, *value));
        app.oneshot(request.body(Body::empty()).expect("a request")).await.expect("infallible").status()
    }

    #[tokio::test]
    async fn answers_programs_of_this_machine_only() {
        assert_eq!(status(&[("host", "127.0.0.1:4000")]).await, StatusCode::OK);
        assert_eq!(status(&[("host", "rebound.example.org:4000")]).await, StatusCode::FORBIDDEN);
        assert_eq!(
            status(&[("host", "127.0.0.1:4000"), ("origin", "https://example.org")]).await,
            StatusCode::FORBIDDEN
        );
        assert_eq!(status(&[]).await, StatusCode::FORBIDDEN);
    }
}
