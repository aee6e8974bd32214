//! Bounces, complaints and other feedback of SES on e-mails that it had accepted. An address with a
//! permanent bounce or a complaint is suppressed. A delivery that was published as sent and did not
//! arrive is published again, as failed.
//!
//! SES publishes each message at least once. No message ids are stored: a delivery is corrected
//! only while it is `sent`, and an address is suppressed only if it is not yet, so that a repeated
//! message has no effect.

pub mod notice;

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bus::{Received, Rejection, Settlement};
use contract::{DeliveryState, Reason};
use service::{
    consumer::{
        Handler,
        isolation::{Attempt, Isolation, Outcome},
    },
    outbox::{self, OutboxMessage, RelayHandle},
};
use sqlx::PgPool;

use crate::{
    clock::DbClock,
    domain::{
        events::{self, DeliveryOutcome},
        suppression::SuppressionCause,
    },
    store::ses_bounces,
    usecases::Error,
};
use notice::{Correction, Notice};

/// Number of times that a message about an unknown e-mail is received, and the pause in between:
/// SES may be faster than our record of what it accepted. After that the e-mail is not ours, or was
/// purged.
const MAX_RECEIVES: u32 = 5;
const RECEIVE_AGAIN_AFTER: Duration = Duration::from_secs(15);

/// Handler of the queue of SES's feedback.
pub struct SesFeedback {
    /// Devices database.
    pub pool: PgPool,
    /// Clock of the database.
    pub clock: Arc<DbClock>,
    /// Hands committed messages to the relay.
    pub relay_handle: RelayHandle,
    /// Holds batches while the database is unreachable, and isolates messages that fail.
    pub isolation: Isolation,
}

/// Applies notices, and collects the ids of the e-mails that the ledger knows.
struct Write<'a> {
    feedback: &'a SesFeedback,
    known: Mutex<HashSet<String>>,
}

impl<'a> Attempt for Write<'a> {
    type Item = &'a Notice;
    type Error = Error;

    async fn attempt(&self, notices: &[&'a Notice]) -> Result<(), Error> {
        let known = self.feedback.try_write(notices).await?;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).extend(known);
        Ok(())
    }
}

impl Handler for SesFeedback {
    async fn handle(&self, batch: &[Received]) -> Vec<Settlement> {
        let read: Vec<_> = batch.iter().map(|message| Notice::read(&message.body)).collect();
        let notices: Vec<&Notice> = read.iter().flatten().collect();
        let write = Write { feedback: self, known: Mutex::default() };
        let mut outcomes = self.isolation.apply(&write, &notices).await.into_iter();
        let known = write.known.into_inner().unwrap_or_else(PoisonError::into_inner);
        let settlements = batch.iter().zip(&read).map(|(message, read)| match read {
            Err(unreadable) => {
                Settlement::Reject(Rejection::new(Reason::Unreadable, unreadable.to_string()))
            }
            Ok(notice) => match outcomes.next() {
                Some(Outcome::Done) => settle(notice, &known, message.receive_count),
                Some(other) => other.settlement(message.receive_count),
                None => Settlement::RetryAfter(Duration::ZERO),
            },
        });
        settlements.collect()
    }
}

/// Returns how to settle a message whose notice was applied, given the e-mails that the ledger
/// knows.
fn settle(notice: &Notice, known: &HashSet<String>, receive_count: u32) -> Settlement {
    match &notice.correction {
        Some(correction)
            if !known.contains(&correction.provider_message_id) && receive_count < MAX_RECEIVES =>
        {
            return Settlement::RetryAfter(RECEIVE_AGAIN_AFTER);
        }
        _ => {}
    }
    metrics::counter!("reminders_email_feedback_total", "kind" => notice.kind.as_str())
        .increment(1);
    Settlement::Done
}

impl SesFeedback {
    /// Applies notices. Returns the ids of the e-mails that the ledger knows.
    async fn try_write(&self, notices: &[&Notice]) -> Result<HashSet<String>, Error> {
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
