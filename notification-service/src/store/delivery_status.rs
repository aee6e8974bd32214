//! Outcomes that the ledger has told of occurrences, to tell them again.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use shared::contract::{Channel, DeliveryState};
use sqlx::PgConnection;
use uuid::Uuid;

use super::payload;
use crate::delivery::DeliveryKey;

/// A delivery as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Which one it is.
    pub key: DeliveryKey,
    /// The state.
    pub state: DeliveryState,
    /// Why.
    pub reason: Option<String>,
    /// Attempts made.
    pub attempts: i32,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Of a deferred one: until when.
    pub deferred_until: Option<DateTime<Utc>>,
    /// The provider's id of the message.
    pub provider_message_id: Option<String>,
    /// The item's version, as the ledger knows it.
    pub version: i64,
    /// Deliveries that the occurrence has in all.
    pub deliveries: i32,
}

/// The deliveries of these occurrences, by occurrence; of one that the ledger does not know there
/// are none.
///
/// # Errors
/// When the statement fails.
pub async fn of_occurrences(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Vec<Told>>, sqlx::Error> {
    let rows = sqlx::query!(
        "select d.occurrence_id, d.channel, d.device_id, d.state, d.reason, d.attempts, d.finished_at, d.deferred_until,
             d.provider_message_id, p.version, p.deliveries
         from deliveries as d join dispatches as p on p.occurrence_id = d.occurrence_id
         where d.occurrence_id = any($1)
         order by d.occurrence_id, d.channel, d.device_id",
        ids,
    )
    .fetch_all(connection)
    .await?;
    let mut told = HashMap::<Uuid, Vec<Told>>::new();
    for row in rows {
        let (Ok(channel), Ok(state)) = (row.channel.parse::<Channel>(), row.state.parse()) else {
            // A newer version of the service wrote it, and tells of it.
            payload::note("deliveries", row.occurrence_id);
            continue;
        };
        told.entry(row.occurrence_id).or_default().push(Told {
            key: DeliveryKey {
                occurrence_id: row.occurrence_id,
                channel,
                device_id: row.device_id,
            },
            state,
            reason: row.reason,
            attempts: row.attempts,
            finished_at: row.finished_at,
            deferred_until: row.deferred_until,
            provider_message_id: row.provider_message_id,
            version: row.version,
            deliveries: row.deliveries,
        });
    }
    Ok(told)
}
