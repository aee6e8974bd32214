//! The header `Idempotency-Key`.

use axum::http::{HeaderMap, request::Parts};
use service::{http::ApiError, idempotency::IdempotencyKey};
use sha2::{Digest, Sha256};

use super::json::digest;

const HEADER: &str = "idempotency-key";
const MAX_LENGTH: usize = 255;

/// Form of a body, which decides when two requests are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyForm {
    /// The same values: the order of fields, white space, escapes and the form of numbers do not
    /// count. An empty body is an empty object.
    Json,
    /// The same bytes.
    Bytes,
}

/// Reads the key of a request; `None` if the request has none.
pub(crate) fn key_of(
    parts: &Parts,
    body: &[u8],
    form: BodyForm,
) -> Result<Option<IdempotencyKey>, ApiError> {
    let Some(key) = header(&parts.headers)? else { return Ok(None) };
    let bytes_hash = hash(parts, body);
    let values = match form {
        BodyForm::Json if body.is_empty() => digest::of(b"{}"),
        BodyForm::Json => digest::of(body),
        BodyForm::Bytes => None,
    };
    let request_hash = values.map_or_else(|| bytes_hash.clone(), |values| hash(parts, &values));
    Ok(Some(IdempotencyKey { key, request_hash, bytes_hash }))
}

fn hash(parts: &Parts, body: &[u8]) -> Vec<u8> {
    let mut hash = Sha256::new();
    for part in [
        parts.method.as_str().as_bytes(),
        parts.uri.path_and_query().map_or("", |path| path.as_str()).as_bytes(),
        body,
    ] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().to_vec()
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
