//! `POST /reminders/{id}` and `PATCH /reminders/{id}`.

use axum::{extract::State, response::Response};
use rest::{Credentials, IdempotencyKeyHeader, IfMatch, IfMatchHeader, LenientBody, PathId};
use service::http::{ApiError, ErrorBody};

use super::{
    AppState,
    answer::ReminderAnswer,
    body::ReminderChange,
    description::{MissingReminder, NoUserZone, OtherVersion, ReminderPath},
    respond_reminder, target,
};
use crate::{
    domain::{caller::Origin, precondition::Target},
    usecases::{change_reminder, read_user_zone},
};

/// Change a reminder
///
/// Fields that are left out stay unchanged.
#[utoipa::path(
    post,
    path = "/reminders/{id}",
    operation_id = "updateReminder",
    tag = "reminders",
    params(ReminderPath, IdempotencyKeyHeader, IfMatchHeader),
    request_body = ReminderChange,
    responses(
        (status = 200, body = ReminderAnswer, description = "The reminder after the change"),
        (
            status = 403,
            body = ErrorBody,
            description = "`PERMISSION_DENIED`: the caller's e-mail address is not verified",
        ),
        MissingReminder,
        OtherVersion,
        NoUserZone,
        (
            status = 422,
            body = ErrorBody,
            description = "`INVALID_DUEDATE`: the schedule changes, and no delivery is in the \
                           future · `INVALID_RECURRENCE` · `IDEMPOTENCY_KEY_REUSED`",
        ),
    ),
)]
pub(super) async fn post(
    State(state): State<AppState>,
    origin: Origin,
    credentials: Credentials,
    PathId(id): PathId,
    if_match: IfMatch,
    body: LenientBody<ReminderChange>,
) -> Result<Response, ApiError> {
    change(&state, &origin, &credentials, target(id, if_match)?, body).await
}

/// Change a reminder (`PATCH`)
///
/// Same as the `POST`, without an `Idempotency-Key`.
#[utoipa::path(
    patch,
    path = "/reminders/{id}",
    operation_id = "patchReminder",
    tag = "reminders",
    params(ReminderPath, IfMatchHeader),
    request_body = ReminderChange,
    responses(
        (status = 200, body = ReminderAnswer, description = "The reminder after the change"),
        (
            status = 403,
            body = ErrorBody,
            description = "`PERMISSION_DENIED`: the caller's e-mail address is not verified",
        ),
        MissingReminder,
        OtherVersion,
        NoUserZone,
        (
            status = 422,
            body = ErrorBody,
            description = "`INVALID_DUEDATE`: the schedule changes, and no delivery is in the \
                           future · `INVALID_RECURRENCE`",
        ),
    ),
)]
pub(super) async fn patch(
    State(state): State<AppState>,
    origin: Origin,
    credentials: Credentials,
    PathId(id): PathId,
    if_match: IfMatch,
    body: LenientBody<ReminderChange>,
) -> Result<Response, ApiError> {
    change(&state, &origin, &credentials, target(id, if_match)?, body).await
}

async fn change(
    state: &AppState,
    origin: &Origin,
    credentials: &Credentials,
    target: Target,
    body: LenientBody<ReminderChange>,
) -> Result<Response, ApiError> {
    let needs_zone = body.value.needs_zone();
    let zone = read_user_zone(&state.resources, &credentials.0, needs_zone).await?;
    let change = body.value.change(body.faults, zone)?;
    let (resources, key) = (&state.resources, body.key.as_ref());
    let answer =
        change_reminder(resources, origin, key, target, change, ReminderAnswer::from).await?;
    Ok(respond_reminder(state, origin, credentials, answer).await)
}
