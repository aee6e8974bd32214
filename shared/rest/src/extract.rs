//! Extractors of bodies, query strings and path ids.

use std::error::Error;

use axum::{
    RequestExt,
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::request::Parts,
};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, LengthLimitError};
use serde::de::DeserializeOwned;
use service::{
    http::{ApiError, BodyTimedOut, FieldFault, Reason},
    idempotency::IdempotencyKey,
};
use uuid::Uuid;

use super::{
    HeldMemory,
    body_memory::BodyMemory,
    idempotency::{BodyForm, key_of},
    json::{self, Lenient},
    query,
    rate_limit::Caller,
};

/// A JSON object as a body, with the `Idempotency-Key` of the request. All faulty fields are named.
#[derive(Debug)]
pub struct Body<T> {
    /// The value.
    pub value: T,
    /// The key, if the request has one.
    pub key: Option<IdempotencyKey>,
}

/// Like [`Body`]; an empty body counts as an empty object.
#[derive(Debug)]
pub struct OptionalBody<T> {
    /// The value.
    pub value: T,
    /// The key, if the request has one.
    pub key: Option<IdempotencyKey>,
}

/// Like [`Body`], without the faulty fields. The handler reports their faults together with those
/// that it finds.
#[derive(Debug)]
pub struct LenientBody<T> {
    /// The value without the faulty fields; see [`Lenient`].
    pub value: T,
    /// Faults of the fields.
    pub faults: Vec<FieldFault>,
    /// The key, if the request has one.
    pub key: Option<IdempotencyKey>,
}

/// A JSON body as bytes, with the `Idempotency-Key` of the request: it names the same request if
/// the values are the same.
#[derive(Debug)]
pub struct RawJson(pub RawBody);

/// A body as bytes, with the `Idempotency-Key` of the request: it names the same request if the
/// bytes are the same.
#[derive(Debug)]
pub struct RawBody {
    /// The bytes.
    pub bytes: Bytes,
    /// The key, if the request has one.
    pub key: Option<IdempotencyKey>,
    /// Memory of the body, to hold until the request is processed.
    pub memory: HeldMemory,
}

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        Self::receive(request, BodyForm::Bytes).await
    }
}

impl<S: Send + Sync> FromRequest<S> for RawJson {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        RawBody::receive(request, BodyForm::Json).await.map(Self)
    }
}

impl RawBody {
    async fn receive(request: Request, form: BodyForm) -> Result<Self, ApiError> {
        let (parts, mut body) = request.with_limited_body().into_parts();
        let memory = parts.extensions.get::<BodyMemory>();
        let memory = memory
            .ok_or_else(|| ApiError::unexpected("the routes are not wrapped by rest::api"))?;
        let caller = parts.extensions.get::<Caller>().map_or(0, |caller| caller.key);
        let mut memory = memory.hold(caller);
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.map_err(|error| not_received(&error))?.into_data() {
                memory.grow(data.len())?;
                bytes.extend_from_slice(&data);
            }
        }
        let bytes = bytes.freeze();
        let key = key_of(&parts, &bytes, form)?;
        Ok(Self { bytes, key, memory })
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let RawBody { bytes, key, memory: _memory } =
            RawBody::receive(request, BodyForm::Json).await?;
        Ok(Self { value: json::object(not_empty(&bytes)?)?, key })
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for OptionalBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let RawBody { bytes, key, memory: _memory } =
            RawBody::receive(request, BodyForm::Json).await?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        Ok(Self { value: json::object(text)?, key })
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for LenientBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let RawBody { bytes, key, memory: _memory } =
            RawBody::receive(request, BodyForm::Json).await?;
        let Lenient { value, faults } = json::lenient(not_empty(&bytes)?)?;
        Ok(Self { value, faults, key })
    }
}

/// Refuses an empty body.
fn not_empty(bytes: &[u8]) -> Result<&[u8], ApiError> {
    if bytes.is_empty() {
        Err(json::body_fault("is empty; a JSON object is required"))
    } else {
        Ok(bytes)
    }
}

/// Refusal of a body that could not be received.
fn not_received(error: &axum::Error) -> ApiError {
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
    json::body_fault("could not be received")
}

/// Two parameters of a path: an id (`None` if it is not a UUID), and a text as [`PathText`] reads
/// one.
#[derive(Debug, Clone)]
pub struct PathIdAndText(pub Option<Uuid>, pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for PathIdAndText {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let texts = Path::<(String, String)>::from_request_parts(parts, state).await.ok();
        let Some(Path((id, text))) = texts else { return Ok(Self(None, None)) };
        let text = Some(text).filter(|text| !text.contains('\0'));
        Ok(Self(Uuid::try_parse(&id).ok(), text))
    }
}

/// A query string. All faulty parameters are named.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let LenientParams { value, faults } =
            LenientParams::from_request_parts(parts, state).await?;
        if faults.is_empty() {
            Ok(Self(value))
        } else {
            Err(ApiError::faults(Reason::InvalidRequest, faults))
        }
    }
}

/// A query string without its faulty parameters. The handler reports the faults together with those
/// that it finds.
#[derive(Debug)]
pub struct LenientParams<T> {
    /// The parameters without the faulty ones.
    pub value: T,
    /// Faults of the parameters.
    pub faults: Vec<FieldFault>,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for LenientParams<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let Lenient { value, faults } = query::lenient(parts.uri.query().unwrap_or_default())?;
        Ok(Self { value, faults })
    }
}

/// The `{id}` of a path; `None` if the text is not an id.
#[derive(Debug, Clone, Copy)]
pub struct PathId(pub Option<Uuid>);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let PathText(text) = PathText::from_request_parts(parts, state).await?;
        Ok(Self(text.and_then(|text| Uuid::try_parse(&text).ok())))
    }
}

/// The only parameter of a path, decoded; `None` if it is not UTF-8 or contains the character
/// U+0000, which no stored text contains.
#[derive(Debug, Clone)]
pub struct PathText(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for PathText {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text = Path::<String>::from_request_parts(parts, state).await.ok();
        Ok(Self(text.map(|Path(text)| text).filter(|text| !text.contains('\0'))))
    }
}
