//! Error of all REST APIs, and the mapping of failures to HTTP answers.

use std::time::Duration;

use axum::{
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use bus::Unpublishable;
use serde::Serialize;

use crate::{idempotency, outbox::WriteError};

/// Reason code of an error; each has one status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// 400: the request is malformed.
    InvalidRequest,
    /// 401: the request does not identify its caller.
    Unauthenticated,
    /// 403: the caller may not do this.
    PermissionDenied,
    /// 404: the caller has no such reminder.
    MissingReminder,
    /// 404: the path or the resource does not exist.
    NotFound,
    /// 405: the path does not support the method.
    MethodNotAllowed,
    /// 408: the request was not received in time.
    RequestTimeout,
    /// 409: the request conflicts with the present state.
    Conflict,
    /// 412: the object has another version than the request expects.
    PreconditionFailed,
    /// 413: the body is too large.
    PayloadTooLarge,
    /// 415: the body has another type than the call expects.
    UnsupportedMediaType,
    /// 414: the URI is too long.
    UriTooLong,
    /// 431: the headers are too large or too many.
    HeadersTooLarge,
    /// 422: the time, or every delivery, is in the past.
    InvalidDueDate,
    /// 422: the recurrence rule is invalid.
    InvalidRecurrence,
    /// 422: the provider does not know the token.
    InvalidToken,
    /// 422: the device is not the caller's.
    DeviceNotAssociated,
    /// 422: the key was used with another body.
    IdempotencyKeyReused,
    /// 429: too many requests.
    RateLimited,
    /// 500: an unexpected failure.
    Unknown,
    /// 503: a database or service is unreachable.
    UpstreamUnavailable,
}

impl Reason {
    /// Status and code of the reason.
    #[must_use]
    pub const fn parts(self) -> (StatusCode, &'static str) {
        match self {
            Self::InvalidRequest => (StatusCode::BAD_REQUEST, "INVALID_REQUEST"),
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED"),
            Self::PermissionDenied => (StatusCode::FORBIDDEN, "PERMISSION_DENIED"),
            Self::MissingReminder => (StatusCode::NOT_FOUND, "MISSING_REMINDER"),
            Self::NotFound => (StatusCode::NOT_FOUND, "NOT_FOUND"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "INVALID_REQUEST"),
            Self::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "INVALID_REQUEST"),
            Self::Conflict => (StatusCode::CONFLICT, "CONFLICT"),
            Self::PreconditionFailed => (StatusCode::PRECONDITION_FAILED, "PRECONDITION_FAILED"),
            Self::PayloadTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE"),
            Self::UnsupportedMediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "INVALID_REQUEST"),
            Self::UriTooLong => (StatusCode::URI_TOO_LONG, "INVALID_REQUEST"),
            Self::HeadersTooLarge => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "INVALID_REQUEST")
            }
            Self::InvalidDueDate => (StatusCode::UNPROCESSABLE_ENTITY, "INVALID_DUEDATE"),
            Self::InvalidRecurrence => (StatusCode::UNPROCESSABLE_ENTITY, "INVALID_RECURRENCE"),
            Self::InvalidToken => (StatusCode::UNPROCESSABLE_ENTITY, "INVALID_TOKEN"),
            Self::DeviceNotAssociated => {
                (StatusCode::UNPROCESSABLE_ENTITY, "DEVICE_NOT_ASSOCIATED")
            }
            Self::IdempotencyKeyReused => {
                (StatusCode::UNPROCESSABLE_ENTITY, "IDEMPOTENCY_KEY_REUSED")
            }
            Self::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED"),
            Self::Unknown => (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN_REASON"),
            Self::UpstreamUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "UPSTREAM_UNAVAILABLE"),
        }
    }
}

/// Body of every error.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(example = json!({"error": {
    "message": "notifyOffset: must be between 0 and 40320 minutes",
    "reason": "INVALID_REQUEST",
    "status": 400,
    "requestId": "01979a3c7e2f7c41b1d1e0a5d2c3f4a5",
    "details": [
        {"field": "notifyOffset", "message": "must be between 0 and 40320 minutes"},
        {"field": "message", "message": "is required"}
    ]
}})))]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// An error.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ErrorDetail {
    /// Text for a person.
    #[cfg_attr(
        feature = "openapi",
        schema(example = "notifyOffset: must be between 0 and 40320 minutes")
    )]
    pub message: String,
    /// Reason code for a program.
    #[cfg_attr(feature = "openapi", schema(example = "INVALID_REQUEST"))]
    pub reason: &'static str,
    /// HTTP status.
    #[cfg_attr(feature = "openapi", schema(example = 400))]
    pub status: u16,
    /// Id of the request for the operators; also in the header `X-Request-Id`.
    pub request_id: String,
    /// Faults of a body or a query by field, at most 20; `message` is the first of them. Left out
    /// if the error is about no field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<FieldFault>,
}

/// Fault of one field of a body or a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldFault {
    /// Path of the field, such as `recurrence.rrule` or `channels[1]`; `body` for the body as a
    /// whole.
    #[cfg_attr(feature = "openapi", schema(example = "notifyOffset"))]
    pub field: String,
    /// Rule that the field breaks.
    #[cfg_attr(feature = "openapi", schema(example = "must be between 0 and 40320 minutes"))]
    pub message: String,
}

impl FieldFault {
    /// Fault of a field.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

impl ErrorDetail {
    /// An error without details.
    #[must_use]
    pub fn new(message: String, reason: &'static str, status: u16, request_id: String) -> Self {
        Self { message, reason, status, request_id, details: Vec::new() }
    }
}

/// A refusal or a failure. The layers of `rest::api` add the request id to its body.
#[derive(Debug, Clone)]
pub struct ApiError {
    /// Reason code.
    pub reason: Reason,
    /// Text for a person; for [`Reason::Unknown`] it reveals nothing of the cause.
    pub message: String,
    /// Time after which the client may try again.
    pub retry_after: Option<Duration>,
    /// Faults of the body or the query, by field.
    pub details: Vec<FieldFault>,
}

impl ApiError {
    /// An error with a message. A message of the form `field: problem` also becomes an entry of the
    /// details.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        let message = message.into();
        let retry_after = matches!(reason, Reason::UpstreamUnavailable | Reason::RateLimited)
            .then_some(Duration::from_secs(2));
        let details = named(reason, &message).into_iter().collect();
        Self { reason, message, retry_after, details }
    }

    /// An error about one field.
    pub fn field(reason: Reason, field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::faults(reason, vec![FieldFault::new(field, problem)])
    }

    /// An error about several fields; the message is the first fault.
    #[must_use]
    pub fn faults(reason: Reason, details: Vec<FieldFault>) -> Self {
        let message = details
            .first()
            .map(|fault| format!("{}: {}", fault.field, fault.message))
            .unwrap_or_default();
        Self { details, ..Self::new(reason, message) }
    }

    /// Sets the time after which the client may try again.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// 400 with a message.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Reason::InvalidRequest, message)
    }

    /// 500: the error is logged with its causes, and the answer does not contain it.
    pub fn unexpected(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let error = error.into();
        tracing::error!(
            error = &*error as &dyn std::error::Error,
            "request failed with an unexpected error"
        );
        Self::new(Reason::Unknown, "an unexpected error occurred; report the request id")
    }

    /// 503: a database or service is unreachable.
    pub fn unavailable(
        dependency: &str,
        error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        let error = error.into();
        tracing::warn!(
            error = &*error as &dyn std::error::Error,
            "request failed, {dependency} is unavailable"
        );
        Self::new(Reason::UpstreamUnavailable, format!("{dependency} is unavailable; try again"))
    }
}

/// The field with which a message begins, if the error is about the request.
fn named(reason: Reason, message: &str) -> Option<FieldFault> {
    let is_of_request =
        matches!(reason.parts().0, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY);
    let (field, problem) = message.split_once(": ").filter(|_| is_of_request)?;
    let is_path = |byte: u8| byte.is_ascii_alphanumeric() || b"._-[]".contains(&byte);
    (!field.is_empty() && field.bytes().all(is_path)).then(|| FieldFault::new(field, problem))
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        if db::is_transient(&error) {
            Self::unavailable("the database", error)
        } else if db::is_unstorable_character(&error) {
            // The parsers of the fields refuse it first and name the field.
            tracing::warn!("request was refused by the database: a text has the character U+0000");
            Self::invalid("the request has the character U+0000, which cannot be stored")
        } else {
            Self::unexpected(error)
        }
    }
}

impl From<idempotency::Error> for ApiError {
    fn from(error: idempotency::Error) -> Self {
        match error {
            idempotency::Error::Reused => {
                Self::new(Reason::IdempotencyKeyReused, error.to_string())
            }
            idempotency::Error::Json(error) => error.into(),
            idempotency::Error::Sql(error) => error.into(),
        }
    }
}

impl From<bus::Error> for ApiError {
    fn from(error: bus::Error) -> Self {
        Self::unavailable("the message bus", error)
    }
}

impl From<WriteError> for ApiError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Json(error) => Self::unexpected(error),
            WriteError::Unpublishable(error) => error.into(),
        }
    }
}

impl From<Unpublishable> for ApiError {
    fn from(error: Unpublishable) -> Self {
        let reason = match error {
            Unpublishable::TooLarge(_) => Reason::PayloadTooLarge,
            Unpublishable::Refused(_) => Reason::InvalidRequest,
        };
        Self::new(reason, error.to_string())
    }
}

impl From<serde_json::Error> for ApiError {
    fn from(error: serde_json::Error) -> Self {
        Self::unexpected(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.reason.parts().0.into_response();
        if let Some(after) = self.retry_after {
            response.headers_mut().insert(
                RETRY_AFTER,
                HeaderValue::from(after.as_millis().div_ceil(1_000).clamp(1, 86_400) as u64),
            );
        }
        response.extensions_mut().insert(self);
        response
    }
}
