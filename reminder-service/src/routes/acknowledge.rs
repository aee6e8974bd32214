//! `POST /reminders/{id}/acknowledge`.

use axum::{extract::State, response::Response};
use rest::{Credentials, IdempotencyKeyHeader, IfMatch, IfMatchHeader, OptionalBody, PathId};
use serde::Deserialize;
use service::http::{ApiError, ErrorBody};

use super::{
    AppState,
    answer::ReminderAnswer,
    description::{MissingReminder, NothingDelivered, OtherVersion, ReminderPath},
    respond_reminder, target,
};
use crate::{domain::caller::Origin, usecases::acknowledge_occurrence};

/// A body without fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EmptyBody {}

/// Acknowledge the latest occurrence
///
/// The later offsets and a snooze of the occurrence are cancelled. Later occurrences are delivered
/// as usual.
#[utoipa::path(
    post,
    path = "/reminders/{id}/acknowledge",
    operation_id = "acknowledgeReminder",
    tag = "reminders",
    params(ReminderPath, IdempotencyKeyHeader, IfMatchHeader),
    responses(
        (status = 200, body = ReminderAnswer, description = "The reminder"),
        (status = 400, body = ErrorBody, description = "`INVALID_REQUEST`: the body has fields"),
        MissingReminder,
        OtherVersion,
        NothingDelivered,
    ),
)]
pub(super) async fn acknowledge(
    State(state): State<AppState>,
    origin: Origin,
    credentials: Credentials,
    PathId(id): PathId,
    if_match: IfMatch,
    body: OptionalBody<EmptyBody>,
) -> Result<Response, ApiError> {
    let target = target(id, if_match)?;
    let (resources, key) = (&state.resources, body.key.as_ref());
    let answer =
        acknowledge_occurrence(resources, &origin, key, target, ReminderAnswer::from).await?;
    Ok(respond_reminder(&state, &origin, &credentials, answer).await)
}
