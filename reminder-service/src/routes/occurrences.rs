//! `GET /reminders/{id}/occurrences` and `POST /reminders/preview`: what will be sent.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::http::{ApiError, ErrorBody, Identity, LenientBody, Params, PathId};
use utoipa::{IntoParams, ToSchema};

use super::{Api, answer::time, body::NewReminder, compute::off_thread, examples, single::missing};
use crate::{
    reminder::{Upcoming, instant},
    store,
};

const DEFAULT_LIMIT: i64 = 10;
const MAX_LIMIT: i64 = 100;

/// Which occurrences are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// Those strictly after this time; now by default. RFC 3339 with an offset, its `+` encoded as
    /// `%2B`.
    #[param(format = DateTime)]
    from: Option<String>,
    /// How many to give.
    #[param(minimum = 1, maximum = 100, default = 10)]
    limit: Option<i64>,
}

/// Occurrences in the order of time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!(examples::occurrences()))]
pub(super) struct Occurrences {
    /// Up to `limit` of them.
    occurrences: Vec<Occurrence>,
}

/// One occurrence.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Occurrence {
    /// When it is.
    #[serde(serialize_with = "time")]
    at: DateTime<Utc>,
    /// When it is delivered: those that are still to come. Where two occurrences would be delivered
    /// at one instant, the earlier one is.
    deliveries: Vec<Delivery>,
}

/// One time of delivery.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Delivery {
    /// Minutes before the occurrence; none for one that was snoozed.
    notify_offset: Option<i32>,
    /// When it is made.
    #[serde(serialize_with = "time")]
    deliver_at: DateTime<Utc>,
}

impl From<Vec<Upcoming>> for Occurrences {
    fn from(upcoming: Vec<Upcoming>) -> Self {
        let delivery = |(notify_offset, deliver_at)| Delivery { notify_offset, deliver_at };
        let occurrences = upcoming.into_iter().map(|it| Occurrence {
            at: it.at,
            deliveries: it.deliveries.into_iter().map(delivery).collect(),
        });
        Self { occurrences: occurrences.collect() }
    }
}

impl Query {
    fn read(&self) -> Result<(Option<DateTime<Utc>>, usize), ApiError> {
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        let fitting = usize::try_from(limit).ok().filter(|_| (1..=MAX_LIMIT).contains(&limit));
        let limit = fitting.ok_or_else(|| {
            ApiError::invalid(format!("limit: must be between 1 and {MAX_LIMIT}"))
        })?;
        let from = self.from.as_deref().map(|text| instant("from", text)).transpose()?;
        Ok((from, limit))
    }
}

/// List a reminder's occurrences: what will be sent
#[utoipa::path(
    get,
    path = "/reminders/{id}/occurrences",
    operation_id = "listOccurrences",
    tag = "reminders",
    params(("id" = String, Path, description = "The reminder's id"), Query),
    responses(
        (status = 200, description = "The occurrences strictly after `from`, and their deliveries", body = Occurrences),
        (status = 400, description = "`INVALID_REQUEST`: a parameter is malformed or unknown; the message names it", body = ErrorBody),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
        (status = 404, description = "`MISSING_REMINDER`: the caller has no such reminder", body = ErrorBody),
        (status = 503, description = "`UPSTREAM_UNAVAILABLE`", body = ErrorBody),
    ),
)]
pub(super) async fn of_reminder(
    State(api): State<Api>,
    identity: Identity,
    PathId(id): PathId,
    Params(query): Params<Query>,
) -> Result<Json<Occurrences>, ApiError> {
    let (from, limit) = query.read()?;
    let id = id.ok_or_else(missing)?;
    let mut connection = api.pool.acquire().await?;
    let seen = store::get(&mut connection, &identity.user_id, id).await?.ok_or_else(missing)?;
    drop(connection);
    let work = move || seen.value.upcoming(from.unwrap_or(seen.now), seen.now, limit);
    Ok(Json(off_thread(&identity.user_id, work).await?.into()))
}

/// Show what a reminder would send, without saving it
///
/// The body is that of a new reminder, of which `message` may be left out here; `date` and `from`
/// may be in the past.
#[utoipa::path(
    post,
    path = "/reminders/preview",
    operation_id = "previewReminder",
    tag = "reminders",
    params(Query),
    request_body = NewReminder,
    responses(
        (status = 200, description = "The occurrences strictly after `from`, and their deliveries", body = Occurrences),
        (status = 400, description = "`INVALID_REQUEST`: a field or parameter is malformed or unknown; the message names it", body = ErrorBody),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
        (status = 413, description = "`PAYLOAD_TOO_LARGE`", body = ErrorBody),
        (status = 422, description = "`INVALID_RECURRENCE`", body = ErrorBody),
    ),
)]
pub(super) async fn preview(
    identity: Identity,
    Params(query): Params<Query>,
    body: LenientBody<NewReminder>,
) -> Result<Json<Occurrences>, ApiError> {
    let (from, limit) = query.read()?;
    let now = Utc::now();
    let from = from.unwrap_or(now);
    let upcoming = off_thread(&identity.user_id, move || {
        let schedule = body.value.previewed(body.faults)?;
        Ok::<_, ApiError>(schedule.upcoming(from, from.min(now), limit))
    });
    Ok(Json(upcoming.await??.into()))
}
