//! `GET /notifications`: what is kept, with its times of delivery.

use std::collections::HashMap;

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::http::{ApiError, ErrorBody, Params};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{AppState, examples, page};
use crate::store::{
    NotificationFilter, NotificationRow, NotificationState, OccurrenceRow, OccurrenceState,
};

/// Occurrences that are shown of each notification of a page; the newest.
const OCCURRENCES: i64 = 100;

/// Which notifications.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct NotificationsQuery {
    /// `active` or `deleted`; or with an occurrence that is `pending`, `released`, `sent`,
    /// `failed`, `suppressed` or `cancelled`.
    state: Option<String>,
    /// With an occurrence in that state (a pending one, if none is named) due before.
    due_before: Option<DateTime<Utc>>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
    /// At most so many: 1 to 500, 50 by default.
    limit: Option<i64>,
}

/// A time of delivery and how it stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!(examples::occurrence()))]
pub(super) struct OccurrenceView {
    /// Its id, which travels to the device.
    id: String,
    /// The time of delivery.
    pub(super) due_at: DateTime<Utc>,
    /// What it reminds of.
    date: Option<DateTime<Utc>>,
    /// After this it is no longer sent.
    expires_at: Option<DateTime<Utc>>,
    /// `pending`, `released` (published), `sent`, `failed`, `suppressed` or `cancelled`.
    #[schema(example = "pending")]
    state: String,
    /// When it was published.
    released_at: Option<DateTime<Utc>>,
    /// Deliveries that a provider accepted.
    sent: i32,
    /// Deliveries that failed.
    failed: i32,
    /// Deliveries that were not to be made.
    suppressed: i32,
    /// All its deliveries, as far as they are known.
    deliveries: i32,
    /// When the latest outcome was, or it was cancelled.
    outcome_at: Option<DateTime<Utc>>,
    /// Why it stands so.
    reason: Option<String>,
}

impl From<OccurrenceRow> for OccurrenceView {
    fn from(row: OccurrenceRow) -> Self {
        Self {
            id: row.id.simple().to_string(),
            due_at: row.due_at,
            date: row.date,
            expires_at: row.expires_at,
            state: row.state,
            released_at: row.released_at,
            sent: row.sent,
            failed: row.failed,
            suppressed: row.suppressed,
            deliveries: row.deliveries,
            outcome_at: row.outcome_at,
            reason: row.reason,
        }
    }
}

/// A notification that is kept, or its tombstone.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!(examples::notification()))]
pub(super) struct NotificationView {
    /// The notification's id.
    id: String,
    /// The source: `reminder` or `notification`.
    source: String,
    /// The item it is of.
    item_id: String,
    /// Whom it is for.
    user_id: String,
    /// The item's version.
    version: i64,
    /// `active` or `deleted`.
    state: String,
    /// When it is due; none of a deleted one.
    date: Option<DateTime<Utc>>,
    /// Minutes before it at which to notify.
    notify_offsets: Vec<i32>,
    /// How it recurs.
    recurrence: Option<Value>,
    /// What it says and how; none of a deleted one.
    content: Option<Value>,
    /// When its newest version was applied.
    updated_at: DateTime<Utc>,
    /// The times of delivery, in order; of a long series the newest 100, all of them with
    /// `GET /timeline/{reminderId}`.
    #[schema(max_items = 100)]
    occurrences: Vec<OccurrenceView>,
}

impl NotificationView {
    /// Notifications, each with its own occurrences.
    pub(super) fn all(rows: Vec<NotificationRow>, occurrences: Vec<OccurrenceRow>) -> Vec<Self> {
        let mut by_notification: HashMap<Uuid, Vec<OccurrenceView>> = HashMap::new();
        for row in occurrences {
            by_notification.entry(row.notification_id).or_default().push(row.into());
        }
        let view = |row: NotificationRow| Self {
            occurrences: by_notification.remove(&row.id).unwrap_or_default(),
            id: row.id.simple().to_string(),
            source: row.source,
            item_id: row.item_id,
            user_id: row.user_id,
            version: row.version,
            state: row.state,
            date: row.date,
            notify_offsets: row.notify_offsets.unwrap_or_default(),
            recurrence: row.recurrence,
            content: row.content,
            updated_at: row.updated_at,
        };
        rows.into_iter().map(view).collect()
    }
}

/// A page of notifications.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!(examples::notifications()))]
pub(super) struct NotificationPage {
    /// The latest made first.
    notifications: Vec<NotificationView>,
    /// Where the next page begins; none after the last.
    next_cursor: Option<String>,
}

/// What is kept, with its times of delivery. `state=pending` and `dueBefore` are found by an index;
/// the other states of occurrences are looked for one notification after the other.
#[utoipa::path(get, path = "/notifications", tag = "notifications", params(NotificationsQuery), responses(
    (status = 200, body = NotificationPage), (status = 400, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(super) async fn list(
    State(state): State<AppState>,
    Params(query): Params<NotificationsQuery>,
) -> Result<Json<NotificationPage>, ApiError> {
    let limit = page::limit(query.limit)?;
    let after = query
        .cursor
        .as_deref()
        .map(|text| Uuid::try_parse(text).map_err(|_| ApiError::invalid("cursor: is none of ours")))
        .transpose()?;
    let mut filter =
        NotificationFilter { due_before: query.due_before, ..NotificationFilter::default() };
    match query.state.as_deref() {
        None => {}
        Some("active") => filter.state = Some(NotificationState::Active),
        Some("deleted") => filter.state = Some(NotificationState::Deleted),
        Some(word) => {
            filter.occurrence = Some(OccurrenceState::of(word).ok_or_else(unknown_state)?)
        }
    }
    let page = state.store.notifications(filter, after, limit).await?;
    let next_cursor =
        page.rows.last().filter(|_| page.is_full).map(|row| row.id.simple().to_string());
    let ids: Vec<Uuid> = page.rows.iter().map(|row| row.id).collect();
    let occurrences = state.store.occurrences_of(&ids, OCCURRENCES).await?;
    Ok(Json(NotificationPage {
        notifications: NotificationView::all(page.rows, occurrences),
        next_cursor,
    }))
}

fn unknown_state() -> ApiError {
    ApiError::invalid(
        "state: expected active, deleted, pending, released, sent, failed, suppressed or cancelled",
    )
}
