//! Read marks: `GET /notifications/unread-count`, `POST /notifications/{id}/read` and `…/unread`,
//! and `POST /notifications/read` for all. An `{id}` is the id of an occurrence or of one of its
//! deliveries. A mark always applies to the occurrence, on every device and in the mailbox at once.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use rest::{Body, IdempotencyKeyHeader, Identity, OptionalBody, PathId};
use serde::{Deserialize, Serialize};
use service::{
    http::{ApiError, ErrorBody},
    idempotency::IdempotencyKey,
};
use sqlx::PgPool;
use utoipa::ToSchema;

use super::{AppState, examples};
use crate::{
    store::inbox,
    usecases::{
        self, Answer,
        change_read_marks::{Mark, change_read_marks},
    },
};

/// Number of occurrences that were sent to the caller on at least one channel and are unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!(examples::unread()))]
pub(super) struct Unread {
    /// Unread occurrences among the newest 2,000 deliveries, and those that were marked as unread.
    unread: i64,
    /// Present and `true` if there are older deliveries that were not counted and that no `POST
    /// /notifications/read` covers.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    or_more: bool,
}

impl From<inbox::Unread> for Unread {
    fn from(inbox::Unread { count, or_more }: inbox::Unread) -> Self {
        Self { unread: count, or_more }
    }
}

/// Time up to which all occurrences are marked as read.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!(examples::read_all()))]
pub(super) struct ReadAll {
    /// Marks occurrences that were first sent until this time, such as the `finishedAt` of the
    /// newest delivery that was shown. RFC 3339 with an offset. The default is the current time,
    /// which also replaces a time in the future.
    up_to: Option<DateTime<Utc>>,
}

/// A body without fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EmptyBody {}

/// Count unread occurrences
///
/// A reminder that was sent to three devices and a mailbox counts once.
#[utoipa::path(
    get,
    path = "/notifications/unread-count",
    operation_id = "countUnreadNotifications",
    tag = "notifications",
    responses(
        (status = 200, description = "The number of unread occurrences", body = Unread),
    ),
)]
pub(super) async fn unread_count(
    State(state): State<AppState>,
    identity: Identity,
) -> Result<Json<Unread>, ApiError> {
    Ok(Json(inbox::unread(&state.pool, &identity.user_id).await?.into()))
}

/// Mark an occurrence as read
///
/// Applies to every device and the mailbox at once. Has no effect if the occurrence is already
/// read.
#[utoipa::path(
    post,
    path = "/notifications/{id}/read",
    operation_id = "readNotification",
    tag = "notifications",
    params(
        (
            "id" = String, Path,
            description = "Id of the occurrence, or of one of its deliveries",
            example = "01979a3c7e2f7c41b1d1e0a5d2c3f4a5"
        ),
        IdempotencyKeyHeader,
    ),
    responses(
        (
            status = 200,
            description = "The occurrence is read. Returns the number of unread occurrences",
            body = Unread
        ),
        (
            status = 404,
            description = "`NOT_FOUND`: the caller has no such occurrence or delivery",
            body = ErrorBody
        ),
    ),
)]
pub(super) async fn read(
    State(state): State<AppState>,
    identity: Identity,
    PathId(id): PathId,
    body: OptionalBody<EmptyBody>,
) -> Result<Response, ApiError> {
    respond(&state.pool, &identity, body.key.as_ref(), Mark::Read(id.ok_or_else(missing)?)).await
}

/// Mark an occurrence as unread
///
/// Has no effect if the occurrence is already unread.
#[utoipa::path(
    post,
    path = "/notifications/{id}/unread",
    operation_id = "unreadNotification",
    tag = "notifications",
    params(
        (
            "id" = String, Path,
            description = "Id of the occurrence, or of one of its deliveries",
            example = "01979a3c7e2f7c41b1d1e0a5d2c3f4a5"
        ),
        IdempotencyKeyHeader,
    ),
    responses(
        (
            status = 200,
            description = "The occurrence is unread. Returns the number of unread occurrences",
            body = Unread
        ),
        (
            status = 404,
            description = "`NOT_FOUND`: the caller has no such occurrence or delivery",
            body = ErrorBody
        ),
    ),
)]
pub(super) async fn unread(
    State(state): State<AppState>,
    identity: Identity,
    PathId(id): PathId,
    body: OptionalBody<EmptyBody>,
) -> Result<Response, ApiError> {
    respond(&state.pool, &identity, body.key.as_ref(), Mark::Unread(id.ok_or_else(missing)?)).await
}

/// Mark all occurrences as read
///
/// Marks all occurrences that were sent until `upTo` as read, including those that were marked as
/// unread. Later ones stay unread.
#[utoipa::path(
    post,
    path = "/notifications/read",
    operation_id = "readAllNotifications",
    tag = "notifications",
    params(IdempotencyKeyHeader),
    request_body = ReadAll,
    responses(
        (
            status = 200,
            description = "The occurrences are read. Returns the number of unread occurrences",
            body = Unread
        ),
    ),
)]
pub(super) async fn read_all(
    State(state): State<AppState>,
    identity: Identity,
    body: Body<ReadAll>,
) -> Result<Response, ApiError> {
    respond(&state.pool, &identity, body.key.as_ref(), Mark::AllRead(body.value.up_to)).await
}

/// Changes read marks, and responds with the number of unread occurrences.
async fn respond(
    pool: &PgPool,
    identity: &Identity,
    key: Option<&IdempotencyKey>,
    mark: Mark,
) -> Result<Response, ApiError> {
    let answer = change_read_marks(pool, &identity.user_id, key, mark, Unread::from).await?;
    Ok(match answer {
        Answer::First(unread) => Json(unread).into_response(),
        Answer::Repeat(replay) => replay.into_response(),
    })
}

/// Refusal of a text that is no id.
fn missing() -> ApiError {
    usecases::Error::NoOccurrence.into()
}
