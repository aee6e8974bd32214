//! Guard of a loopback address: only programs of this machine are answered. A web page can reach a
//! loopback address too, from its own origin or, by DNS rebinding, under its own host name.

use std::net::SocketAddr;

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};

/// Returns `true` if a listener must be guarded.
pub(crate) fn is_needed(address: SocketAddr) -> bool {
    address.ip().is_loopback()
}

/// Middleware that refuses requests that a page of another site may have caused.
pub(crate) async fn refuse_other_sites(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let host = request.uri().authority().map(|authority| authority.as_str());
    let host = host
        .or_else(|| headers.get(header::HOST).and_then(|value| value.to_str().ok()))
        .unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let is_local =
        ["127.0.0.1", "localhost", "[::1]"].iter().any(|local| local.eq_ignore_ascii_case(name));
    let is_repeated = [header::HOST, header::ORIGIN]
        .iter()
        .any(|name| headers.get_all(name).iter().nth(1).is_some());
    let is_of_a_page = headers.get(header::ORIGIN).is_some_and(|origin| {
        origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://")) != Some(host)
    });
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    // A link that the user follows is allowed: it is a GET without a body.
    let is_of_a_site = text("sec-fetch-site")
        .is_some_and(|site| !matches!(site, "same-origin" | "none"))
        && text("sec-fetch-mode") != Some("navigate");
    if is_local && !is_repeated && !is_of_a_page && !is_of_a_site {
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
        let request = headers
            .iter()
            .fold(Request::builder(), |request, (name, value)| request.header(*name, *value));
        app.oneshot(request.body(Body::empty()).expect("a request"))
            .await
            .expect("infallible")
            .status()
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
        assert_eq!(
            status(&[("host", "LOCALHOST:4000"), ("origin", "http://LOCALHOST:4000")]).await,
            StatusCode::OK
        );
    }

    #[tokio::test]
    async fn refuses_requests_that_other_sites_cause() {
        let local = ("host", "localhost:4000");
        assert_eq!(status(&[local, ("sec-fetch-site", "cross-site")]).await, StatusCode::FORBIDDEN);
        assert_eq!(status(&[local, ("sec-fetch-site", "same-site")]).await, StatusCode::FORBIDDEN);
        let link = [local, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
        assert_eq!(status(&link).await, StatusCode::OK);
        assert_eq!(status(&[local, ("host", "rebound.example.org")]).await, StatusCode::FORBIDDEN);
        let own = ("origin", "http://localhost:4000");
        assert_eq!(
            status(&[local, own, ("origin", "https://example.org")]).await,
            StatusCode::FORBIDDEN
        );
    }
}
