//! Origins of web clients (`CORS_ALLOWED_ORIGINS`).

use std::{fmt, str::FromStr, time::Duration};

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

use super::REQUEST_ID;

/// Most origins in the list.
const MAX_ORIGINS: usize = 100;

/// Origins whose pages may call an API. Credentials of the browser (cookies) are never allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// No origin.
    #[default]
    None,
    /// These origins, as browsers send them: `https://app.example.com`.
    Listed(Vec<String>),
    /// Every origin (`*`).
    Any,
}

impl AllowedOrigins {
    /// Returns whether a page of this origin may call the API.
    #[must_use]
    pub fn allows(&self, origin: &str) -> bool {
        match self {
            Self::None => false,
            Self::Listed(origins) => origins.iter().any(|listed| listed == origin),
            Self::Any => true,
        }
    }

    /// Layer that answers preflight requests; `None` if no origin is allowed.
    #[must_use]
    pub fn layer(&self) -> Option<CorsLayer> {
        let layer = match self {
            Self::None => return None,
            Self::Any => CorsLayer::new().allow_origin(Any),
            Self::Listed(origins) => {
                let values = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
                CorsLayer::new().allow_origin(AllowOrigin::list(values.collect::<Vec<_>>()))
            }
        };
        let layer = layer
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
            .allow_headers([
                header::AUTHORIZATION,
                header::CONTENT_TYPE,
                header::IF_MATCH,
                HeaderName::from_static("idempotency-key"),
                REQUEST_ID,
            ])
            .expose_headers([
                REQUEST_ID,
                header::RETRY_AFTER,
                header::ETAG,
                HeaderName::from_static("idempotent-replayed"),
            ])
            .max_age(Duration::from_secs(600));
        Some(layer)
    }
}

impl FromStr for AllowedOrigins {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let origins: Vec<&str> =
            text.split(',').map(str::trim).filter(|origin| !origin.is_empty()).collect();
        match origins.as_slice() {
            [] => Ok(Self::None),
            ["*"] => Ok(Self::Any),
            origins if origins.len() > MAX_ORIGINS => Err("expected at most 100 origins"),
            origins if origins.iter().all(|origin| is_origin(origin)) => {
                Ok(Self::Listed(origins.iter().map(ToString::to_string).collect()))
            }
            _ => Err(
                "expected origins such as https://app.example.com (no path, no final slash, lower \
                 case), or * alone",
            ),
        }
    }
}

impl fmt::Display for AllowedOrigins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Listed(origins) => f.write_str(&origins.join(",")),
            Self::Any => f.write_str("*"),
        }
    }
}

/// Returns whether a text is an origin exactly as browsers send it: scheme, host and, unless it is
/// the default of the scheme, port.
fn is_origin(text: &str) -> bool {
    let is_canonical = |url: url::Url| {
        matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text
    };
    // A pattern is not an origin, as browsers never send one.
    !text.contains('*') && url::Url::parse(text).is_ok_and(is_canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_origins_as_browsers_send_them() {
        let listed = |origins: &[&str]| {
            Ok(AllowedOrigins::Listed(origins.iter().map(ToString::to_string).collect()))
        };
        assert_eq!("https://a.example".parse(), listed(&["https://a.example"]));
        let two = "http://localhost:8080, https://a.example,";
        assert_eq!(two.parse(), listed(&["http://localhost:8080", "https://a.example"]));
        assert_eq!("http://[::1]:3000".parse(), listed(&["http://[::1]:3000"]));
        assert_eq!("*".parse(), Ok(AllowedOrigins::Any));
        assert_eq!(" , ".parse(), Ok(AllowedOrigins::None));
    }

    #[test]
    fn refuses_origins_that_no_browser_sends() {
        for text in [
            "https://a.example/",
            "https://a.example/path",
            "https://a.example?x",
            "https://user@a.example",
            "https://A.example",
            "https://a.example:443",
            "a.example",
            "null",
            "file:///tmp",
            "https://*.example.com",
            "*,https://a.example",
            "https://",
        ] {
            assert!(text.parse::<AllowedOrigins>().is_err(), "{text}");
        }
    }

    #[test]
    fn builds_layer_for_every_accepted_value() {
        for text in ["*", "https://a.example,http://[::1]:3000"] {
            assert!(text.parse::<AllowedOrigins>().expect("origins").layer().is_some());
        }
    }
}
