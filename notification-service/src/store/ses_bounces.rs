//! Effects of SES's feedback: e-mails that failed after SES accepted them, and addresses that must
//! not be written to again. Call these functions in one transaction: they lock the deliveries that
//! they return.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use contract::{Channel, DeliveryState, Reason};
use db::StoredTime;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::{ledger::dispatch, payload};
use crate::domain::{
    delivery::{DeliveryKey, Dispatch},
    suppression::SuppressionCause,
};

/// E-mail that SES accepted.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// Key of the delivery.
    pub key: DeliveryKey,
    /// Occurrence that it delivers.
    pub dispatch: Arc<Dispatch>,
    /// Id that SES gave to the e-mail.
    pub provider_message_id: String,
    /// State: `sent`, until it is corrected.
    pub state: DeliveryState,
    /// Number of attempts made.
    pub attempts: i32,
}

/// Returns and locks the e-mails with these ids of SES.
///
/// # Errors
/// If the statement fails.
pub async fn accepted(
    connection: &mut PgConnection,
    provider_message_ids: &[&str],
) -> Result<Vec<Accepted>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select d.occurrence_id, d.device_id, d.state, d.attempts, d.provider_message_id as "provider_message_id!",
               p.user_id, p.user_email, p.version, p.source, p.item_id,
               p.due_at as "due_at: StoredTime", p.expires_at as "expires_at: StoredTime",
               p.payload::text as "payload!", p.deliveries, p.traceparent
           from deliveries as d join dispatches as p on p.occurrence_id = d.occurrence_id
           where d.channel = 'email' and d.provider_message_id is not null and d.provider_message_id = any($1)
           order by d.occurrence_id, d.device_id
           for update of d"#,
        provider_message_ids as &[&str],
    )
    .fetch_all(connection)
    .await?;
    let accepted = rows.into_iter().filter_map(|row| {
        let Ok(state) = row.state.parse() else {
            payload::note("deliveries", row.occurrence_id);
            return None;
        };
        let key = DeliveryKey {
            occurrence_id: row.occurrence_id,
            channel: Channel::Email,
            device_id: row.device_id,
        };
        let (provider_message_id, attempts) = (row.provider_message_id, row.attempts);
        let (dispatch, _) = dispatch!(row);
        Some(Accepted { key, dispatch, provider_message_id, state, attempts })
    });
    Ok(accepted.collect())
}

/// Changes e-mails from sent to failed, each for its reason.
///
/// # Errors
/// If the statement fails.
pub async fn correct(
    executor: impl PgExecutor<'_>,
    failed: &[(DeliveryKey, Reason)],
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let occurrences: Vec<Uuid> = failed.iter().map(|(key, _)| key.occurrence_id).collect();
    let devices: Vec<Uuid> = failed.iter().map(|(key, _)| key.device_id).collect();
    let reasons: Vec<&str> = failed.iter().map(|(_, reason)| reason.as_str()).collect();
    sqlx::query!(
        "update deliveries as d set state = 'failed', reason = failure.reason, finished_at = $4
         from unnest($1::uuid[], $2::uuid[], $3::text[]) as failure (occurrence_id, device_id, reason)
         where d.occurrence_id = failure.occurrence_id and d.channel = 'email' and d.device_id = failure.device_id and d.state = 'sent'",
        &occurrences,
        &devices,
        &reasons as &[&str],
        at,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Suppresses addresses, by their digests; an address that is suppressed already keeps its first
/// grounds. The rows are locked in the order of the digests, so that no two batches wait for each
/// other.
///
/// # Errors
/// If the statement fails.
pub async fn suppress(
    executor: impl PgExecutor<'_>,
    addresses: &BTreeMap<&[u8], SuppressionCause>,
) -> Result<(), sqlx::Error> {
    let digests: Vec<Vec<u8>> = addresses.keys().map(|digest| digest.to_vec()).collect();
    let causes: Vec<&str> = addresses.values().map(|cause| cause.as_str()).collect();
    sqlx::query!(
        "insert into suppressed_addresses (address_hash, reason)
         select * from unnest($1::bytea[], $2::text[])
         on conflict (address_hash) do nothing",
        &digests,
        &causes as &[&str],
    )
    .execute(executor)
    .await?;
    Ok(())
}
