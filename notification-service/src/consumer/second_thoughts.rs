//! Revisions and erasures, as the notification queue brings them: beside the intake, which they exclude for a moment.

use std::collections::BTreeMap;

use shared::{bus::Settlement, outbox};
use uuid::Uuid;

use super::{Error, Intake};
use crate::{
    erasure::Erasure,
    revision::Revision,
    store::{self, erasures, revisions},
    waiting,
};

impl Intake {
    /// Applies what the messages of a batch revise; one message by one when one of them cannot be written.
    pub(super) async fn revise(&self, messages: &[Vec<Revision>]) -> Vec<Settlement> {
        if messages.is_empty() {
            return Vec::new();
        }
        let newest = newest(messages.iter().flatten());
        match self.until_written(messages.len(), || self.try_revise(&newest)).await {
            Settlement::Reject(_) if messages.len() > 1 => {
                let mut settlements = Vec::with_capacity(messages.len());
                for message in messages {
                    let newest = newest_of(message);
                    settlements.push(self.until_written(1, || self.try_revise(&newest)).await);
                }
                settlements
            }
            settlement => vec![settlement; messages.len()],
        }
    }

    async fn try_revise(&self, revisions: &[Revision]) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        revisions::hold_intake(&mut *transaction).await?;
        let now = store::now(&mut *transaction).await?;
        let messages = waiting::revise(&mut transaction, revisions, now).await?;
        outbox::insert(&mut *transaction, &messages).await?;
        transaction.commit().await?;
        self.handoff.after_commit(messages);
        Ok(())
    }

    /// Erases a user.
    pub(super) async fn erase(&self, erasure: &Erasure) -> Settlement {
        self.until_written(1, || self.try_erase(erasure)).await
    }

    async fn try_erase(&self, erasure: &Erasure) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        revisions::hold_intake(&mut *transaction).await?;
        let left = erasures::begin(&mut transaction, erasure).await?;
        transaction.commit().await?;
        // Done before, or as a part of a later one.
        let Some(erased_at) = left else { return Ok(()) };
        erasures::deliveries(&self.pool, &erasure.user_id, erased_at).await?;
        let mut transaction = self.pool.begin().await?;
        erasures::complete(&mut transaction, &erasure.user_id, erased_at).await?;
        transaction.commit().await?;
        tracing::info!(receipt.id = erasure.receipt_id, "a user was erased");
        metrics::counter!("users_erased_total").increment(1);
        Ok(())
    }
}

/// The newest revision of each occurrence.
fn newest<'a>(revisions: impl Iterator<Item = &'a Revision>) -> Vec<Revision> {
    let mut newest = BTreeMap::<Uuid, &Revision>::new();
    for revision in revisions {
        let known = newest.entry(revision.occurrence_id).or_insert(revision);
        if known.version < revision.version {
            *known = revision;
        }
    }
    newest.into_values().cloned().collect()
}

fn newest_of(message: &[Revision]) -> Vec<Revision> {
    newest(message.iter())
}
