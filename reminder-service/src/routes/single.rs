//! `GET /reminders/{id}` and `DELETE /reminders/{id}`.

use axum::{Json, extract::State, http::StatusCode};
use rest::{Identity, PathId};
use service::http::ApiError;

use super::{
    AppState,
    answer::{ReminderAnswer, answers},
    description::{MissingReminder, ReminderPath},
    error::missing,
};
use crate::{domain::caller::Origin, store, usecases::delete_reminder};

/// Get a reminder
#[utoipa::path(
    get,
    path = "/reminders/{id}",
    operation_id = "getReminder",
    tag = "reminders",
    params(ReminderPath),
    responses(
        (status = 200, body = ReminderAnswer, description = "The reminder"),
        MissingReminder,
    ),
)]
pub(super) async fn get(
    State(state): State<AppState>,
    identity: Identity,
    PathId(id): PathId,
) -> Result<Json<ReminderAnswer>, ApiError> {
    let id = id.ok_or_else(missing)?;
    let seen = store::get(&state.resources.pool, &identity.user_id, id).await?;
    let seen = seen.ok_or_else(missing)?;
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
    params(ReminderPath),
    responses(
        (status = 200, description = "The reminder is deleted; the answer is empty"),
        MissingReminder,
    ),
)]
pub(super) async fn delete(
    State(state): State<AppState>,
    origin: Origin,
    PathId(id): PathId,
) -> Result<StatusCode, ApiError> {
    let id = id.ok_or_else(missing)?;
    delete_reminder(&state.resources, &origin, id).await?;
    Ok(StatusCode::OK)
}
