//! Bodies, query strings and path ids, refused with a clear message when they are not what they should be.

use std::error::Error;

use axum::{
    RequestExt,
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::request::Parts,
};
use http_body_util::{BodyExt, LengthLimitError};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{ApiError, Reason, idempotency::IdempotencyKey, server::BodyTimedOut};

/// A JSON body, and the `Idempotency-Key` it came with. Types that refuse unknown fields name them in the error.
#[derive(Debug)]
pub struct Body<T> {
    /// What was sent.
    pub value: T,
    /// The key, when there was one.
    pub key: Option<IdempotencyKey>,
}

/// A body that is not JSON, and the `Idempotency-Key` it came with.
#[derive(Debug)]
pub struct RawBody {
    /// What was sent.
    pub bytes: Bytes,
    /// The key, when there was one.
    pub key: Option<IdempotencyKey>,
}

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.with_limited_body().into_parts();
        let bytes = body.collect().await.map_err(|error| unread(&error))?.to_bytes();
        let key = IdempotencyKey::of(&parts, &bytes)?;
        Ok(Self { bytes, key })
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let RawBody { bytes, key } = RawBody::from_request(request, state).await?;
        // A POST without a body is an empty object: each field that it should have is then named as missing.
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        Ok(Self { value: parse(text)?, key })
    }
}

/// The refusal of a body that could not be read.
fn unread(error: &axum::Error) -> ApiError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return ApiError::new(Reason::PayloadTooLarge, "the body is too large");
        }
        if error.is::<BodyTimedOut>() {
            return ApiError::new(Reason::RequestTimeout, BodyTimedOut.to_string());
        }
        cause = error.source();
    }
    ApiError::invalid("the body could not be read")
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(refused)?;
    json.end().map_err(|error| ApiError::invalid(error.to_string()))?;
    Ok(value)
}

/// Reads a part of a body, refused as a body of its own would be.
///
/// # Errors
/// `INVALID_REQUEST`, with the field named.
pub fn part<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, ApiError> {
    serde_path_to_error::deserialize(value).map_err(refused)
}

fn refused(error: serde_path_to_error::Error<serde_json::Error>) -> ApiError {
    let path = error.path().to_string();
    let problem = error.into_inner().to_string();
    if path == "." { ApiError::invalid(problem) } else { ApiError::invalid(format!("{path}: {problem}")) }
}

/// A query string.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        query.map(|query| Self(query.0)).map_err(|rejection| {
            let text = rejection.body_text();
            let problem = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            ApiError::invalid(format!("query: {problem}"))
        })
    }
}

/// The `{id}` of a path. A text that can be no id of ours is `None`: it names nothing.
#[derive(Debug, Clone, Copy)]
pub struct PathId(pub Option<Uuid>);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| ApiError::invalid(rejection.body_text()))?;
        Ok(Self(Uuid::try_parse(&text).ok()))
    }
}
