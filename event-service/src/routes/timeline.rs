//! `GET /timeline/{reminderId}`: the history of a reminder.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use contract::ItemId;
use rest::PathText;
use serde::Serialize;
use service::http::{ApiError, ErrorBody, Reason};
use utoipa::ToSchema;

use super::{
    AppState,
    events::EventView,
    examples,
    notifications::{NotificationView, OccurrenceView},
};
use crate::usecases::read_timeline::read_timeline;

/// A step in the history of a reminder.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "camelCase")]
enum Step {
    /// An event. The outcomes of deliveries are `notification:sent|failed|suppressed|deferred`.
    Event {
        /// Time at which the event happened.
        at: DateTime<Utc>,
        /// The event.
        event: EventView,
    },
    /// An occurrence with its present state.
    Occurrence {
        /// Time at which the occurrence is due.
        at: DateTime<Utc>,
        /// The occurrence.
        occurrence: OccurrenceView,
    },
}

impl Step {
    const fn at(&self) -> DateTime<Utc> {
        match self {
            Self::Event { at, .. } | Self::Occurrence { at, .. } => *at,
        }
    }
}

/// The history of a reminder.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!(examples::timeline()))]
pub(super) struct Timeline {
    /// Id of the reminder.
    reminder_id: String,
    /// Notifications of the reminder: its own, and that of another service which uses the same id.
    notifications: Vec<NotificationView>,
    /// Events and occurrences, in order of time.
    timeline: Vec<Step>,
    /// `true` if older events were left out.
    truncated: bool,
}

/// Show the history of a reminder
///
/// Every event and every occurrence, in order of time.
#[utoipa::path(
    get,
    path = "/timeline/{reminderId}",
    operation_id = "getTimeline",
    tag = "catalogue",
    params((
        "reminderId" = String, Path,
        description = "Id of the reminder",
        pattern = r"^[^\x00]*$"
    )),
    responses(
        (status = 200, body = Timeline, description = "The history of the reminder"),
        (status = 404, body = ErrorBody, description = "`NOT_FOUND`: the reminder is unknown"),
    ),
)]
pub(super) async fn timeline(
    State(state): State<AppState>,
    PathText(text): PathText,
) -> Result<Json<Timeline>, ApiError> {
    let unknown =
        || ApiError::new(Reason::NotFound, "no event or notification of this reminder is stored");
    let text = text.ok_or_else(unknown)?;
    let item: ItemId = text.parse().map_err(|_| unknown())?;
    let stored = read_timeline(&state.pool, &item).await?.ok_or_else(unknown)?;
    let truncated = stored.events.is_full;
    let events = stored.events.rows.into_iter();
    let recorded = events.map(|row| Step::Event { at: row.occurred_at, event: row.into() });
    let due = stored
        .occurrences
        .iter()
        .cloned()
        .map(|row| Step::Occurrence { at: row.due_at, occurrence: row.into() });
    let mut timeline: Vec<Step> = recorded.chain(due).collect();
    timeline.sort_by_key(Step::at);
    Ok(Json(Timeline {
        reminder_id: text,
        notifications: NotificationView::all(stored.notifications, stored.occurrences),
        timeline,
        truncated,
    }))
}
