//! `POST /reminders/{id}/snooze`.

use axum::{extract::State, response::Response};
use chrono::{DateTime, TimeDelta, Utc};
use rest::{
    Faults, IdempotencyKeyHeader, Identity, LenientBody, PathId, RequestContext, json::WholeNumber,
};
use serde::Deserialize;
use service::http::{ApiError, ErrorBody, FieldFault, Reason};
use utoipa::ToSchema;

use super::{
    Api,
    acknowledge::plan_action,
    answer::ReminderAnswer,
    examples,
    optimistic_update::{Update, update},
    single::missing,
};
use crate::domain::{
    events::Origin,
    reminder::{InvalidField, instant},
};

/// Longest snooze: a year.
const MAX_MINUTES: i64 = 527_040;

/// End of a snooze: exactly one of the fields.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!(examples::snooze()))]
pub(super) struct Snooze {
    /// Minutes from now.
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 527040)]
    minutes: Option<WholeNumber>,
    /// Time in the future, at most a year ahead: RFC 3339 with an offset.
    #[schema(format = DateTime)]
    until: Option<String>,
}

/// End of a snooze with valid fields.
#[derive(Debug, Clone, Copy)]
enum End {
    After(TimeDelta),
    At(DateTime<Utc>),
}

impl Snooze {
    /// Checks the fields; `faults` are those of fields that could not be parsed.
    fn end(self, faults: Vec<FieldFault>) -> Result<End, ApiError> {
        let mut faults = Faults::begin(faults);
        let after = faults.take(self.minutes.map(minutes).transpose());
        let at = faults.take(self.until.as_deref().map(|text| instant("until", text)).transpose());
        let is_one = self.minutes.is_some() != self.until.is_some();
        if !is_one && !faults.has("minutes") && !faults.has("until") {
            let problem = "exactly one of minutes and until is required";
            faults.take(Err::<(), _>(InvalidField::new("minutes", problem)));
        }
        let after = after.flatten().map(End::After);
        faults.or(after.or(at.flatten().map(End::At)))
    }
}

fn minutes(minutes: WholeNumber) -> Result<TimeDelta, InvalidField> {
    let minutes = minutes.get();
    if (1..=MAX_MINUTES).contains(&minutes) {
        return Ok(TimeDelta::minutes(minutes));
    }
    Err(InvalidField::new("minutes", format!("must be between 1 and {MAX_MINUTES}")))
}

impl End {
    fn at(self, now: DateTime<Utc>) -> Result<DateTime<Utc>, ApiError> {
        let end = match self {
            Self::After(delay) => now + delay,
            Self::At(at) => at,
        };
        if end <= now || end > now + TimeDelta::minutes(MAX_MINUTES) {
            return Err(ApiError::field(
                Reason::InvalidDueDate,
                "until",
                "must be in the future, and at most a year ahead",
            ));
        }
        Ok(DateTime::from_timestamp_millis(end.timestamp_millis()).unwrap_or(end))
    }
}

/// Snooze the latest occurrence
///
/// The occurrence is delivered once more at the given time; an earlier snooze is replaced. Its
/// later offsets and later occurrences are delivered as usual.
#[utoipa::path(
    post,
    path = "/reminders/{id}/snooze",
    operation_id = "snoozeReminder",
    tag = "reminders",
    params(("id" = String, Path, description = "Id of the reminder"), IdempotencyKeyHeader),
    request_body = Snooze,
    responses(
        (
            status = 200,
            body = ReminderAnswer,
            description = "The reminder; `nextAt` is the time of the snooze unless another \
                           delivery is earlier",
        ),
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
        (
            status = 422,
            body = ErrorBody,
            description = "`INVALID_DUEDATE`: the time is not in the future, or more than a year \
                           ahead · `IDEMPOTENCY_KEY_REUSED`",
        ),
    ),
)]
pub(super) async fn snooze(
    State(api): State<Api>,
    identity: Identity,
    context: RequestContext,
    PathId(id): PathId,
    body: LenientBody<Snooze>,
) -> Result<Response, ApiError> {
    let id = id.ok_or_else(missing)?;
    let origin = Origin { identity: &identity, traceparent: context.traceparent };
    let end = body.value.end(body.faults)?;
    let plan =
        move |seen| plan_action(seen, |reminder, now| Ok(reminder.snooze(now, end.at(now)?)?));
    update(&api, origin, body.key.as_ref(), Update { id, has_rule: false, plan }).await
}
