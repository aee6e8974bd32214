//! `POST /reminders/{id}` and `PATCH /reminders/{id}`.

use axum::{extract::State, response::Response};
use rest::{IdempotencyKeyHeader, Identity, LenientBody, PathId, RequestContext};
use service::http::{ApiError, ErrorBody};
use uuid::Uuid;

use super::{
    Api,
    answer::ReminderAnswer,
    body::{NEVER_FIRES, ReminderChange},
    create::no_delivery_ahead,
    optimistic_update::{Plan, Update, update},
    single::missing,
};
use crate::{
    domain::{
        email_addresses::check_channels,
        events::Origin,
        reminder::{Change, Handled, InvalidRecurrence, Reminder, Status},
    },
    store::Seen,
};

/// Change a reminder
///
/// Fields that are left out stay unchanged.
#[utoipa::path(
    post,
    path = "/reminders/{id}",
    operation_id = "updateReminder",
    tag = "reminders",
    params(("id" = String, Path, description = "Id of the reminder"), IdempotencyKeyHeader),
    request_body = ReminderChange,
    responses(
        (status = 200, body = ReminderAnswer, description = "The reminder after the change"),
        (
            status = 403,
            body = ErrorBody,
            description = "`PERMISSION_DENIED`: the caller's e-mail address is not verified",
        ),
        (
            status = 404,
            body = ErrorBody,
            description = "`MISSING_REMINDER`: the caller has no such reminder",
        ),
        (
            status = 422,
            body = ErrorBody,
            description = "`INVALID_DUEDATE`: the schedule changes, and no delivery is in the \
                           future · `INVALID_RECURRENCE` · `IDEMPOTENCY_KEY_REUSED`",
        ),
    ),
)]
pub(super) async fn post(
    State(api): State<Api>,
    identity: Identity,
    context: RequestContext,
    PathId(id): PathId,
    body: LenientBody<ReminderChange>,
) -> Result<Response, ApiError> {
    change(&api, &identity, &context, id, body).await
}

/// Change a reminder (`PATCH`)
///
/// Same as the `POST`, without an `Idempotency-Key`.
#[utoipa::path(
    patch,
    path = "/reminders/{id}",
    operation_id = "patchReminder",
    tag = "reminders",
    params(("id" = String, Path, description = "Id of the reminder")),
    request_body = ReminderChange,
    responses(
        (status = 200, body = ReminderAnswer, description = "The reminder after the change"),
        (
            status = 403,
            body = ErrorBody,
            description = "`PERMISSION_DENIED`: the caller's e-mail address is not verified",
        ),
        (
            status = 404,
            body = ErrorBody,
            description = "`MISSING_REMINDER`: the caller has no such reminder",
        ),
        (
            status = 422,
            body = ErrorBody,
            description = "`INVALID_DUEDATE`: the schedule changes, and no delivery is in the \
                           future · `INVALID_RECURRENCE`",
        ),
    ),
)]
pub(super) async fn patch(
    State(api): State<Api>,
    identity: Identity,
    context: RequestContext,
    PathId(id): PathId,
    body: LenientBody<ReminderChange>,
) -> Result<Response, ApiError> {
    change(&api, &identity, &context, id, body).await
}

async fn change(
    api: &Api,
    identity: &Identity,
    context: &RequestContext,
    id: Option<Uuid>,
    body: LenientBody<ReminderChange>,
) -> Result<Response, ApiError> {
    let id = id.ok_or_else(missing)?;
    let change = body.value.change(body.faults)?;
    let origin = Origin { identity, traceparent: context.traceparent };
    let has_rule = change.recurrence.as_ref().is_some_and(Option::is_some);
    let caller = identity.clone();
    let plan = move |seen| changed(seen, change.clone(), &caller);
    update(api, origin, body.key.as_ref(), Update { id, has_rule, plan }).await
}

/// Plans a change of the fields of a reminder.
fn changed(seen: Seen<Reminder>, change: Change, identity: &Identity) -> Result<Plan, ApiError> {
    let Seen { value: before, now } = seen;
    let mut after = before.clone();
    after.details = after.details.with(change)?;
    let schedule = &after.details.schedule;
    let is_rescheduled = *schedule != before.details.schedule;
    if is_rescheduled {
        if !schedule.fires() {
            return Err(InvalidRecurrence(NEVER_FIRES.to_owned()).into());
        }
        if schedule.status(now) == Status::Completed {
            return Err(no_delivery_ahead());
        }
        // A new schedule has other occurrences: acknowledgement and snooze of the old ones are
        // reset.
        after.handled = Handled::default();
    }
    check_channels(&after.details.channels, identity)?;
    Ok(Plan::new(&before, after, now, is_rescheduled))
}
