//! State of deliveries in the ledger, from which their outcomes are published again.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use contract::{Channel, DeliveryState, ReasonCode};
use sqlx::PgConnection;
use uuid::Uuid;

use super::payload;
use crate::domain::delivery::DeliveryKey;

/// State of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryStatus {
    /// Key of the delivery.
    pub key: DeliveryKey,
    /// State.
    pub state: DeliveryState,
    /// Reason code.
    pub reason: Option<ReasonCode>,
    /// Number of attempts made.
    pub attempts: i32,
    /// Time at which the delivery ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Time until which a deferred delivery waits.
    pub deferred_until: Option<DateTime<Utc>>,
    /// Provider's id of the message.
    pub provider_message_id: Option<String>,
    /// Version of the item in the ledger.
    pub version: i64,
    /// Number of deliveries of the occurrence.
    pub deliveries: i32,
}

/// Returns the deliveries of these occurrences, by occurrence. Occurrences that are not in the
/// ledger are left out.
///
/// # Errors
/// If the statement fails.
pub async fn of_occurrences(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Vec<DeliveryStatus>>, sqlx::Error> {
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
    let mut deliveries = HashMap::<Uuid, Vec<DeliveryStatus>>::new();
    for row in rows {
        let (Ok(channel), Ok(state)) = (row.channel.parse::<Channel>(), row.state.parse()) else {
            // A newer version of the service wrote it, and publishes it.
            payload::note("deliveries", row.occurrence_id);
            continue;
        };
        deliveries.entry(row.occurrence_id).or_default().push(DeliveryStatus {
            key: DeliveryKey {
                occurrence_id: row.occurrence_id,
                channel,
                device_id: row.device_id,
            },
            state,
            reason: row.reason.map(ReasonCode::stored),
            attempts: row.attempts,
            finished_at: row.finished_at,
            deferred_until: row.deferred_until,
            provider_message_id: row.provider_message_id,
            version: row.version,
            deliveries: row.deliveries,
        });
    }
    Ok(deliveries)
}
