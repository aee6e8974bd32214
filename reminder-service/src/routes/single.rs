//! `GET /reminders/{id}` and `DELETE /reminders/{id}`.

use axum::{Json, extract::State, http::StatusCode};
use rest::{Identity, PathId, RequestContext};
use service::http::{ApiError, ErrorBody, Reason};

use super::{
    Api,
    answer::{ReminderAnswer, answers},
};
use crate::{
    domain::events::{self, Origin},
    store,
};

/// Get a reminder
#[utoipa::path(
    get,
    path = "/reminders/{id}",
    operation_id = "getReminder",
    tag = "reminders",
    params(("id" = String, Path, description = "Id of the reminder")),
    responses(
        (status = 200, body = ReminderAnswer, description = "The reminder"),
        (
            status = 404,
            body = ErrorBody,
            description = "`MISSING_REMINDER`: the caller has no such reminder",
        ),
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
/// Deliveries that no provider has received yet are cancelled.
#[utoipa::path(
    delete,
    path = "/reminders/{id}",
    operation_id = "deleteReminder",
    tag = "reminders",
    params(("id" = String, Path, description = "Id of the reminder")),
    responses(
        (status = 200, description = "The reminder is deleted; the answer is empty"),
        (
            status = 404,
            body = ErrorBody,
            description = "`MISSING_REMINDER`: the caller has no such reminder",
        ),
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
    api.relay_handle.after_commit([message.stamped(at, version)]);
    metrics::counter!("reminders_deleted_total").increment(1);
    Ok(StatusCode::OK)
}

/// Refusal of an id that is not one of the caller's reminders; it does not say if another user has
/// it.
pub(super) fn missing() -> ApiError {
    ApiError::new(Reason::MissingReminder, "there is no such reminder")
}
