//! `POST /reminders/{id}/snooze` and `POST /reminders/{id}/acknowledge`: what a user does with the
//! latest occurrence.

use axum::{extract::State, response::Response};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use shared::http::{
    ApiError, Body, ErrorBody, Identity, OptionalBody, PathId, Reason, RequestContext,
};
use utoipa::ToSchema;

use super::{
    Api,
    answer::ReminderAnswer,
    examples,
    optimistic_update::{Planned, Work, once},
    single::missing,
};
use crate::{
    events::Origin,
    reminder::{Handled, InvalidField, NothingDelivered, Reminder, instant},
    store::Seen,
};

/// A year: the farthest that an occurrence can be put off.
const MAX_MINUTES: i64 = 527_040;

/// Until when: one of the two.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!(examples::snooze()))]
pub(super) struct Snooze {
    /// Minutes from now.
    #[schema(minimum = 1, maximum = 527040)]
    minutes: Option<i64>,
    /// A time ahead: RFC 3339 with an offset.
    #[schema(format = DateTime)]
    until: Option<String>,
}

/// A body without fields.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

impl Snooze {
    fn until(&self, now: DateTime<Utc>) -> Result<DateTime<Utc>, ApiError> {
        let until = match (self.minutes, &self.until) {
            (Some(minutes), None) if (1..=MAX_MINUTES).contains(&minutes) => {
                now + TimeDelta::minutes(minutes)
            }
            (Some(_), None) => {
                return Err(ApiError::invalid(format!(
                    "minutes: must be between 1 and {MAX_MINUTES}"
                )));
            }
            (None, Some(until)) => instant("until", until)?,
            _ => return Err(InvalidField::new("minutes", "give either minutes or until").into()),
        };
        if until <= now || until > now + TimeDelta::minutes(MAX_MINUTES) {
            return Err(ApiError::new(
                Reason::InvalidDueDate,
                "until: must lie ahead, and at most a year",
            ));
        }
        Ok(DateTime::from_timestamp_millis(until.timestamp_millis()).unwrap_or(until))
    }
}

impl From<NothingDelivered> for ApiError {
    fn from(error: NothingDelivered) -> Self {
        Self::new(Reason::Conflict, error.to_string())
    }
}

/// Let the latest occurrence come once more
///
/// It is delivered once more at the given time, in place of any earlier snooze. Later offsets and
/// occurrences come as they do.
#[utoipa::path(
    post,
    path = "/reminders/{id}/snooze",
    operation_id = "snoozeReminder",
    tag = "reminders",
    params(
        ("id" = String, Path, description = "The reminder's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters, chosen by the client for this request and its repeats"),
    ),
    request_body = Snooze,
    responses(
        (status = 200, description = "The reminder as it is now; `nextAt` is the snooze's time unless something comes before", body = ReminderAnswer),
        (status = 400, description = "`INVALID_REQUEST`: neither or both of the fields, or one is malformed", body = ErrorBody),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
        (status = 404, description = "`MISSING_REMINDER`: the caller has no such reminder", body = ErrorBody),
        (status = 409, description = "`CONFLICT`: nothing of it was delivered yet", body = ErrorBody),
        (status = 422, description = "`INVALID_DUEDATE`: the time is not ahead · `IDEMPOTENCY_KEY_REUSED`", body = ErrorBody),
        (status = 503, description = "`UPSTREAM_UNAVAILABLE`: try again after `Retry-After`", body = ErrorBody),
    ),
)]
pub(super) async fn snooze(
    State(api): State<Api>,
    identity: Identity,
    context: RequestContext,
    PathId(id): PathId,
    body: Body<Snooze>,
) -> Result<Response, ApiError> {
    let id = id.ok_or_else(missing)?;
    let origin = Origin { identity: &identity, traceparent: context.traceparent };
    let asked = body.value;
    let plan = move |seen| {
        handled(seen, |reminder, now| {
            let until = asked.until(now)?;
            Ok(reminder.snooze(now, until)?)
        })
    };
    once(&api, origin, body.key.as_ref(), Work { id, has_rule: false, plan }).await
}

/// The reminder with what its user does with the latest occurrence.
fn handled(
    seen: Seen<Reminder>,
    handle: impl FnOnce(&Reminder, DateTime<Utc>) -> Result<Handled, ApiError>,
) -> Result<Planned, ApiError> {
    let Seen { value: before, now } = seen;
    let mut after = before.clone();
    after.handled = handle(&before, now)?;
    Ok(Planned::new(&before, after, now, false))
}

/// Acknowledge the latest occurrence
///
/// Its later offsets, and a snooze of it, are not delivered any more. Later occurrences come as
/// they do.
#[utoipa::path(
    post,
    path = "/reminders/{id}/acknowledge",
    operation_id = "acknowledgeReminder",
    tag = "reminders",
    params(
        ("id" = String, Path, description = "The reminder's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters, chosen by the client for this request and its repeats"),
    ),
    responses(
        (status = 200, description = "The reminder as it is now", body = ReminderAnswer),
        (status = 400, description = "`INVALID_REQUEST`: the body has fields", body = ErrorBody),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
        (status = 404, description = "`MISSING_REMINDER`: the caller has no such reminder", body = ErrorBody),
        (status = 409, description = "`CONFLICT`: nothing of it was delivered yet", body = ErrorBody),
        (status = 422, description = "`IDEMPOTENCY_KEY_REUSED`", body = ErrorBody),
        (status = 503, description = "`UPSTREAM_UNAVAILABLE`: try again after `Retry-After`", body = ErrorBody),
    ),
)]
pub(super) async fn acknowledge(
    State(api): State<Api>,
    identity: Identity,
    context: RequestContext,
    PathId(id): PathId,
    body: OptionalBody<Nothing>,
) -> Result<Response, ApiError> {
    let id = id.ok_or_else(missing)?;
    let origin = Origin { identity: &identity, traceparent: context.traceparent };
    let plan = |seen| handled(seen, |reminder, now| Ok(reminder.acknowledge(now)?));
    once(&api, origin, body.key.as_ref(), Work { id, has_rule: false, plan }).await
}
