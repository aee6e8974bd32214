//! `GET /zone-changes`: the zones of users in the order in which they changed, for
//! reminder-service.

use axum::{Json, extract::State};
use chrono::{DateTime, TimeDelta, Utc};
use rest::{Faults, LenientParams};
use serde::{Deserialize, Serialize};
use service::http::{ApiError, Reason};

use super::{AppState, time_format::time};
use crate::store::zone_changes::{self, Place, ZoneChange};

/// Route as the router knows it.
pub(super) const ROUTE: &str = "/zone-changes";
/// Largest number of changes of one answer.
const MAX_LIMIT: i64 = 1_000;
/// Time in which changes are read again. It is longer than a request lasts (30 s), so that a
/// transaction that commits after a later one is read, and a request that asked for the zone
/// before the change has stored its reminders.
const OVERLAP: TimeDelta = TimeDelta::seconds(60);

/// Query for changes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    /// The `next` of the previous answer; the first change by default.
    after: Option<String>,
    /// Largest number of changes.
    limit: Option<i64>,
}

/// Changes in order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ZoneChanges {
    changes: Vec<ChangeAnswer>,
    /// Cursor of the next call.
    next: String,
    /// `true` if there are further changes now.
    has_more: bool,
}

/// Zone of a user with the time of its last change.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ChangeAnswer {
    user_id: String,
    time_zone: Option<String>,
    email: Option<String>,
    #[serde(serialize_with = "time")]
    changed_at: DateTime<Utc>,
}

/// Lists changes after a cursor. Changes of the last minute are listed again.
pub(super) async fn list(
    State(state): State<AppState>,
    LenientParams { value: Query { after, limit }, faults }: LenientParams<Query>,
) -> Result<Json<ZoneChanges>, ApiError> {
    let mut faults = Faults::begin(faults);
    let fault = |field, problem: &str| ApiError::field(Reason::InvalidRequest, field, problem);
    let after = after.as_deref().map_or(Some((DateTime::UNIX_EPOCH, String::new())), place);
    let after =
        faults.take(after.ok_or_else(|| fault("after", "must be the next of an earlier answer")));
    let limit = limit.unwrap_or(MAX_LIMIT);
    let limit = Some(limit).filter(|limit| (1..=MAX_LIMIT).contains(limit));
    let limit = faults.take(limit.ok_or_else(|| fault("limit", "must be between 1 and 1000")));
    let (after, limit) = faults.or(after.zip(limit))?;
    let (changes, now) = zone_changes::after(&state.pool, &after, limit).await?;
    let has_more = changes.len() as i64 == limit;
    let next = match changes.last() {
        Some(last) if has_more => cursor(last.changed_at, &last.user_id),
        _ => cursor(now - OVERLAP, ""),
    };
    let changes = changes.into_iter().map(|change| {
        let ZoneChange { user_id, zone: time_zone, email, changed_at } = change;
        ChangeAnswer { user_id, time_zone, email, changed_at }
    });
    Ok(Json(ZoneChanges { changes: changes.collect(), next, has_more }))
}

fn cursor(at: DateTime<Utc>, user_id: &str) -> String {
    format!("{}.{user_id}", at.timestamp_micros())
}

fn place(cursor: &str) -> Option<Place> {
    let (micros, user_id) = cursor.split_once('.')?;
    let at = DateTime::from_timestamp_micros(micros.parse().ok()?);
    at.filter(|at| *at >= DateTime::UNIX_EPOCH).map(|at| (at, user_id.to_owned()))
}
