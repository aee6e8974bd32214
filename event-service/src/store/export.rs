//! Everything that is held of a user.

use serde_json::Value;

use super::Store;

/// The most rows of a kind that one export holds; the newest.
pub const MOST: i64 = 100_000;

/// What is held of a user.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// Notifications with their occurrences, as JSON objects.
    pub notifications: Vec<Value>,
    /// Events of the catalogue, as JSON objects, newest first.
    pub events: Vec<Value>,
}

impl Store {
    /// Everything that is held of a user.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn held_of(&self, user_id: &str) -> Result<Held, sqlx::Error> {
        let notifications = sqlx::query_scalar!(
            r#"select jsonb_build_object(
                   'source', source, 'itemId', item_id, 'userEmail', user_email, 'version', version, 'state', state, 'date', wire_time(date),
                   'notifyOffsets', notify_offsets, 'recurrence', recurrence, 'acknowledged', wire_time(acknowledged), 'content', content,
                   'occurrences', coalesce((
                       select jsonb_agg(jsonb_build_object('dueAt', wire_time(due_at), 'date', wire_time(date), 'expiresAt', wire_time(expires_at), 'state', state,
                                  'releasedAt', wire_time(released_at), 'sent', sent, 'failed', failed, 'suppressed', suppressed, 'reason', reason) order by due_at)
                       from occurrences where notification_id = notifications.id), '[]')) as "row!"
               from notifications where user_id = $1 order by occurred_at desc limit $2"#,
            user_id,
            MOST,
        );
        let events = sqlx::query_scalar!(
            r#"select jsonb_build_object('occurredAt', wire_time(occurred_at), 'eventId', event_id, 'eventType', event_type, 'itemId', item_id,
                   'version', version, 'data', data) as "row!"
               from events where user_id = $1 order by occurred_at desc limit $2"#,
            user_id,
            MOST,
        );
        Ok(Held {
            notifications: notifications.fetch_all(&self.pool).await?,
            events: events.fetch_all(&self.pool).await?,
        })
    }
}
