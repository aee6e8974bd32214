//! Everything that is stored of a user, page by page: no page is large, and none holds a connection
//! while a client reads.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use super::catalogue::Cursor;

/// Largest number of rows of one kind in an export; the newest ones are exported.
pub const MAX_ROWS: i64 = 100_000;

/// An occurrence in an export, with its position among those of its notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportedOccurrence {
    /// Notification that the occurrence belongs to.
    pub notification_id: Uuid,
    /// Due time and id, after which the next page continues.
    pub position: (DateTime<Utc>, Uuid),
    /// The occurrence as a JSON object.
    pub json: String,
}

/// Returns the ids of a user's notifications, the newest first, and one more than [`MAX_ROWS`] if
/// there are more.
///
/// # Errors
/// If the query fails.
pub async fn notification_ids(pool: &PgPool, user_id: &str) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select id from notifications where user_id = $1 order by id desc limit $2",
        user_id,
        MAX_ROWS + 1
    )
    .fetch_all(pool)
    .await
}

/// Returns notifications as JSON objects, by their ids, except those that were erased meanwhile.
///
/// # Errors
/// If the query fails.
pub async fn notifications(
    pool: &PgPool,
    ids: &[Uuid],
) -> Result<Vec<(Uuid, String)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select id, jsonb_build_object(
                   'source', source, 'itemId', item_id, 'userEmail', user_email, 'version', version,
                   'state', state, 'date', wire_time(date), 'notifyOffsets', notify_offsets,
                   'recurrence', recurrence, 'acknowledged', wire_time(acknowledged),
                   'content', content, 'changedOccurrences', changed_occurrences)::text as "json!"
               from notifications where id = any($1) order by id desc"#,
        ids,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.json)).collect())
}

/// Returns up to `limit` occurrences of each notification, in order of time, after a position.
///
/// # Errors
/// If the query fails.
pub async fn occurrences(
    pool: &PgPool,
    notifications: &[Uuid],
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<ExportedOccurrence>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select wanted.id as "notification_id!", found.id as "id!", found.due_at as "due_at!",
                   jsonb_build_object(
                       'dueAt', wire_time(found.due_at), 'date', wire_time(found.date),
                       'expiresAt', wire_time(found.expires_at), 'state', found.state,
                       'releasedAt', wire_time(found.released_at), 'sent', found.sent,
                       'failed', found.failed, 'suppressed', found.suppressed,
                       'reason', found.reason)::text as "json!"
               from unnest($1::uuid[]) as wanted (id)
               cross join lateral (
                   select * from occurrences
                   where notification_id = wanted.id
                     and ($2::timestamptz is null or (due_at, id) > ($2, $3::uuid))
                   order by due_at, id limit $4
               ) as found
               order by wanted.id, found.due_at, found.id"#,
        notifications,
        after.map(|(due_at, _)| due_at),
        after.map(|(_, id)| id),
        limit,
    )
    .fetch_all(pool)
    .await?;
    let occurrences = rows.into_iter().map(|row| ExportedOccurrence {
        notification_id: row.notification_id,
        position: (row.due_at, row.id),
        json: row.json,
    });
    Ok(occurrences.collect())
}

/// Returns up to `limit` events of a user as JSON objects, newest first, before a position.
///
/// # Errors
/// If the query fails.
pub async fn events(
    pool: &PgPool,
    user_id: &str,
    before: Option<Cursor>,
    limit: i64,
) -> Result<Vec<(Cursor, String)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select occurred_at, event_id, jsonb_build_object(
                   'occurredAt', wire_time(occurred_at), 'eventId', event_id, 'eventType',
                       event_type,
                   'itemId', item_id, 'version', version, 'data', data)::text as "json!"
               from events
               where user_id = $1 and ($2::timestamptz is null or occurred_at <= $2)
                 and ($2::timestamptz is null or (occurred_at, event_id) < ($2, $3::uuid))
               order by occurred_at desc, event_id desc limit $4"#,
        user_id,
        before.map(|cursor| cursor.occurred_at),
        before.map(|cursor| cursor.event_id),
        limit,
    )
    .fetch_all(pool)
    .await?;
    let position = |occurred_at, event_id| Cursor { occurred_at, event_id };
    Ok(rows.into_iter().map(|row| (position(row.occurred_at, row.event_id), row.json)).collect())
}
