//! The header `Idempotency-Key`.

use axum::http::{HeaderMap, request::Parts};
use service::{http::ApiError, idempotency::IdempotencyKey};
use sha2::{Digest, Sha256};

const HEADER: &str = "idempotency-key";
const MAX_LENGTH: usize = 255;

/// Reads the key of a request; `None` if the request has none.
pub(crate) fn key_of(parts: &Parts, body: &[u8]) -> Result<Option<IdempotencyKey>, ApiError> {
    let Some(key) = header(&parts.headers)? else { return Ok(None) };
    let mut digest = Sha256::new();
    for part in [
        parts.method.as_str().as_bytes(),
        parts.uri.path_and_query().map_or("", |path| path.as_str()).as_bytes(),
        body,
    ] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    Ok(Some(IdempotencyKey { key, request_hash: digest.finalize().to_vec() }))
}

fn header(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let visible = value.as_bytes().iter().all(u8::is_ascii_graphic)
        && !value.is_empty()
        && value.len() <= MAX_LENGTH;
    match value.to_str() {
        Ok(text) if visible && values.next().is_none() => Ok(Some(text.to_owned())),
        _ => Err(ApiError::invalid(
            "Idempotency-Key: one value of 1 to 255 visible ASCII characters",
        )),
    }
}
