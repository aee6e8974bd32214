//! Everything that is kept of a user, for themselves.

use chrono::{DateTime, Utc};
use shared::{contract::SendData, db::StoredTime};
use sqlx::PgExecutor;
use uuid::Uuid;

use super::payload;

/// A device, a dead one included; never its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptDevice {
    /// Its id.
    pub id: Uuid,
    /// `web`, `android` or `ios`.
    pub device_type: String,
    /// What its user calls it.
    pub name: Option<String>,
    /// When it was first registered.
    pub created_at: DateTime<Utc>,
    /// When it was last registered.
    pub last_seen_at: DateTime<Utc>,
    /// When its token turned out dead.
    pub invalidated_at: Option<DateTime<Utc>>,
}

/// A delivery with what it said.
#[derive(Debug, Clone)]
pub struct KeptDelivery {
    /// Its id; the place to go on from.
    pub id: Uuid,
    /// The occurrence.
    pub occurrence_id: Uuid,
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
    /// When it came here.
    pub received_at: DateTime<Utc>,
    /// When it came to its end.
    pub finished_at: Option<DateTime<Utc>>,
    /// Where the user's e-mail went.
    pub user_email: Option<String>,
    /// The content; empty if this version cannot read it.
    pub send: SendData,
}

/// Every device of a user, oldest first.
///
/// # Errors
/// When the statement fails.
pub async fn devices(
    executor: impl PgExecutor<'_>,
    user_id: &str,
) -> Result<Vec<KeptDevice>, sqlx::Error> {
    sqlx::query_as!(
        KeptDevice,
        // Each half by its own index.
        "select id, type as device_type, name, created_at, last_seen_at, invalidated_at from devices
         where id = any(array(
             select id from devices where user_id = $1 and invalidated_at is null
             union all
             select id from devices where user_id = $1 and invalidated_at is not null))
         order by id",
        user_id,
    )
    .fetch_all(executor)
    .await
}

/// Up to `limit` deliveries of a user, newest first, older than the one named by `before`.
///
/// # Errors
/// When the statement fails.
pub async fn deliveries(
    executor: impl PgExecutor<'_>,
    user_id: &str,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<KeptDelivery>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select d.id, d.occurrence_id, d.channel, d.device_id, d.state, d.reason, d.attempts, p.received_at, d.finished_at,
               p.user_email, p.source, p.item_id,
               p.due_at as "due_at: StoredTime", p.expires_at as "expires_at: StoredTime", p.payload::text as "payload!"
           from deliveries as d join dispatches as p on p.occurrence_id = d.occurrence_id
           where d.user_id = $1 and d.id < coalesce($2, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
           order by d.id desc limit $3"#,
        user_id,
        before,
        limit,
    )
    .fetch_all(executor)
    .await?;
    let kept = rows.into_iter().map(|row| {
        let columns = payload::Columns {
            occurrence_id: row.occurrence_id,
            source: row.source,
            item_id: row.item_id,
            due_at: row.due_at,
            expires_at: row.expires_at,
        };
        KeptDelivery {
            id: row.id,
            occurrence_id: row.occurrence_id,
            channel: row.channel,
            device_id: row.device_id,
            state: row.state,
            reason: row.reason,
            attempts: row.attempts,
            received_at: row.received_at,
            finished_at: row.finished_at,
            user_email: row.user_email,
            send: payload::send(&row.payload, columns).0,
        }
    });
    Ok(kept.collect())
}
