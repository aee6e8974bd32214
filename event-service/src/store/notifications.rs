//! Reads notifications and their occurrences.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Store,
    page::{self, Page},
};

/// Whether a notification is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "notification_state", rename_all = "lowercase")]
pub enum NotificationState {
    /// It is.
    Active,
    /// It was taken back; its tombstone is.
    Deleted,
}

/// Where an occurrence stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "occurrence_state", rename_all = "lowercase")]
pub enum OccurrenceState {
    /// It waits for its time, or for a scheduler.
    Pending,
    /// It was published.
    Released,
    /// A provider accepted it, for one device at least.
    Sent,
    /// Every delivery failed or was not to be made.
    Failed,
    /// No delivery was to be made.
    Suppressed,
    /// The notification was changed or taken back before its time.
    Cancelled,
}

impl NotificationState {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Deleted => "deleted",
        }
    }
}

impl OccurrenceState {
    const ALL: [Self; 6] = [
        Self::Pending,
        Self::Released,
        Self::Sent,
        Self::Failed,
        Self::Suppressed,
        Self::Cancelled,
    ];

    /// Its word.
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

    /// The state of that word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// Which notifications.
#[derive(Debug, Clone, Copy, Default)]
pub struct NotificationFilter {
    /// In this state.
    pub state: Option<NotificationState>,
    /// With an occurrence in this state.
    pub occurrence: Option<OccurrenceState>,
    /// With an occurrence (in that state, else a pending one) due before.
    pub due_before: Option<DateTime<Utc>>,
}

/// A notification.
#[derive(Debug, Clone)]
pub struct NotificationRow {
    /// Its id.
    pub id: Uuid,
    /// Who asked for it.
    pub source: String,
    /// The item it is of.
    pub item_id: String,
    /// Whom it is for.
    pub user_id: String,
    /// The item's version.
    pub version: i64,
    /// The word of its state, known to this version or not.
    pub state: String,
    /// When it is due.
    pub date: Option<DateTime<Utc>>,
    /// Minutes before it at which to notify.
    pub notify_offsets: Option<Vec<i32>>,
    /// How it recurs.
    pub recurrence: Option<serde_json::Value>,
    /// What it says and how.
    pub content: Option<serde_json::Value>,
    /// When its newest version was applied.
    pub updated_at: DateTime<Utc>,
}

/// A time of delivery.
#[derive(Debug, Clone)]
pub struct OccurrenceRow {
    /// Its id.
    pub id: Uuid,
    /// The notification it is of.
    pub notification_id: Uuid,
    /// The time of delivery.
    pub due_at: DateTime<Utc>,
    /// What it reminds of.
    pub date: Option<DateTime<Utc>>,
    /// After this it is no longer sent.
    pub expires_at: Option<DateTime<Utc>>,
    /// The word of its state, known to this version or not.
    pub state: String,
    /// When it was published.
    pub released_at: Option<DateTime<Utc>>,
    /// Deliveries that a provider accepted.
    pub sent: i32,
    /// Deliveries that failed.
    pub failed: i32,
    /// Deliveries that were not to be made.
    pub suppressed: i32,
    /// All its deliveries.
    pub deliveries: i32,
    /// When the latest outcome was, or it was cancelled.
    pub outcome_at: Option<DateTime<Utc>>,
    /// Why it stands so.
    pub reason: Option<String>,
}

impl Store {
    /// A page of notifications, newest id first, below `after`, of `limit` and of
    /// [`super::PAGE_BYTES`] at the most.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn notifications(
        &self,
        filter: NotificationFilter,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Page<NotificationRow>, sqlx::Error> {
        let pending_only = filter.occurrence == Some(OccurrenceState::Pending)
            || (filter.occurrence.is_none() && filter.due_before.is_some());
        let other = filter.occurrence.filter(|state| *state != OccurrenceState::Pending);
        let found = sqlx::query_as!(
            NotificationRow,
            r#"select id, source, item_id, user_id, version, state::text as "state!", date, notify_offsets, recurrence, content, updated_at
               from notifications
               where ($1::notification_state is null or state = $1) and ($2::uuid is null or id < $2)
                 and (not $3 or id in (select notification_id from occurrences where pending and ($5::timestamptz is null or due_at < $5)))
                 and ($4::occurrence_state is null or exists (
                     select from occurrences where notification_id = notifications.id and occurrences.state = $4 and ($5::timestamptz is null or due_at < $5)))
               order by id desc limit $6"#,
            filter.state as Option<NotificationState>,
            after,
            pending_only,
            other as Option<OccurrenceState>,
            filter.due_before,
            limit,
        )
        .fetch(&self.pool);
        let bytes_of = |value: &Option<_>| value.as_ref().map_or(0, page::bytes_of);
        page::gather(found, limit, |row| bytes_of(&row.content) + bytes_of(&row.recurrence)).await
    }

    /// Notifications by id.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn notifications_by_id(
        &self,
        ids: &[Uuid],
    ) -> Result<Vec<NotificationRow>, sqlx::Error> {
        sqlx::query_as!(
            NotificationRow,
            r#"select id, source, item_id, user_id, version, state::text as "state!", date, notify_offsets, recurrence, content, updated_at
               from notifications where id = any($1) order by source"#,
            ids,
        )
        .fetch_all(&self.pool)
        .await
    }

    /// The newest `most` occurrences of each of some notifications, in order of time: none of them
    /// takes the place of another's.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn occurrences_of(
        &self,
        notifications: &[Uuid],
        most: i64,
    ) -> Result<Vec<OccurrenceRow>, sqlx::Error> {
        sqlx::query_as!(
            OccurrenceRow,
            r#"select id, notification_id, due_at, date, expires_at, state::text as "state!", released_at, sent, failed, suppressed, deliveries,
                      outcome_at, reason
               from unnest($1::uuid[]) as wanted (wanted_id)
               cross join lateral (
                   select * from occurrences where notification_id = wanted_id order by due_at desc, id limit $2
               ) as newest
               order by due_at, id"#,
            notifications,
            most,
        )
        .fetch_all(&self.pool)
        .await
    }
}
