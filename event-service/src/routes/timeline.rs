//! `GET /timeline/{reminderId}`: the life of a reminder.

use axum::{
    Json,
    extract::{Path, State},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::{
    contract::ItemId,
    http::{ApiError, ErrorBody, Reason},
};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    AppState,
    events::EventView,
    examples,
    notifications::{NotificationView, OccurrenceView},
};
use crate::{
    identity::{Source, notification_id},
    store::EventFilter,
};

/// The newest so many events are shown, fewer if they are large.
const EVENTS: i64 = 1_000;
/// Times of delivery that are shown of one notification; the newest.
const OCCURRENCES: i64 = 10_000;

/// A step in the life of an item.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "camelCase")]
enum Step {
    /// Something was told or commanded; deliveries are told by
    /// `notification:sent|failed|suppressed|deferred`.
    Event {
        /// When it happened.
        at: DateTime<Utc>,
        /// What.
        event: EventView,
    },
    /// A time of delivery, with how it stands now.
    Occurrence {
        /// The time of delivery.
        at: DateTime<Utc>,
        /// How it stands.
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

/// The life of an item.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!(examples::timeline()))]
pub(super) struct Timeline {
    /// The item.
    reminder_id: String,
    /// What is kept of it: the reminder's notification, and another service's if it chose the same
    /// id.
    notifications: Vec<NotificationView>,
    /// Every event and every time of delivery, in order of time.
    timeline: Vec<Step>,
    /// Whether older events were left out.
    truncated: bool,
}

/// The life of a reminder: every event and every delivery, in order of time.
#[utoipa::path(get, path = "/timeline/{reminderId}", tag = "catalogue", params(("reminderId" = String, Path, description = "The reminder's id")),
    responses((status = 200, body = Timeline), (status = 404, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(super) async fn timeline(
    State(state): State<AppState>,
    Path(text): Path<String>,
) -> Result<Json<Timeline>, ApiError> {
    let nothing = || ApiError::new(Reason::NotFound, "nothing is known of this reminder");
    let item: ItemId = text.parse().map_err(|_| nothing())?;
    let filter = EventFilter { item_id: Some(text.clone()), ..EventFilter::default() };
    let page = state.store.events(&filter, None, EVENTS).await?;
    let ids: Vec<Uuid> =
        Source::ALL.into_iter().map(|source| notification_id(source, &item)).collect();
    let notifications = state.store.notifications_by_id(&ids).await?;
    let occurrences = state.store.occurrences_of(&ids, OCCURRENCES).await?;
    if page.rows.is_empty() && notifications.is_empty() && occurrences.is_empty() {
        return Err(nothing());
    }
    let truncated = page.is_full;
    let told =
        page.rows.into_iter().map(|row| Step::Event { at: row.occurred_at, event: row.into() });
    let due = occurrences
        .iter()
        .cloned()
        .map(|row| Step::Occurrence { at: row.due_at, occurrence: row.into() });
    let mut timeline: Vec<Step> = told.chain(due).collect();
    timeline.sort_by_key(Step::at);
    Ok(Json(Timeline {
        reminder_id: text,
        notifications: NotificationView::all(notifications, occurrences),
        timeline,
        truncated,
    }))
}
