//! Bodies, query strings and path ids, refused with a clear message when they are not what they
//! should be.

use std::error::Error;

use axum::{
    RequestExt,
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::request::Parts,
};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, LengthLimitError};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{
    ApiError, FieldFault, HeldMemory, Reason,
    body_memory::BodyMemory,
    idempotency::IdempotencyKey,
    json::{self, Lenient},
    rate_limit::Caller,
    server::BodyTimedOut,
};

/// A JSON object as a body, and the `Idempotency-Key` it came with. Types that refuse unknown
/// fields name them in the error; every faulty field is named.
#[derive(Debug)]
pub struct Body<T> {
    /// The value that was sent.
    pub value: T,
    /// The key, when there was one.
    pub key: Option<IdempotencyKey>,
}

/// The same, where no body at all stands for an empty object.
#[derive(Debug)]
pub struct OptionalBody<T> {
    /// The value that was sent.
    pub value: T,
    /// The key, when there was one.
    pub key: Option<IdempotencyKey>,
}

/// The same, with the faults of fields left to the handler, which adds those that it finds by its
/// own rules.
#[derive(Debug)]
pub struct LenientBody<T> {
    /// The value that was sent, without its faulty fields.
    pub value: T,
    /// The faults of those.
    pub faults: Vec<FieldFault>,
    /// The key, when there was one.
    pub key: Option<IdempotencyKey>,
}

/// A body as it was sent, and the `Idempotency-Key` it came with.
#[derive(Debug)]
pub struct RawBody {
    /// The value that was sent.
    pub bytes: Bytes,
    /// The key, when there was one.
    pub key: Option<IdempotencyKey>,
    /// The memory that the body takes, to be held until what was made of it is done with.
    pub memory: HeldMemory,
}

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let (parts, mut body) = request.with_limited_body().into_parts();
        let memory = parts.extensions.get::<BodyMemory>();
        let memory = memory.ok_or_else(|| {
            ApiError::unexpected("the routes are not wrapped by shared::http::api")
        })?;
        let caller = parts.extensions.get::<Caller>().map_or(0, |caller| caller.key);
        let mut memory = memory.hold(caller);
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.map_err(|error| unread(&error))?.into_data() {
                memory.grow(data.len())?;
                bytes.extend_from_slice(&data);
            }
        }
        let bytes = bytes.freeze();
        let key = IdempotencyKey::of(&parts, &bytes)?;
        Ok(Self { bytes, key, memory })
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let RawBody { bytes, key, memory: _memory } = RawBody::from_request(request, state).await?;
        Ok(Self { value: json::object(given(&bytes)?)?, key })
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for OptionalBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let RawBody { bytes, key, memory: _memory } = RawBody::from_request(request, state).await?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        Ok(Self { value: json::object(text)?, key })
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for LenientBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let RawBody { bytes, key, memory: _memory } = RawBody::from_request(request, state).await?;
        let Lenient { value, faults } = json::lenient(given(&bytes)?)?;
        Ok(Self { value, faults, key })
    }
}

/// A body that must not be left out.
fn given(bytes: &[u8]) -> Result<&[u8], ApiError> {
    if bytes.is_empty() {
        Err(ApiError::invalid("the body is empty; a JSON object is expected"))
    } else {
        Ok(bytes)
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

/// A query string.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        query.map(|query| Self(query.0)).map_err(|rejection| {
            let text = rejection.body_text();
            let problem =
                text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            ApiError::faults(Reason::InvalidRequest, vec![json::of_query(problem)])
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
