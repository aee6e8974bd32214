//! Reads notifications and their occurrences.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use super::page::{self, Page};

/// State of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "notification_state", rename_all = "lowercase")]
pub enum NotificationState {
    /// Present.
    Active,
    /// Deleted; a tombstone without content remains.
    Deleted,
}

/// State of an occurrence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "occurrence_state", rename_all = "lowercase")]
pub enum OccurrenceState {
    /// Not due yet, or due and not claimed.
    Pending,
    /// Published to the notification topic.
    Released,
    /// A provider accepted at least one delivery.
    Sent,
    /// No delivery was accepted, and at least one failed.
    Failed,
    /// Every delivery was suppressed.
    Suppressed,
    /// Cancelled before it was released; the reason says why.
    Cancelled,
}

impl NotificationState {
    /// Returns the name used in the database and in responses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Deleted => "deleted",
        }
    }
}

impl OccurrenceState {
    /// Returns the name used in the database and in responses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Released => "released",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Suppressed => "suppressed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Filter of notifications.
#[derive(Debug, Clone, Copy, Default)]
pub struct NotificationFilter {
    /// Only notifications in this state.
    pub state: Option<NotificationState>,
    /// Only notifications with an occurrence in this state.
    pub occurrence: Option<OccurrenceState>,
    /// Only notifications with an occurrence (in that state, default pending) due before this time.
    pub due_before: Option<DateTime<Utc>>,
}

/// A notification.
#[derive(Debug, Clone)]
pub struct NotificationRow {
    /// Id of the row.
    pub id: Uuid,
    /// Source: `reminder` or `notification`.
    pub source: String,
    /// Item that the notification belongs to.
    pub item_id: String,
    /// User who is notified.
    pub user_id: String,
    /// Version of the item.
    pub version: i64,
    /// Name of the state, which this version may not know.
    pub state: String,
    /// Date of the reminder.
    pub date: Option<DateTime<Utc>>,
    /// Minutes before the date at which to notify.
    pub notify_offsets: Option<Vec<i32>>,
    /// Recurrence rule.
    pub recurrence: Option<serde_json::Value>,
    /// Content.
    pub content: Option<serde_json::Value>,
    /// Time at which the newest version was applied.
    pub updated_at: DateTime<Utc>,
}

/// An occurrence.
#[derive(Debug, Clone)]
pub struct OccurrenceRow {
    /// Id of the row.
    pub id: Uuid,
    /// Notification that the occurrence belongs to.
    pub notification_id: Uuid,
    /// Time at which the occurrence is due.
    pub due_at: DateTime<Utc>,
    /// Date of the instance.
    pub date: Option<DateTime<Utc>>,
    /// Time after which the occurrence is no longer sent.
    pub expires_at: Option<DateTime<Utc>>,
    /// Name of the state, which this version may not know.
    pub state: String,
    /// Time at which the occurrence was published.
    pub released_at: Option<DateTime<Utc>>,
    /// Number of deliveries that a provider accepted.
    pub sent: i32,
    /// Number of deliveries that failed.
    pub failed: i32,
    /// Number of deliveries that were suppressed.
    pub suppressed: i32,
    /// Number of all deliveries.
    pub deliveries: i32,
    /// Time of the latest outcome, or of the cancellation.
    pub outcome_at: Option<DateTime<Utc>>,
    /// Reason code, which this version may not know.
    pub reason: Option<String>,
}

/// Returns a page of notifications, newest id first, below `after`, of at most `limit`
/// notifications and [`super::PAGE_BYTES`].
///
/// # Errors
/// If the query fails.
pub async fn list(
    pool: &PgPool,
    filter: NotificationFilter,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Page<NotificationRow>, sqlx::Error> {
    let pending_only = filter.occurrence == Some(OccurrenceState::Pending)
        || (filter.occurrence.is_none() && filter.due_before.is_some());
    let other = filter.occurrence.filter(|state| *state != OccurrenceState::Pending);
    let found = sqlx::query_as!(
        NotificationRow,
        r#"select id, source, item_id, user_id, version, state::text as "state!", date,
                notify_offsets, recurrence, content, updated_at
               from notifications
               where ($1::notification_state is null or state = $1)
                   and ($2::uuid is null or id < $2)
                 and (not $3 or id in (select notification_id from occurrences where pending
                     and ($5::timestamptz is null or due_at < $5)))
                 and ($4::occurrence_state is null or exists (
                     select from occurrences where notification_id = notifications.id
                         and occurrences.state = $4 and ($5::timestamptz is null or due_at < $5)))
               order by id desc limit $6"#,
        filter.state as Option<NotificationState>,
        after,
        pending_only,
        other as Option<OccurrenceState>,
        filter.due_before,
        limit,
    )
    .fetch(pool);
    let bytes_of = |value: &Option<_>| value.as_ref().map_or(0, page::bytes_of);
    page::collect_page(found, limit, |row| bytes_of(&row.content) + bytes_of(&row.recurrence)).await
}

/// Returns notifications by id.
///
/// # Errors
/// If the query fails.
pub async fn by_ids(pool: &PgPool, ids: &[Uuid]) -> Result<Vec<NotificationRow>, sqlx::Error> {
    sqlx::query_as!(
        NotificationRow,
        r#"select id, source, item_id, user_id, version, state::text as "state!", date,
                notify_offsets, recurrence, content, updated_at
               from notifications where id = any($1) order by source"#,
        ids,
    )
    .fetch_all(pool)
    .await
}

/// Returns the newest `most` occurrences of each notification, in order of time.
///
/// # Errors
/// If the query fails.
pub async fn occurrences_of(
    pool: &PgPool,
    notifications: &[Uuid],
    most: i64,
) -> Result<Vec<OccurrenceRow>, sqlx::Error> {
    sqlx::query_as!(
        OccurrenceRow,
        r#"select id, notification_id, due_at, date, expires_at, state::text as "state!",
                released_at, sent, failed, suppressed, deliveries,
                      outcome_at, reason
               from unnest($1::uuid[]) as wanted (wanted_id)
               cross join lateral (
                   select * from occurrences where notification_id = wanted_id
                       order by due_at desc, id limit $2
               ) as newest
               order by due_at, id"#,
        notifications,
        most,
    )
    .fetch_all(pool)
    .await
}
