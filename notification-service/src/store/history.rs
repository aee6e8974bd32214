//! A user's deliveries, newest first.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

/// One delivery as its user may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    /// The delivery's id; the place to go on from.
    pub id: Uuid,
    /// The occurrence.
    pub occurrence_id: Uuid,
    /// Who asked for it.
    pub source: String,
    /// The item it belongs to.
    pub item_id: String,
    /// The channel.
    pub channel: String,
    /// The device of a push; the nil UUID where there is none.
    pub device_id: Uuid,
    /// How it stands.
    pub state: String,
    /// Why.
    pub reason: Option<String>,
    /// How often it was tried.
    pub attempts: i32,
    /// The time of delivery that was asked for.
    pub due_at: DateTime<Utc>,
    /// When the first attempt began.
    pub first_attempt_at: Option<DateTime<Utc>>,
    /// When it is tried again, while it waits.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// When it came to its end.
    pub finished_at: Option<DateTime<Utc>>,
}

/// Up to `limit` deliveries of a user, older than the one named by `before`.
///
/// # Errors
/// When the statement fails.
pub async fn of_user(
    executor: impl PgExecutor<'_>,
    user_id: &str,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<HistoryRow>, sqlx::Error> {
    sqlx::query_as!(
        HistoryRow,
        r#"select d.id, d.occurrence_id, p.source, p.item_id, d.channel, d.device_id, d.state, d.reason, d.attempts, p.due_at,
               d.first_attempt_at, case when d.state = 'pending' then d.next_attempt_at end as next_attempt_at, d.finished_at
           from deliveries as d join dispatches as p on p.occurrence_id = d.occurrence_id
           where d.user_id = $1 and d.id < coalesce($2, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
           order by d.id desc limit $3"#,
        user_id,
        before,
        limit,
    )
    .fetch_all(executor)
    .await
}
