//! `GET /reminders/{id}` and `DELETE /reminders/{id}`.

use axum::{Json, extract::State, http::StatusCode};
use shared::http::{ApiError, ErrorBody, Identity, PathId, Reason, RequestContext};

use super::{
    Api,
    answer::{ReminderAnswer, answers},
};
use crate::{
    events::{self, Origin},
    store,
};

/// Read a reminder
#[utoipa::path(
    get,
    path = "/reminders/{id}",
    operation_id = "getReminder",
    tag = "reminders",
    params(("id" = String, Path, description = "The reminder's id")),
    responses(
        (status = 200, description = "The reminder", body = ReminderAnswer),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
        (status = 404, description = "`MISSING_REMINDER`: the caller has no such reminder", body = ErrorBody),
        (status = 503, description = "`UPSTREAM_UNAVAILABLE`", body = ErrorBody),
    ),
)]
pub(super) async fn get(
    State(api): State<Api>,
    identity: Identity,
    PathId(id): PathId,
) -> Result<Json<ReminderAnswer>, ApiError> {
    let id = id.ok_or_else(missing)?;
    let mut connection = api.pool.acquire().await?;
    let seen = store::get(&mut connection, &identity.user_id, id).await?.ok_or_else(missing)?;
    drop(connection);
    let answer = answers(&identity.user_id, vec![seen]).await?.pop();
    answer.map(Json).ok_or_else(missing)
}

/// Delete a reminder
///
/// What was not yet handed to a provider is not sent any more.
#[utoipa::path(
    delete,
    path = "/reminders/{id}",
    operation_id = "deleteReminder",
    tag = "reminders",
    params(("id" = String, Path, description = "The reminder's id")),
    responses(
        (status = 200, description = "It is deleted; the answer is empty"),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
        (status = 404, description = "`MISSING_REMINDER`: the caller has no such reminder", body = ErrorBody),
        (status = 503, description = "`UPSTREAM_UNAVAILABLE`", body = ErrorBody),
    ),
)]
pub(super) async fn delete(
    State(api): State<Api>,
    identity: Identity,
    context: RequestContext,
    PathId(id): PathId,
) -> Result<StatusCode, ApiError> {
    let id = id.ok_or_else(missing)?;
    let origin = Origin { identity: &identity, traceparent: context.traceparent };
    let message = events::deleted(origin, id)?;
    let deleted = store::delete(&api.pool, &identity.user_id, id, &message).await?;
    let (version, at) = deleted.ok_or_else(missing)?;
    api.handoff.after_commit([message.stamped(at, version)]);
    metrics::counter!("reminders_deleted_total").increment(1);
    Ok(StatusCode::OK)
}

/// The caller has no such reminder; whether anybody else has is not told.
pub(super) fn missing() -> ApiError {
    ApiError::new(Reason::MissingReminder, "there is no such reminder")
}
