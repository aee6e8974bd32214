//! All stored data of a user, for the export.

use chrono::{DateTime, Utc};
use contract::SendData;
use db::StoredTime;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::payload;

/// Device, live or a tombstone. Never contains the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptDevice {
    /// Id of the device.
    pub id: Uuid,
    /// `web`, `android` or `ios`.
    pub device_type: String,
    /// Name that the user gave to the device.
    pub name: Option<String>,
    /// Time of the first registration.
    pub created_at: DateTime<Utc>,
    /// Time of the last registration.
    pub last_seen_at: DateTime<Utc>,
    /// Time at which the token was found dead.
    pub invalidated_at: Option<DateTime<Utc>>,
}

/// Delivery with its content.
#[derive(Debug, Clone)]
pub struct KeptDelivery {
    /// Id of the delivery; the cursor of the next page.
    pub id: Uuid,
    /// Occurrence.
    pub occurrence_id: Uuid,
    /// Channel.
    pub channel: String,
    /// Device of a push; the nil UUID if there is none.
    pub device_id: Uuid,
    /// State.
    pub state: String,
    /// Reason code.
    pub reason: Option<String>,
    /// Number of attempts made.
    pub attempts: i32,
    /// Time at which the service received the occurrence.
    pub received_at: DateTime<Utc>,
    /// Time at which the delivery ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Mail address of the user.
    pub user_email: Option<String>,
    /// Content; empty if this version of the service cannot read it.
    pub send: SendData,
}

/// Returns every device of a user, oldest first.
///
/// # Errors
/// If the statement fails.
pub async fn devices(
    executor: impl PgExecutor<'_>,
    user_id: &str,
) -> Result<Vec<KeptDevice>, sqlx::Error> {
    sqlx::query_as!(
        KeptDevice,
        // Each half uses its own index.
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

/// Returns up to `limit` deliveries of a user, newest first, older than `before`.
///
/// # Errors
/// If the statement fails.
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
