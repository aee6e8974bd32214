//! Guard of listeners on the machine of a developer against other sites in the browser, which can
//! send requests to loopback addresses from their own origin or, by DNS rebinding, under their own
//! host name.

use std::{fmt, str::FromStr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{ApiError, Reason, cors::AllowedOrigins};

/// Most host names in the list.
const MAX_HOSTS: usize = 100;

/// Host names under which a listener may be addressed, with any port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedHosts(Vec<String>);

impl AllowedHosts {
    /// Names of the loopback addresses of this machine.
    #[must_use]
    pub fn loopback() -> Self {
        Self(["127.0.0.1", "localhost", "[::1]"].map(str::to_owned).into())
    }
}

impl FromStr for AllowedHosts {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hosts: Vec<_> = text
            .split(',')
            .map(|host| host.trim().to_ascii_lowercase())
            .filter(|host| !host.is_empty())
            .collect();
        let fits = |host: &String| {
            url::Url::parse(&format!("http://{host}/"))
                .is_ok_and(|url| url.host_str() == Some(host) && url.port().is_none())
        };
        if hosts.is_empty() || hosts.len() > MAX_HOSTS || !hosts.iter().all(fits) {
            return Err("expected 1 to 100 host names or addresses without ports, such as \
                 127.0.0.1,localhost,[::1]");
        }
        Ok(Self(hosts))
    }
}

impl fmt::Display for AllowedHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

/// Hosts and origins that a guarded listener answers to.
#[derive(Debug, Clone)]
pub struct Guard(Arc<Rules>);

#[derive(Debug)]
struct Rules {
    hosts: AllowedHosts,
    origins: AllowedOrigins,
}

impl Guard {
    /// Creates a guard that accepts requests to one of the hosts that come from no page, from a
    /// page of the same origin, or from one of an allowed origin.
    #[must_use]
    pub fn new(hosts: AllowedHosts, origins: AllowedOrigins) -> Self {
        Self(Arc::new(Rules { hosts, origins }))
    }

    fn accepts(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let text =
            |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        // HTTP/2 sends the host in the URI.
        let Some(host) =
            uri.authority().map(|authority| authority.as_str()).or_else(|| text(header::HOST))
        else {
            return false;
        };
        // Browsers never repeat either header; of two values, one could be checked and the other
        // used.
        let is_repeated = [header::HOST, header::ORIGIN]
            .iter()
            .any(|name| headers.get_all(name).iter().nth(1).is_some());
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let is_local = self.0.hosts.0.iter().any(|allowed| allowed.eq_ignore_ascii_case(name));
        let origin = text(header::ORIGIN);
        let is_allowed = origin.is_some_and(|origin| self.0.origins.allows(origin));
        let is_same = origin.is_none_or(|origin| origin.strip_prefix("http://") == Some(host));
        let site = text(HeaderName::from_static("sec-fetch-site"));
        // A link from another site is allowed: navigation uses GET without a body.
        let is_navigation = text(HeaderName::from_static("sec-fetch-mode")) == Some("navigate");
        let is_own = is_same
            && (is_navigation || site.is_none_or(|site| matches!(site, "same-origin" | "none")));
        is_local && !is_repeated && (is_allowed || is_own)
    }
}

/// Middleware that refuses requests that a page of another site may have sent.
pub async fn refuse_other_sites(
    State(guard): State<Guard>,
    request: Request,
    next: Next,
) -> Response {
    if guard.accepts(request.uri(), request.headers()) {
        return next.run(request).await;
    }
    let message = "this address answers under its own host name, and to pages of its own or an \
                   allowed origin only";
    ApiError::new(Reason::PermissionDenied, message).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn passes(uri: &'static str, pairs: &[(&'static str, &'static str)]) -> bool {
        let headers = pairs
            .iter()
            .map(|(name, value)| {
                (HeaderName::from_static(name), value.parse().expect("a header value"))
            })
            .collect();
        let origins = "http://127.0.0.1:8080".parse().expect("an origin");
        Guard::new(AllowedHosts::loopback(), origins).accepts(&Uri::from_static(uri), &headers)
    }

    #[test]
    fn accepts_own_page_and_terminal() {
        assert!(passes("/", &[("host", "127.0.0.1:3000")]));
        assert!(passes("/", &[("host", "[::1]:3000")]));
        assert!(passes("/", &[("host", "localhost")]));
        assert!(passes("http://localhost:3000/", &[]));
        assert!(passes(
            "/",
            &[
                ("host", "localhost:3000"),
                ("origin", "http://localhost:3000"),
                ("sec-fetch-site", "same-origin")
            ]
        ));
    }

    #[test]
    fn accepts_pages_of_allowed_origins() {
        assert!(passes(
            "/",
            &[
                ("host", "127.0.0.1:3000"),
                ("origin", "http://127.0.0.1:8080"),
                ("sec-fetch-site", "same-site")
            ]
        ));
    }

    #[test]
    fn refuses_other_sites() {
        assert!(!passes("/", &[("host", "127.0.0.1:3000"), ("origin", "https://example.org")]));
        assert!(!passes("/", &[("host", "127.0.0.1:3000"), ("origin", "null")]));
        assert!(!passes("/", &[("host", "127.0.0.1:3000"), ("sec-fetch-site", "cross-site")]));
        assert!(!passes("/", &[("host", "rebound.example.org:3000")]));
        assert!(!passes("/", &[("host", "127.0.0.1.example.org")]));
        assert!(!passes("http://rebound.example.org/", &[("host", "127.0.0.1:3000")]));
        assert!(!passes("/", &[]));
    }

    #[test]
    fn refuses_repeated_hosts_and_origins() {
        let both = |name, first, second| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("localhost:3000"));
            headers.insert(&name, HeaderValue::from_static(first));
            headers.append(&name, HeaderValue::from_static(second));
            let guard = Guard::new(AllowedHosts::loopback(), AllowedOrigins::None);
            guard.accepts(&Uri::from_static("/"), &headers)
        };
        assert!(!both(header::HOST, "localhost:3000", "rebound.example.org"));
        assert!(!both(header::ORIGIN, "http://localhost:3000", "https://example.org"));
    }

    #[test]
    fn reads_host_names_without_ports() {
        assert_eq!("127.0.0.1, LOCALHOST,[::1]".parse(), Ok(AllowedHosts::loopback()));
        for text in ["", ",", "localhost:3000", "http://localhost", "a b", "a/b"] {
            assert!(text.parse::<AllowedHosts>().is_err(), "{text}");
        }
    }
}
