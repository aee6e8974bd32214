//! `GET /stats`: figures at a glance.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::{
    bus::Depth,
    http::{ApiError, ErrorBody},
};
use utoipa::ToSchema;

use super::{AppState, examples};
use crate::store::{COUNTED, Count};

/// A count that stops somewhere.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CountView {
    /// So many, or more.
    count: i64,
    /// `true` if counting stopped there: there may be more.
    or_more: bool,
}

impl From<Count> for CountView {
    fn from(count: Count) -> Self {
        Self { count: count.0, or_more: count.0 >= COUNTED }
    }
}

/// Messages of a queue, as far as the bus knows.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DepthView {
    /// Those that a receive could return now.
    visible: u64,
    /// Those received and not settled.
    in_flight: u64,
    /// Those whose delay has not passed.
    delayed: u64,
}

impl From<Depth> for DepthView {
    fn from(depth: Depth) -> Self {
        Self { visible: depth.visible, in_flight: depth.in_flight, delayed: depth.delayed }
    }
}

/// Estimates of the database's own statistics: as of the last ANALYZE, which runs by itself as rows
/// change.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Estimates {
    /// Occurrences by state.
    occurrences: BTreeMap<String, i64>,
    /// Notifications, tombstones included.
    notifications: i64,
    /// Events in the catalogue.
    events: i64,
}

/// Figures at a glance, at a price that does not grow with the database.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!(examples::stats()))]
pub(super) struct Stats {
    /// Estimated, not counted.
    estimated: Estimates,
    /// Occurrences whose time has come and that are not released: counted, up to 10,000.
    due_now: CountView,
    /// The time of the first of them.
    oldest_due_at: Option<DateTime<Utc>>,
    /// The time of the next one that is not due.
    next_due_at: Option<DateTime<Utc>>,
    /// Events that occurred within the last minute: counted, up to 10,000.
    events_last_minute: CountView,
    /// Facts that wait in the outbox: counted, up to 10,000.
    outbox: CountView,
    /// The event queue; nothing when the bus does not answer.
    event_queue: Option<DepthView>,
}

/// Figures at a glance.
#[utoipa::path(get, path = "/stats", tag = "operation", responses((status = 200, body = Stats), (status = 503, body = ErrorBody)))]
pub(super) async fn stats(State(state): State<AppState>) -> Result<Json<Stats>, ApiError> {
    let (figures, depth) =
        tokio::join!(state.store.statistics(), state.bus.depth(&state.queues.event));
    let figures = figures?;
    Ok(Json(Stats {
        estimated: Estimates {
            occurrences: figures.occurrences,
            notifications: figures.notifications,
            events: figures.events,
        },
        due_now: figures.due_now.into(),
        oldest_due_at: figures.oldest_due_at,
        next_due_at: figures.next_due_at,
        events_last_minute: figures.events_last_minute.into(),
        outbox: figures.outbox.into(),
        event_queue: depth.ok().map(DepthView::from),
    }))
}
