//! `POST /reminders/{id}` and `PATCH /reminders/{id}`.

use axum::{extract::State, response::Response};
use shared::http::{ApiError, ErrorBody, Identity, LenientBody, PathId, RequestContext};
use uuid::Uuid;

use super::{
    Api,
    answer::ReminderAnswer,
    body::ReminderChange,
    create::nothing_ahead,
    optimistic_update::{Planned, Work, once},
    single::missing,
};
use crate::{
    addresses::reach,
    events::Origin,
    reminder::{Change, Handled, InvalidRecurrence, Reminder, Status},
    store::Seen,
};

/// Change a reminder
///
/// What is left out stays as it is.
#[utoipa::path(
    post,
    path = "/reminders/{id}",
    operation_id = "updateReminder",
    tag = "reminders",
    params(
        ("id" = String, Path, description = "The reminder's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters, chosen by the client for this request and its repeats"),
    ),
    request_body = ReminderChange,
    responses(
        (status = 200, description = "The reminder as it is now", body = ReminderAnswer),
        (status = 400, description = "`INVALID_REQUEST`: a field is malformed or unknown; the message names it", body = ErrorBody),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
        (status = 403, description = "`PERMISSION_DENIED`: e-mail to an address that the token says is not verified", body = ErrorBody),
        (status = 404, description = "`MISSING_REMINDER`: the caller has no such reminder", body = ErrorBody),
        (status = 413, description = "`PAYLOAD_TOO_LARGE`", body = ErrorBody),
        (status = 422, description = "`INVALID_DUEDATE`: the schedule changes and no delivery lies ahead · `INVALID_RECURRENCE` · `IDEMPOTENCY_KEY_REUSED`", body = ErrorBody),
        (status = 503, description = "`UPSTREAM_UNAVAILABLE`: try again after `Retry-After`", body = ErrorBody),
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

/// Change a reminder
///
/// The same as the POST.
#[utoipa::path(
    patch,
    path = "/reminders/{id}",
    operation_id = "patchReminder",
    tag = "reminders",
    params(("id" = String, Path, description = "The reminder's id")),
    request_body = ReminderChange,
    responses(
        (status = 200, description = "The reminder as it is now", body = ReminderAnswer),
        (status = 400, description = "`INVALID_REQUEST`: a field is malformed or unknown; the message names it", body = ErrorBody),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
        (status = 403, description = "`PERMISSION_DENIED`: e-mail to an address that the token says is not verified", body = ErrorBody),
        (status = 404, description = "`MISSING_REMINDER`: the caller has no such reminder", body = ErrorBody),
        (status = 413, description = "`PAYLOAD_TOO_LARGE`", body = ErrorBody),
        (status = 422, description = "`INVALID_DUEDATE`: the schedule changes and no delivery lies ahead · `INVALID_RECURRENCE`", body = ErrorBody),
        (status = 503, description = "`UPSTREAM_UNAVAILABLE`: try again after `Retry-After`", body = ErrorBody),
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
    once(api, origin, body.key.as_ref(), Work { id, has_rule, plan }).await
}

/// The reminder as a change of its fields makes it.
fn changed(seen: Seen<Reminder>, change: Change, identity: &Identity) -> Result<Planned, ApiError> {
    let Seen { value: before, now } = seen;
    let mut after = before.clone();
    after.details = after.details.with(change)?;
    let schedule = &after.details.schedule;
    let is_rescheduled = *schedule != before.details.schedule;
    if is_rescheduled {
        if !schedule.fires() {
            return Err(InvalidRecurrence("recurrence.rrule: it never fires".to_owned()).into());
        }
        if schedule.status(now) == Status::Completed {
            return Err(nothing_ahead());
        }
        // Another schedule has other occurrences: what was done with the old ones means nothing to
        // it.
        after.handled = Handled::default();
    }
    reach(&after.details.channels, identity)?;
    Ok(Planned::new(&before, after, now, is_rescheduled))
}
