//! `POST /reminders/{id}/snooze`.

use axum::{extract::State, response::Response};
use rest::{
    Credentials, Faults, IdempotencyKeyHeader, IfMatch, IfMatchHeader, LenientBody, PathId,
    json::WholeNumber,
};
use serde::Deserialize;
use service::http::{ApiError, ErrorBody, FieldFault};
use utoipa::ToSchema;

use super::{
    AppState,
    answer::ReminderAnswer,
    description::{MissingReminder, NothingDelivered, OtherVersion, ReminderPath},
    examples, respond_reminder, target,
};
use crate::{
    domain::{
        caller::Origin,
        reminder::{GivenTime, InvalidField, SnoozeEnd},
    },
    usecases::snooze_occurrence,
};

/// End of a snooze: exactly one of the fields.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!(examples::snooze()))]
pub(super) struct Snooze {
    /// Minutes from now.
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 527040)]
    minutes: Option<WholeNumber>,
    /// Time in the future, at most a year ahead: RFC 3339 with an offset, or a local time in the
    /// reminder's `timeZone`. If the local time is repeated, it is the next of both.
    #[schema(pattern = r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)?)?$")]
    until: Option<String>,
}

impl Snooze {
    /// Checks the fields; `faults` are those of fields that could not be parsed.
    fn end(self, faults: Vec<FieldFault>) -> Result<SnoozeEnd, ApiError> {
        let mut faults = Faults::begin(faults);
        let after = self.minutes.map(|minutes| SnoozeEnd::after_minutes(minutes.get())).transpose();
        let after = faults.take(after);
        let at = self.until.as_deref().map(|text| GivenTime::parse("until", text)).transpose();
        let at = faults.take(at);
        let is_one = self.minutes.is_some() != self.until.is_some();
        if !is_one && !faults.has("minutes") && !faults.has("until") {
            let problem = "exactly one of minutes and until is required";
            faults.take(Err::<(), _>(InvalidField::new("minutes", problem)));
        }
        faults.or(after.flatten().or(at.flatten().map(SnoozeEnd::At)))
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
    params(ReminderPath, IdempotencyKeyHeader, IfMatchHeader),
    request_body = Snooze,
    responses(
        (
            status = 200,
            body = ReminderAnswer,
            description = "The reminder; `nextAt` is the time of the snooze unless another \
                           delivery is earlier",
        ),
        MissingReminder,
        OtherVersion,
        NothingDelivered,
        (
            status = 422,
            body = ErrorBody,
            description = "`INVALID_DUEDATE`: the time is not in the future, or more than a year \
                           ahead · `IDEMPOTENCY_KEY_REUSED`",
        ),
    ),
)]
pub(super) async fn snooze(
    State(state): State<AppState>,
    origin: Origin,
    credentials: Credentials,
    PathId(id): PathId,
    if_match: IfMatch,
    body: LenientBody<Snooze>,
) -> Result<Response, ApiError> {
    let target = target(id, if_match)?;
    let end = body.value.end(body.faults)?;
    let (resources, key) = (&state.resources, body.key.as_ref());
    let answer =
        snooze_occurrence(resources, &origin, key, target, end, ReminderAnswer::from).await?;
    Ok(respond_reminder(&state, &origin, &credentials, answer).await)
}
