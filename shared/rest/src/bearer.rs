//! The `Authorization: Bearer` header (RFC 6750, section 2.1).

use axum::http::{HeaderMap, header::AUTHORIZATION};

const SCHEME: &str = "bearer";

/// Returns the token of the `Authorization` header. The scheme is case-insensitive (RFC 9110,
/// section 11.1). Returns `None` for two headers, another scheme or further words.
pub(super) fn token(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?.to_str().ok()?, values.next()) else { return None };
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim_start();
    let is_one_word = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    (scheme.eq_ignore_ascii_case(SCHEME) && is_one_word).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().expect("a header value"));
        }
        token(&headers).map(str::to_owned)
    }

    #[test]
    fn reads_token_with_scheme_in_any_case() {
        for value in ["Bearer abc", "bearer abc", "BEARER  abc"] {
            assert_eq!(read(&[value]).as_deref(), Some("abc"), "{value}");
        }
    }

    #[test]
    fn refuses_other_headers() {
        for values in [
            &[][..],
            &["Basic abc"],
            &["Bearer"],
            &["Bearer "],
            &["Bearer a b"],
            &["Bearer a", "Bearer a"],
        ] {
            assert_eq!(read(values), None, "{values:?}");
        }
    }
}
