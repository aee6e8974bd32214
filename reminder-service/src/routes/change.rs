//! `POST /reminders/{id}` and `PATCH /reminders/{id}`.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use shared::http::{
    ApiError, ErrorBody, Identity, LenientBody, PathId, RequestContext,
    idempotency::{self, IdempotencyKey, Known},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Api, answer::ReminderAnswer, body::ReminderChange, create::nothing_ahead, single::missing};
use crate::{
    addresses::reach,
    events::{self, Origin, Unstamped},
    reminder::{Change, Handled, InvalidRecurrence, Reminder, Status},
    store::{self, Seen},
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
    once(api, origin, body.key.as_ref(), async |connection| apply(connection, origin, id, change).await).await
}

/// Makes a change once, however often its request comes, and answers with the reminder as it is then.
pub(super) async fn once(
    api: &Api,
    origin: Origin<'_>,
    key: Option<&IdempotencyKey>,
    change: impl AsyncFnOnce(&mut PgConnection) -> Result<(Seen<Reminder>, Unstamped), ApiError>,
) -> Result<Response, ApiError> {
    let user_id = &origin.identity.user_id;
    let mut transaction = api.pool.begin().await?;
    if let Some(key) = key
        && let Known::Answered(replay) = idempotency::begin(&mut transaction, user_id, key).await?
    {
        return Ok(replay.into_response());
    }
    let (seen, message) = change(&mut transaction).await?;
    api.addresses.accept(&mut *transaction, origin.identity, &seen.value.details.channels).await?;
    let (at, version) = (seen.value.updated_at, seen.value.version);
    let answer = ReminderAnswer::from(seen);
    if let Some(key) = key {
        idempotency::finish(&mut transaction, user_id, key, StatusCode::OK, Some(&answer)).await?;
    }
    transaction.commit().await?;
    api.handoff.after_commit([message.stamped(at, version)]);
    metrics::counter!("reminders_updated_total").increment(1);
    Ok(Json(answer).into_response())
}

/// Makes the change in the caller's transaction; the reminder as it is then.
async fn apply(
    connection: &mut PgConnection,
    origin: Origin<'_>,
    id: Uuid,
    change: Change,
) -> Result<(Seen<Reminder>, Unstamped), ApiError> {
    let seen = store::lock(connection, &origin.identity.user_id, id).await?.ok_or_else(missing)?;
    let Seen { value: mut reminder, now } = seen;
    let schedule_before = reminder.details.schedule.clone();
    reminder.details = reminder.details.with(change)?;
    let schedule = &reminder.details.schedule;
    let is_rescheduled = *schedule != schedule_before;
    if is_rescheduled {
        if !schedule.fires() {
            return Err(InvalidRecurrence("recurrence.rrule: it never fires".to_owned()).into());
        }
        if schedule.status(now) == Status::Completed {
            return Err(nothing_ahead());
        }
        // Another schedule has other occurrences: what was done with the old ones means nothing to it.
        reminder.handled = Handled::default();
    }
    reach(&reminder.details.channels, origin.identity)?;
    keep(connection, origin, Seen { value: reminder, now }, is_rescheduled).await
}

/// Keeps a reminder as it has become, under another schedule or the same, with the message that tells of it, in the caller's
/// transaction.
pub(super) async fn keep(
    connection: &mut PgConnection,
    origin: Origin<'_>,
    seen: Seen<Reminder>,
    is_rescheduled: bool,
) -> Result<(Seen<Reminder>, Unstamped), ApiError> {
    let Seen { value: mut reminder, now } = seen;
    let message = events::updated(origin, reminder.id, &reminder.details, reminder.handled)?;
    (reminder.version, reminder.updated_at) = store::update(connection, &reminder, is_rescheduled, &message).await?;
    Ok((Seen { value: reminder, now }, message))
}
