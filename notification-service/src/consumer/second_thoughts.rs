//! Revisions and erasures, as the notification queue brings them: beside the intake, which they exclude for a moment.

use std::collections::BTreeMap;

use shared::{
    consumer::isolation::{Attempt, Outcome},
    outbox,
};
use uuid::Uuid;

use super::{Error, Intake, MAX_REVISED};
use crate::{
    erasure::Erasure,
    revision::Revision,
    store::{self, erasures, revisions},
    waiting,
};

/// Applies what messages revise.
pub(super) struct Revise<'a>(pub(super) &'a Intake);

impl Attempt for Revise<'_> {
    type Item = Vec<Revision>;
    type Error = Error;

    async fn attempt(&self, messages: &[Vec<Revision>]) -> Result<(), Error> {
        self.0.try_revise(&newest(messages.iter().flatten())).await
    }
}

/// Erases users, one after the other.
struct Erase<'a>(&'a Intake);

impl Attempt for Erase<'_> {
    type Item = Erasure;
    type Error = Error;

    async fn attempt(&self, erasures: &[Erasure]) -> Result<(), Error> {
        for erasure in erasures {
            self.0.try_erase(erasure).await?;
        }
        Ok(())
    }
}

impl Intake {
    /// Applies revisions, a bounded number in each transaction: one that is applied again changes nothing.
    async fn try_revise(&self, revisions: &[Revision]) -> Result<(), Error> {
        for part in revisions.chunks(MAX_REVISED) {
            self.revise_part(part).await?;
        }
        Ok(())
    }

    async fn revise_part(&self, revisions: &[Revision]) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        revisions::hold_intake(&mut *transaction).await?;
        let now = store::now(&mut *transaction).await?;
        let messages = waiting::revise(&mut transaction, revisions, now).await?;
        outbox::insert(&mut *transaction, &messages).await?;
        transaction.commit().await?;
        self.handoff.after_commit(messages);
        Ok(())
    }

    /// Erases users.
    pub(super) async fn erase(&self, erasures: &[Erasure]) -> Vec<Outcome> {
        self.isolation.apply(&Erase(self), erasures).await
    }

    /// Erases a user from the ledger and from the dead letters, as far as it was not done before.
    async fn try_erase(&self, erasure: &Erasure) -> Result<(), Error> {
        self.erase_from_ledger(erasure).await?;
        let (bus, queue) = &self.dead_letters;
        bus.erase_dead_letters(queue, &erasure.user_id).await?;
        Ok(())
    }

    async fn erase_from_ledger(&self, erasure: &Erasure) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        revisions::hold_intake(&mut *transaction).await?;
        let left = erasures::begin(&mut transaction, erasure).await?;
        transaction.commit().await?;
        // Done before, or as a part of a later one.
        let Some(erased_at) = left else { return Ok(()) };
        erasures::deliveries(&self.pool, &erasure.user_id, erased_at).await?;
        erasures::rest(&self.pool, &erasure.user_id, erased_at).await?;
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
