//! `POST /reminders/{id}/acknowledge`.

use axum::{extract::State, response::Response};
use chrono::{DateTime, Utc};
use rest::{IdempotencyKeyHeader, Identity, OptionalBody, PathId, RequestContext};
use serde::Deserialize;
use service::http::{ApiError, ErrorBody, Reason};

use super::{
    Api,
    answer::ReminderAnswer,
    optimistic_update::{Plan, Update, update},
    single::missing,
};
use crate::{
    domain::{
        events::Origin,
        reminder::{Handled, NothingDelivered, Reminder},
    },
    store::Seen,
};

/// A body without fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EmptyBody {}

impl From<NothingDelivered> for ApiError {
    fn from(error: NothingDelivered) -> Self {
        Self::new(Reason::Conflict, error.to_string())
    }
}

/// Acknowledge the latest occurrence
///
/// The later offsets and a snooze of the occurrence are cancelled. Later occurrences are delivered
/// as usual.
#[utoipa::path(
    post,
    path = "/reminders/{id}/acknowledge",
    operation_id = "acknowledgeReminder",
    tag = "reminders",
    params(("id" = String, Path, description = "Id of the reminder"), IdempotencyKeyHeader),
    responses(
        (status = 200, body = ReminderAnswer, description = "The reminder"),
        (status = 400, body = ErrorBody, description = "`INVALID_REQUEST`: the body has fields"),
        (
            status = 404,
            body = ErrorBody,
            description = "`MISSING_REMINDER`: the caller has no such reminder",
        ),
        (
            status = 409,
            body = ErrorBody,
            description = "`CONFLICT`: no occurrence of the reminder was delivered yet",
        ),
    ),
)]
pub(super) async fn acknowledge(
    State(api): State<Api>,
    identity: Identity,
    context: RequestContext,
    PathId(id): PathId,
    body: OptionalBody<EmptyBody>,
) -> Result<Response, ApiError> {
    let id = id.ok_or_else(missing)?;
    let origin = Origin { identity: &identity, traceparent: context.traceparent };
    let plan = |seen| plan_action(seen, |reminder, now| Ok(reminder.acknowledge(now)?));
    update(&api, origin, body.key.as_ref(), Update { id, has_rule: false, plan }).await
}

/// Plans an acknowledgement or a snooze of the latest occurrence.
pub(super) fn plan_action(
    seen: Seen<Reminder>,
    action: impl FnOnce(&Reminder, DateTime<Utc>) -> Result<Handled, ApiError>,
) -> Result<Plan, ApiError> {
    let Seen { value: before, now } = seen;
    let mut after = before.clone();
    after.handled = action(&before, now)?;
    Ok(Plan::new(&before, after, now, false))
}
