//! `POST /reminders`.

use axum::{extract::State, http::StatusCode, response::Response};
use rest::{Credentials, IdempotencyKeyHeader, LenientBody};
use serde::Serialize;
use service::http::{ApiError, ErrorBody};
use utoipa::ToSchema;

use super::{AppState, body::NewReminder, description::NoUserZone, respond};
use crate::{
    domain::caller::Origin,
    usecases::{create_reminder, off_thread, read_user_zone},
};

/// Id of a reminder that was created.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"id": "01979a3c7e2f7c41b1d1e0a5d2c3f4a5"}))]
pub(super) struct CreatedReminder {
    /// Id of the reminder.
    pub(super) id: String,
}

impl CreatedReminder {
    pub(super) fn of(id: uuid::Uuid) -> Self {
        Self { id: id.simple().to_string() }
    }
}

/// Create a reminder
///
/// The reminder and its event are stored in one transaction.
#[utoipa::path(
    post,
    path = "/reminders",
    operation_id = "createReminder",
    tag = "reminders",
    params(IdempotencyKeyHeader),
    request_body = NewReminder,
    responses(
        (
            status = 201,
            body = CreatedReminder,
            description = "The reminder was created, now or by an earlier request with the same \
                           `Idempotency-Key` (then with `Idempotent-Replayed: true`)",
        ),
        (
            status = 403,
            body = ErrorBody,
            description = "`PERMISSION_DENIED`: the caller's e-mail address is not verified",
        ),
        (
            status = 422,
            body = ErrorBody,
            description = "`INVALID_DUEDATE`: no delivery is in the future · \
                           `INVALID_RECURRENCE` · `IDEMPOTENCY_KEY_REUSED`",
        ),
        (
            status = 429,
            body = ErrorBody,
            description = "`RATE_LIMITED`: too many requests, or the caller has the largest \
                           number of reminders; try again after `Retry-After`",
        ),
        NoUserZone,
    ),
)]
pub(super) async fn create(
    State(state): State<AppState>,
    origin: Origin,
    Credentials(credentials): Credentials,
    LenientBody { value, faults, key }: LenientBody<NewReminder>,
) -> Result<Response, ApiError> {
    let zone = read_user_zone(&state.resources, &credentials, value.needs_zone()).await?;
    let details = if value.recurs() {
        off_thread(&origin.caller.user_id, move || value.details(faults, zone)).await??
    } else {
        value.details(faults, zone)?
    };
    let (resources, key) = (&state.resources, key.as_ref());
    let answer = create_reminder(resources, &origin, key, &details, CreatedReminder::of).await?;
    Ok(respond(StatusCode::CREATED, answer))
}
