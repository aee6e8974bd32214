//! What SES says of e-mails after it accepted them: a mailbox that bounced for good or complained is not written to again, and a
//! delivery that was told as sent and did not arrive is told once more, as failed.
//!
//! SES publishes at least once, and often more. Nothing is remembered of a message: a delivery is corrected while it is `sent`, an
//! address is suppressed while it is not, and neither happens twice.

pub mod notice;

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use shared::{
    bus::{Received, Settlement},
    consumer::Handler,
    contract::DeliveryState,
    db,
    outbox::{self, Handoff},
};
use sqlx::PgPool;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::DbClock,
    events::{self, Ending},
    store::feedback,
};
use notice::{Correction, Grounds, Notice};

/// SES may be quicker than our record of what it accepted: what names an e-mail that the ledger does not know is looked at again
/// so often, after such a pause. After that it is not ours, or was forgotten.
const LOOKS: u32 = 5;
const BETWEEN_LOOKS: Duration = Duration::from_secs(15);
/// The pause before a batch that met trouble in the database is tried again, at first and at most. It is tried again in
/// place: every return to the queue would bring its messages nearer to the dead letters.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The handler of the queue of SES's feedback.
pub struct Feedback {
    /// The devices database.
    pub pool: PgPool,
    /// Its time.
    pub clock: Arc<DbClock>,
    /// The way to the relay.
    pub handoff: Handoff,
    /// Ends the waiting for a database that is away.
    pub shutdown: CancellationToken,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("write what SES says")]
    Sql(#[from] sqlx::Error),
    #[error("write an event as JSON")]
    Json(#[from] serde_json::Error),
}

impl Handler for Feedback {
    async fn handle(&self, batch: &[Received]) -> Vec<Settlement> {
        let read: Vec<_> = batch.iter().map(|message| Notice::read(&message.body)).collect();
        let known = self.until_written(&read.iter().flatten().collect::<Vec<_>>()).await;
        let settlements = batch.iter().zip(&read).map(|(message, read)| match read {
            Err(unreadable) => Settlement::Reject(unreadable.to_string()),
            Ok(notice) => settle(notice, known.as_ref(), message.receive_count),
        });
        settlements.collect()
    }
}

/// What becomes of a message, once the e-mails are known that the ledger has; without them nothing was written.
fn settle(notice: &Notice, known: Option<&HashSet<String>>, receive_count: u32) -> Settlement {
    let is_known = |it: &Correction| known.is_some_and(|known| known.contains(&it.provider_message_id));
    match &notice.correction {
        _ if known.is_none() => return Settlement::RetryAfter(Duration::ZERO),
        Some(correction) if !is_known(correction) && receive_count < LOOKS => {
            return Settlement::RetryAfter(BETWEEN_LOOKS);
        }
        _ => {}
    }
    metrics::counter!("feedback_total", "kind" => notice.kind.as_str()).increment(1);
    Settlement::Done
}

impl Feedback {
    /// Tries to write what notices ask for until it is written; nothing when the process is to end before.
    async fn until_written(&self, notices: &[&Notice]) -> Option<HashSet<String>> {
        let mut pause = AGAIN.0;
        loop {
            let error = match self.try_write(notices).await {
                Ok(known) => return Some(known),
                Err(error) => error,
            };
            let is_transient = matches!(&error, Error::Sql(error) if db::is_transient(error));
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                is_transient,
                messages = notices.len(),
                "feedback could not be written; trying again"
            );
            tokio::select! {
                () = sleep(pause) => {}
                () = self.shutdown.cancelled() => return None,
            }
            pause = (pause * 2).min(AGAIN.1);
        }
    }

    /// Writes what notices ask for; the ids of the e-mails among them that the ledger has.
    async fn try_write(&self, notices: &[&Notice]) -> Result<HashSet<String>, Error> {
        let (corrections, suppressions) = gathered(notices);
        if corrections.is_empty() && suppressions.is_empty() {
            return Ok(HashSet::new());
        }
        let now = self.clock.now();
        let mut transaction = self.pool.begin().await?;
        let ids: Vec<&str> = corrections.keys().copied().collect();
        let accepted = feedback::accepted(&mut transaction, &ids).await?;
        let (mut failed, mut messages) = (Vec::new(), Vec::new());
        for it in accepted.iter().filter(|it| it.state == DeliveryState::Sent) {
            let Some(&reason) = corrections.get(it.provider_message_id.as_str()) else { continue };
            failed.push((it.key, reason));
            let ending = Ending::undelivered(reason, it.attempts, now, &it.provider_message_id);
            messages.extend(events::outcome(&it.dispatch, it.key, &ending)?);
        }
        feedback::correct(&mut *transaction, &failed, now).await?;
        feedback::suppress(&mut *transaction, &suppressions).await?;
        outbox::insert(&mut *transaction, &messages).await?;
        transaction.commit().await?;
        for (_, reason) in failed {
            metrics::counter!("deliveries_corrected_total", "reason" => reason).increment(1);
        }
        self.handoff.after_commit(messages);
        Ok(accepted.into_iter().map(|it| it.provider_message_id).collect())
    }
}

/// What a batch asks for, each once: of what is said twice of an e-mail or of an address, the first.
fn gathered<'a>(notices: &[&'a Notice]) -> (BTreeMap<&'a str, &'static str>, BTreeMap<&'a [u8], Grounds>) {
    let (mut corrections, mut suppressions) = (BTreeMap::new(), BTreeMap::new());
    for notice in notices {
        if let Some(Correction { provider_message_id, reason }) = &notice.correction {
            corrections.entry(provider_message_id.as_str()).or_insert(*reason);
        }
        for suppression in &notice.suppressions {
            suppressions.entry(suppression.digest.as_slice()).or_insert(suppression.grounds);
        }
    }
    (corrections, suppressions)
}
