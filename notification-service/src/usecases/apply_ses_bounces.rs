//! Bounces and complaints of SES about e-mails that it had accepted. An address with a permanent
//! bounce or a complaint is suppressed. A delivery that was published as sent and did not arrive is
//! published again, as failed.
//!
//! SES publishes each notice at least once. No ids of notices are stored: a delivery is corrected
//! only while it is `sent`, and an address is suppressed only if it is not yet, so that a repeated
//! notice has no effect.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use contract::{DeliveryState, Reason};
use service::outbox::{self, OutboxMessage, RelayHandle};
use sqlx::PgPool;

use super::Error;
use crate::{
    clock::DbClock,
    domain::{
        events::{self, DeliveryOutcome},
        ses_notice::{Correction, Notice},
        suppression::SuppressionCause,
    },
    store::ses_bounces,
};

/// Applies notices of SES.
pub struct ApplySesBounces {
    /// Pool of the devices database.
    pub pool: PgPool,
    /// Clock of the database.
    pub clock: Arc<DbClock>,
    /// Hands published messages to the relay.
    pub relay_handle: RelayHandle,
}

impl ApplySesBounces {
    /// Applies notices in one transaction. Returns the ids of the e-mails that the ledger knows.
    ///
    /// # Errors
    /// If a statement fails or an event cannot be serialized.
    pub async fn apply(&self, notices: &[&Notice]) -> Result<HashSet<String>, Error> {
        let (corrections, suppressions) = merge(notices);
        if corrections.is_empty() && suppressions.is_empty() {
            return Ok(HashSet::new());
        }
        let now = self.clock.now();
        let mut transaction = self.pool.begin().await?;
        let ids: Vec<&str> = corrections.keys().copied().collect();
        let accepted = ses_bounces::accepted(&mut transaction, &ids).await?;
        let (mut failed, mut messages) = (Vec::new(), Vec::new());
        for email in accepted.iter().filter(|email| email.state == DeliveryState::Sent) {
            let id = email.provider_message_id.as_str();
            let Some(&reason) = corrections.get(id) else { continue };
            failed.push((email.key, reason));
            let outcome = DeliveryOutcome::undelivered(reason, email.attempts, now, id);
            messages.extend(
                events::outcome(&email.dispatch, email.key, &outcome)
                    .as_ref()
                    .map(OutboxMessage::of)
                    .transpose()?,
            );
        }
        ses_bounces::correct(&mut *transaction, &failed, now).await?;
        ses_bounces::suppress(&mut *transaction, &suppressions).await?;
        outbox::insert(&mut *transaction, &messages).await?;
        transaction.commit().await?;
        for (_, reason) in failed {
            metrics::counter!("reminders_deliveries_corrected_total", "reason" => reason.as_str())
                .increment(1);
        }
        self.relay_handle.after_commit(messages);
        Ok(accepted.into_iter().map(|email| email.provider_message_id).collect())
    }
}

/// Merges the corrections and suppressions of a batch. The first one of each e-mail and of each
/// address counts.
fn merge<'a>(
    notices: &[&'a Notice],
) -> (BTreeMap<&'a str, Reason>, BTreeMap<&'a [u8], SuppressionCause>) {
    let (mut corrections, mut suppressions) = (BTreeMap::new(), BTreeMap::new());
    for notice in notices {
        if let Some(Correction { provider_message_id, reason }) = &notice.correction {
            corrections.entry(provider_message_id.as_str()).or_insert(*reason);
        }
        for suppression in &notice.suppressions {
            suppressions.entry(suppression.digest.as_slice()).or_insert(suppression.cause);
        }
    }
    (corrections, suppressions)
}
