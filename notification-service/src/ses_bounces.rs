//! What SES says of e-mails after it accepted them: a mailbox that bounced for good or complained
//! is not written to again, and a delivery that was told as sent and did not arrive is told once
//! more, as failed.
//!
//! SES publishes at least once, and often more. Nothing is remembered of a message: a delivery is
//! corrected while it is `sent`, an address is suppressed while it is not, and neither happens
//! twice.

pub mod notice;

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use shared::{
    bus::{Received, Rejection, Settlement},
    consumer::{
        Handler,
        isolation::{Attempt, Failure, Isolation, Outcome},
    },
    contract::{DeliveryState, Reason},
    db::{self, FailureClass},
    outbox::{self, Handoff},
};
use sqlx::PgPool;

use crate::{
    clock::DbClock,
    events::{self, DeliveryOutcome},
    store::ses_bounces,
};
use notice::{Correction, Notice, SuppressionCause};

/// SES may be quicker than our record of what it accepted: what names an e-mail that the ledger
/// does not know is looked at again so often, after such a pause. After that it is not ours, or was
/// forgotten.
const MAX_RECEIVES: u32 = 5;
const RECEIVE_AGAIN_AFTER: Duration = Duration::from_secs(15);

/// The handler of the queue of SES's feedback.
pub struct SesFeedback {
    /// The devices database.
    pub pool: PgPool,
    /// Its time.
    pub clock: Arc<DbClock>,
    /// The way to the relay.
    pub handoff: Handoff,
    /// Holds batches while the database is away, and finds what makes them fail.
    pub isolation: Isolation,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("write what SES says")]
    Sql(#[from] sqlx::Error),
    #[error("write an event as JSON")]
    Json(#[from] serde_json::Error),
}

impl Failure for Error {
    fn class(&self) -> FailureClass {
        match self {
            Self::Json(_) => FailureClass::Data,
            Self::Sql(error) => db::failure_class(error),
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Sql(sqlx::Error::Database(error)) => {
                format!("it cannot be stored: SQLSTATE {}", error.code().unwrap_or_default())
            }
            _ => "it cannot be stored".to_owned(),
        }
    }
}

/// Writes what notices ask for, and gathers the ids of the e-mails among them that the ledger has.
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

/// Returns how to settle a message whose notice is written, by the e-mails that the ledger knows.
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
    /// Writes what notices ask for; the ids of the e-mails among them that the ledger has.
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
        for it in accepted.iter().filter(|it| it.state == DeliveryState::Sent) {
            let Some(&reason) = corrections.get(it.provider_message_id.as_str()) else { continue };
            failed.push((it.key, reason));
            let ending =
                DeliveryOutcome::undelivered(reason, it.attempts, now, &it.provider_message_id);
            messages.extend(events::outcome(&it.dispatch, it.key, &ending)?);
        }
        ses_bounces::correct(&mut *transaction, &failed, now).await?;
        ses_bounces::suppress(&mut *transaction, &suppressions).await?;
        outbox::insert(&mut *transaction, &messages).await?;
        transaction.commit().await?;
        for (_, reason) in failed {
            metrics::counter!("reminders_deliveries_corrected_total", "reason" => reason)
                .increment(1);
        }
        self.handoff.after_commit(messages);
        Ok(accepted.into_iter().map(|it| it.provider_message_id).collect())
    }
}

/// What a batch asks for, each once: of what is said twice of an e-mail or of an address, the
/// first.
fn merge<'a>(
    notices: &[&'a Notice],
) -> (BTreeMap<&'a str, &'static str>, BTreeMap<&'a [u8], SuppressionCause>) {
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
