//! `GET /reminders/{id}` and `DELETE /reminders/{id}`.

use axum::{
    Json,
    extract::State,
    http::{HeaderName, HeaderValue, StatusCode, header::ETAG},
};
use rest::{Credentials, Identity, IfMatch, IfMatchHeader, PathId, entity_tag};
use service::http::ApiError;

use super::{
    AppState,
    answer::{ReminderAnswer, answers, show_last_outcomes},
    description::{MissingReminder, OtherVersion, ReminderPath},
    error::missing,
    target,
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
        (
            status = 200,
            body = ReminderAnswer,
            headers(("ETag" = String, description = "The version in quotes, for `If-Match`")),
            description = "The reminder",
        ),
        MissingReminder,
    ),
)]
pub(super) async fn get(
    State(state): State<AppState>,
    identity: Identity,
    Credentials(credentials): Credentials,
    PathId(id): PathId,
) -> Result<([(HeaderName, HeaderValue); 1], Json<ReminderAnswer>), ApiError> {
    let id = id.ok_or_else(missing)?;
    let seen = store::get(&state.resources.pool, &identity.user_id, id).await?;
    let seen = seen.ok_or_else(missing)?;
    let user_id = &identity.user_id;
    let mut answer = answers(user_id, vec![seen]).await?.pop().ok_or_else(missing)?;
    let reminders = std::iter::once(&mut answer);
    show_last_outcomes(&state.resources, user_id, &credentials, reminders).await;
    Ok(([(ETAG, entity_tag(answer.version()))], Json(answer)))
}

/// Delete a reminder
///
/// Deliveries that no provider has received yet are cancelled.
#[utoipa::path(
    delete,
    path = "/reminders/{id}",
    operation_id = "deleteReminder",
    tag = "reminders",
    params(ReminderPath, IfMatchHeader),
    responses(
        (status = 200, description = "The reminder is deleted; the answer is empty"),
        MissingReminder,
        OtherVersion,
    ),
)]
pub(super) async fn delete(
    State(state): State<AppState>,
    origin: Origin,
    PathId(id): PathId,
    if_match: IfMatch,
) -> Result<StatusCode, ApiError> {
    delete_reminder(&state.resources, &origin, &target(id, if_match)?).await?;
    Ok(StatusCode::OK)
}
