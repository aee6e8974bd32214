//! `GET /notifications`: lists notifications with their occurrences.

use std::collections::HashMap;

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use contract::Reason;
use rest::{Faults, LenientParams};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service::http::ApiError;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{AppState, examples, page};
use crate::store::notifications::{
    self, NotificationFilter, NotificationRow, NotificationState, OccurrenceRow, OccurrenceState,
};

/// Number of occurrences that a page shows of each notification, the newest ones.
const OCCURRENCES: i64 = 100;

/// State of a notification, or of an occurrence that it has.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum StateFilter {
    Active,
    Deleted,
    Pending,
    Released,
    Sent,
    Failed,
    Suppressed,
    Cancelled,
}

/// Query of the list of notifications.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct NotificationsQuery {
    /// State of the notification: `active` or `deleted`; or a state of an occurrence that it has:
    /// `pending`, `released`, `sent`, `failed`, `suppressed` or `cancelled`.
    #[param(inline)]
    state: Option<StateFilter>,
    /// Only notifications with an occurrence in that state (default `pending`) that is due before
    /// this time.
    due_before: Option<DateTime<Utc>>,
    /// `nextCursor` of the previous page.
    cursor: Option<String>,
    /// Page size.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<i64>,
}

/// An occurrence and its state.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!(examples::occurrence()))]
pub(super) struct OccurrenceView {
    /// Id of the occurrence, which is also sent to the device.
    id: String,
    /// Time at which the occurrence is due.
    pub(super) due_at: DateTime<Utc>,
    /// Date of the instance.
    date: Option<DateTime<Utc>>,
    /// Time after which the occurrence is no longer sent.
    expires_at: Option<DateTime<Utc>>,
    /// State: `pending`, `released` (published), `sent`, `failed`, `suppressed` or `cancelled`.
    #[schema(example = "pending")]
    state: String,
    /// Time at which the occurrence was published.
    released_at: Option<DateTime<Utc>>,
    /// Number of deliveries that a provider accepted.
    sent: i32,
    /// Number of deliveries that failed.
    failed: i32,
    /// Number of deliveries that were suppressed.
    suppressed: i32,
    /// Number of all deliveries, as far as they are known.
    deliveries: i32,
    /// Time of the latest outcome, or of the cancellation.
    outcome_at: Option<DateTime<Utc>>,
    /// Reason code of the state. Later versions may add codes.
    #[schema(value_type = Option<Reason>)]
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

/// A notification, or the tombstone of a deleted one.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!(examples::notification()))]
pub(super) struct NotificationView {
    /// The notification's id.
    id: String,
    /// The source: `reminder` or `notification`.
    source: String,
    /// Item that the notification belongs to.
    item_id: String,
    /// User who is notified.
    user_id: String,
    /// Version of the item.
    version: i64,
    /// State: `active` or `deleted`.
    state: String,
    /// Date of the reminder; `null` if the notification is deleted.
    date: Option<DateTime<Utc>>,
    /// Minutes before the date at which to notify.
    notify_offsets: Vec<i32>,
    /// Recurrence rule; `null` if the reminder does not recur.
    recurrence: Option<Value>,
    /// Content; `null` if the notification is deleted.
    content: Option<Value>,
    /// Time at which the newest version was applied.
    updated_at: DateTime<Utc>,
    /// Occurrences in order of time, at most the newest 100. `GET /timeline/{reminderId}` shows all
    /// of them.
    #[schema(max_items = 100)]
    occurrences: Vec<OccurrenceView>,
}

impl NotificationView {
    /// Combines notifications with their occurrences.
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
    /// Notifications, newest first.
    notifications: Vec<NotificationView>,
    /// Cursor of the next page; `null` on the last page.
    next_cursor: Option<String>,
}

/// List notifications with their occurrences
///
/// `state=pending` and `dueBefore` use an index; the other states of occurrences are searched
/// notification by notification.
#[utoipa::path(
    get,
    path = "/notifications",
    operation_id = "listNotifications",
    tag = "notifications",
    params(NotificationsQuery),
    responses((status = 200, body = NotificationPage, description = "One page of notifications")),
)]
pub(super) async fn list(
    State(state): State<AppState>,
    LenientParams { value: query, faults }: LenientParams<NotificationsQuery>,
) -> Result<Json<NotificationPage>, ApiError> {
    let mut faults = Faults::begin(faults);
    let limit = faults.take(page::limit(query.limit));
    let after = faults.take(query.cursor.as_deref().map(read_cursor).transpose());
    let (limit, after) = faults.or(limit.zip(after))?;
    let filter = filter_of(query.state, query.due_before);
    let page = notifications::list(&state.pool, filter, after, limit).await?;
    let next_cursor =
        page.rows.last().filter(|_| page.is_full).map(|row| row.id.simple().to_string());
    let ids: Vec<Uuid> = page.rows.iter().map(|row| row.id).collect();
    let occurrences = notifications::occurrences_of(&state.pool, &ids, OCCURRENCES).await?;
    Ok(Json(NotificationPage {
        notifications: NotificationView::all(page.rows, occurrences),
        next_cursor,
    }))
}

fn filter_of(state: Option<StateFilter>, due_before: Option<DateTime<Utc>>) -> NotificationFilter {
    let (notification, occurrence) = match state {
        None => (None, None),
        Some(StateFilter::Active) => (Some(NotificationState::Active), None),
        Some(StateFilter::Deleted) => (Some(NotificationState::Deleted), None),
        Some(StateFilter::Pending) => (None, Some(OccurrenceState::Pending)),
        Some(StateFilter::Released) => (None, Some(OccurrenceState::Released)),
        Some(StateFilter::Sent) => (None, Some(OccurrenceState::Sent)),
        Some(StateFilter::Failed) => (None, Some(OccurrenceState::Failed)),
        Some(StateFilter::Suppressed) => (None, Some(OccurrenceState::Suppressed)),
        Some(StateFilter::Cancelled) => (None, Some(OccurrenceState::Cancelled)),
    };
    NotificationFilter { state: notification, occurrence, due_before }
}

fn read_cursor(text: &str) -> Result<Uuid, ApiError> {
    Uuid::try_parse(text)
        .map_err(|_| ApiError::invalid("cursor: must be a nextCursor of this list"))
}
