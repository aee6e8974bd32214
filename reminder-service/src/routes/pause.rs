//! `POST /reminders/{id}/pause` and `POST /reminders/{id}/resume`.

use axum::{extract::State, response::Response};
use rest::{Credentials, IdempotencyKeyHeader, IfMatch, IfMatchHeader, OptionalBody, PathId};
use service::http::{ApiError, ErrorBody};

use super::{
    AppState,
    acknowledge::EmptyBody,
    answer::ReminderAnswer,
    description::{MissingReminder, OtherVersion, ReminderPath},
    respond_reminder, target,
};
use crate::{
    domain::caller::Origin,
    usecases::{pause_reminder, resume_reminder},
};

/// Pause a reminder
///
/// Nothing is delivered until the reminder is resumed: pending deliveries and a snooze are
/// cancelled, and what falls into the pause is not delivered later. One that is paused already
/// stays as it is.
#[utoipa::path(
    post,
    path = "/reminders/{id}/pause",
    operation_id = "pauseReminder",
    tag = "reminders",
    params(ReminderPath, IdempotencyKeyHeader, IfMatchHeader),
    responses(
        (
            status = 200,
            body = ReminderAnswer,
            description = "The reminder: `status` is `paused`, `nextAt` is `null`",
        ),
        (status = 400, body = ErrorBody, description = "`INVALID_REQUEST`: the body has fields"),
        MissingReminder,
        OtherVersion,
    ),
)]
pub(super) async fn pause(
    State(state): State<AppState>,
    origin: Origin,
    credentials: Credentials,
    PathId(id): PathId,
    if_match: IfMatch,
    body: OptionalBody<EmptyBody>,
) -> Result<Response, ApiError> {
    let target = target(id, if_match)?;
    let (resources, key) = (&state.resources, body.key.as_ref());
    let answer = pause_reminder(resources, &origin, key, target, ReminderAnswer::from).await?;
    Ok(respond_reminder(&state, &origin, &credentials, answer).await)
}

/// Resume a paused reminder
///
/// It is delivered again from the next delivery time on. Occurrences of before can no longer be
/// snoozed or acknowledged. One that is not paused stays as it is.
#[utoipa::path(
    post,
    path = "/reminders/{id}/resume",
    operation_id = "resumeReminder",
    tag = "reminders",
    params(ReminderPath, IdempotencyKeyHeader, IfMatchHeader),
    responses(
        (status = 200, body = ReminderAnswer, description = "The reminder"),
        (status = 400, body = ErrorBody, description = "`INVALID_REQUEST`: the body has fields"),
        MissingReminder,
        OtherVersion,
    ),
)]
pub(super) async fn resume(
    State(state): State<AppState>,
    origin: Origin,
    credentials: Credentials,
    PathId(id): PathId,
    if_match: IfMatch,
    body: OptionalBody<EmptyBody>,
) -> Result<Response, ApiError> {
    let target = target(id, if_match)?;
    let (resources, key) = (&state.resources, body.key.as_ref());
    let answer = resume_reminder(resources, &origin, key, target, ReminderAnswer::from).await?;
    Ok(respond_reminder(&state, &origin, &credentials, answer).await)
}
