//! `GET /stats`: statistics.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use bus::Depth;
use chrono::{DateTime, Utc};
use serde::Serialize;
use service::http::ApiError;
use utoipa::ToSchema;

use super::{AppState, examples};
use crate::store::statistics::{self, COUNTED, Count};

/// A count that stops at a limit.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CountView {
    /// The count.
    count: i64,
    /// `true` if counting stopped there: there may be more.
    or_more: bool,
}

impl From<Count> for CountView {
    fn from(count: Count) -> Self {
        Self { count: count.0, or_more: count.0 >= COUNTED }
    }
}

/// Messages of a queue, as the bus counts them.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DepthView {
    /// Messages that a receive could return now.
    visible: u64,
    /// Messages that were received and are not settled.
    in_flight: u64,
    /// Messages whose delay has not passed.
    delayed: u64,
}

impl From<Depth> for DepthView {
    fn from(depth: Depth) -> Self {
        Self { visible: depth.visible, in_flight: depth.in_flight, delayed: depth.delayed }
    }
}

/// Estimates from the database's own statistics, as of the last ANALYZE, which runs by itself.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Estimates {
    /// Number of occurrences by state.
    occurrences: BTreeMap<String, i64>,
    /// Number of notifications, tombstones included.
    notifications: i64,
    /// Number of events in the catalogue.
    events: i64,
}

/// Statistics.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!(examples::stats()))]
pub(super) struct Stats {
    /// Estimates.
    estimated: Estimates,
    /// Number of occurrences that are due and not released, up to 10,000.
    due_now: CountView,
    /// Due time of the oldest of them; `null` if there is none.
    oldest_due_at: Option<DateTime<Utc>>,
    /// Due time of the next occurrence; `null` if there is none.
    next_due_at: Option<DateTime<Utc>>,
    /// Number of events of the last minute, up to 10,000.
    events_last_minute: CountView,
    /// Number of unpublished messages in the outbox, up to 10,000.
    outbox: CountView,
    /// The event queue; `null` if the bus does not answer.
    event_queue: Option<DepthView>,
}

/// Show statistics
///
/// Estimates and bounded counts, whose cost does not grow with the database.
#[utoipa::path(
    get,
    path = "/stats",
    operation_id = "getStats",
    tag = "operation",
    responses((status = 200, body = Stats, description = "The statistics")),
)]
pub(super) async fn stats(State(state): State<AppState>) -> Result<Json<Stats>, ApiError> {
    let (figures, depth) =
        tokio::join!(statistics::read(&state.pool), state.bus.depth(&state.queues.event));
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
