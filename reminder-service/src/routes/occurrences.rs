//! `GET /reminders/{id}/occurrences` and `POST /reminders/preview`: upcoming occurrences.

use axum::{Json, extract::State};
use chrono::{DateTime, NaiveDateTime, Utc};
use rest::{Credentials, Faults, Identity, LenientBody, LenientParams, PathId};
use serde::{Deserialize, Serialize};
use service::http::{ApiError, ErrorBody, FieldFault};
use time_zone::Zone;
use utoipa::{IntoParams, ToSchema};

use super::{
    AppState,
    answer::{local_time, time},
    body::NewReminder,
    description::{MissingReminder, NoUserZone, ReminderPath},
    error::missing,
    examples,
};
use crate::{
    domain::reminder::{InvalidField, TimeZone, Upcoming, instant},
    store,
    usecases::{off_thread, read_user_zone},
};

const DEFAULT_LIMIT: i64 = 10;
const MAX_LIMIT: i64 = 100;

/// Query for occurrences.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// Only occurrences strictly after this time; now by default. RFC 3339 with an offset, whose
    /// `+` is encoded as `%2B`.
    #[param(format = DateTime)]
    from: Option<String>,
    /// Largest number of occurrences.
    #[param(minimum = 1, maximum = 100, default = 10)]
    limit: Option<i64>,
}

/// Occurrences in chronological order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!(examples::occurrences()))]
pub(super) struct Occurrences {
    /// At most `limit` occurrences.
    occurrences: Vec<Occurrence>,
}

/// One occurrence.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Occurrence {
    /// Due time.
    #[serde(serialize_with = "time")]
    at: DateTime<Utc>,
    /// Due time on the wall clock of the reminder's `timeZone`, without an offset.
    #[serde(serialize_with = "local_time")]
    #[schema(value_type = String)]
    local_at: NaiveDateTime,
    /// Deliveries in the future. If two occurrences have a delivery at the same instant, only the
    /// earlier occurrence has it.
    deliveries: Vec<Delivery>,
}

/// One delivery.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Delivery {
    /// Minutes before the occurrence; `null` for a snooze.
    notify_offset: Option<i32>,
    /// Time of the delivery.
    #[serde(serialize_with = "time")]
    deliver_at: DateTime<Utc>,
}

impl Occurrences {
    fn of(upcoming: Vec<Upcoming>, time_zone: TimeZone) -> Self {
        let zone = Zone::from(time_zone);
        let delivery = |(notify_offset, deliver_at)| Delivery { notify_offset, deliver_at };
        let occurrences = upcoming.into_iter().map(|occurrence| Occurrence {
            at: occurrence.at,
            local_at: zone.wall_clock(occurrence.at),
            deliveries: occurrence.deliveries.into_iter().map(delivery).collect(),
        });
        Self { occurrences: occurrences.collect() }
    }
}

impl Query {
    /// Checks the parameters; `faults` are those of parameters that could not be parsed.
    fn read(self, faults: Vec<FieldFault>) -> Result<(Option<DateTime<Utc>>, usize), ApiError> {
        let mut faults = Faults::begin(faults);
        let limit = faults.take(checked_limit(self.limit.unwrap_or(DEFAULT_LIMIT)));
        let from = self.from.as_deref().map(|text| instant("from", text)).transpose();
        let from = faults.take(from);
        faults.or(from.zip(limit))
    }
}

/// Checks the number of occurrences of a page.
pub(super) fn checked_limit(limit: i64) -> Result<usize, InvalidField> {
    let checked = usize::try_from(limit).ok().filter(|_| (1..=MAX_LIMIT).contains(&limit));
    checked.ok_or_else(|| InvalidField::new("limit", format!("must be between 1 and {MAX_LIMIT}")))
}

/// List the upcoming occurrences of a reminder
#[utoipa::path(
    get,
    path = "/reminders/{id}/occurrences",
    operation_id = "listOccurrences",
    tag = "reminders",
    params(ReminderPath, Query),
    responses(
        (
            status = 200,
            body = Occurrences,
            description = "The occurrences strictly after `from`, with their deliveries",
        ),
        MissingReminder,
    ),
)]
pub(super) async fn of_reminder(
    State(state): State<AppState>,
    identity: Identity,
    PathId(id): PathId,
    LenientParams { value: query, faults }: LenientParams<Query>,
) -> Result<Json<Occurrences>, ApiError> {
    let (from, limit) = query.read(faults)?;
    let id = id.ok_or_else(missing)?;
    let seen = store::get(&state.resources.pool, &identity.user_id, id).await?;
    let seen = seen.ok_or_else(missing)?;
    let work = move || {
        let upcoming = seen.value.upcoming(from.unwrap_or(seen.now), seen.now, limit);
        Occurrences::of(upcoming, seen.value.details.schedule.time_zone)
    };
    Ok(Json(off_thread(&identity.user_id, work).await?))
}

/// Preview the occurrences of a reminder without saving it
///
/// The body is that of `POST /reminders`, except that `message` is optional; `date` and `from` may
/// be in the past.
#[utoipa::path(
    post,
    path = "/reminders/preview",
    operation_id = "previewReminder",
    tag = "reminders",
    params(Query),
    request_body = NewReminder,
    responses(
        (
            status = 200,
            body = Occurrences,
            description = "The occurrences strictly after `from`, with their deliveries",
        ),
        (status = 422, body = ErrorBody, description = "`INVALID_RECURRENCE`: the rule is invalid"),
        NoUserZone,
    ),
)]
pub(super) async fn preview(
    State(state): State<AppState>,
    identity: Identity,
    Credentials(credentials): Credentials,
    LenientParams { value: query, faults }: LenientParams<Query>,
    body: LenientBody<NewReminder>,
) -> Result<Json<Occurrences>, ApiError> {
    let query = query.read(faults);
    let now = Utc::now();
    let needs_zone = body.value.needs_zone();
    let zone = read_user_zone(&state.resources, &credentials, needs_zone).await?;
    let occurrences = off_thread(&identity.user_id, move || {
        // Faults of the query and of the body are reported together.
        let mut faults =
            query.as_ref().err().map(|error| error.details.clone()).unwrap_or_default();
        faults.extend(body.faults);
        let schedule = body.value.schedule(faults, zone)?;
        let (from, limit) = query?;
        let from = from.unwrap_or(now);
        let upcoming = schedule.preview(from, from.min(now), limit)?;
        Ok::<_, ApiError>(Occurrences::of(upcoming, schedule.time_zone))
    });
    Ok(Json(occurrences.await??))
}
