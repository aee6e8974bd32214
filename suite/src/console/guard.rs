//! The console acts for a user without asking for a password: only its own page may ask it to.
//!
//! Other sites in the same browser can send requests to loopback addresses, under their own origin or, by DNS
//! rebinding, under a name of theirs.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

/// Refuses what another site's page may have caused.
pub(super) async fn own_page_only(request: Request, next: Next) -> Response {
    if is_own(request.headers()) {
        return next.run(request).await;
    }
    (StatusCode::FORBIDDEN, "the console answers its own page only, under a loopback address\n").into_response()
}

fn is_own(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let Some(host) = text(header::HOST) else { return false };
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let local = matches!(name, "127.0.0.1" | "localhost" | "[::1]");
    let same_origin = text(header::ORIGIN).is_none_or(|origin| origin.strip_prefix("http://") == Some(host));
    let site = text(HeaderName::from_static("sec-fetch-site"));
    // Following a link to the page is no request of another site's making: it carries no method but GET, and no body.
    let navigated = text(HeaderName::from_static("sec-fetch-mode")) == Some("navigate");
    local && same_origin && (navigated || site.is_none_or(|site| matches!(site, "same-origin" | "none")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a header value")))
            .collect()
    }

    #[test]
    fn the_page_and_a_terminal_are_answered() {
        assert!(is_own(&headers(&[("host", "127.0.0.1:8080")])));
        assert!(is_own(&headers(&[
            ("host", "localhost:8080"),
            ("origin", "http://localhost:8080"),
            ("sec-fetch-site", "same-origin"),
        ])));
    }

    #[test]
    fn other_sites_are_refused() {
        assert!(!is_own(&headers(&[("host", "127.0.0.1:8080"), ("origin", "https://example.org")])));
        assert!(!is_own(&headers(&[("host", "127.0.0.1:8080"), ("sec-fetch-site", "cross-site")])));
        assert!(!is_own(&headers(&[("host", "rebound.example.org:8080")])));
        assert!(!is_own(&headers(&[])));
    }
}
