//! Revisions and erasures, as the notification queue brings them: beside the intake, which they
//! exclude for a moment.

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

/// Notes erasures, all in one transaction: from its commit on nothing from before is taken in.
struct Note<'a>(&'a Intake);

impl Attempt for Note<'_> {
    type Item = Erasure;
    type Error = Error;

    async fn attempt(&self, erasures: &[Erasure]) -> Result<(), Error> {
        let mut transaction = self.0.pool.begin().await?;
        revisions::hold_intake(&mut *transaction).await?;
        for erasure in erasures {
            erasures::note(&mut transaction, erasure).await?;
        }
        Ok(transaction.commit().await?)
    }
}

/// Erases users whose erasures are noted.
struct Erase<'a>(&'a Intake);

impl Attempt for Erase<'_> {
    type Item = Erasure;
    type Error = Error;

    async fn attempt(&self, erasures: &[Erasure]) -> Result<(), Error> {
        self.0.try_erase(erasures).await
    }
}

impl Intake {
    /// Applies revisions, a bounded number in each transaction: one that is applied again changes
    /// nothing.
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
        self.recalls.poll_now();
        self.handoff.after_commit(messages);
        Ok(())
    }

    /// Notes erasures.
    pub(super) async fn note(&self, erasures: &[Erasure]) -> Vec<Outcome> {
        self.isolation.apply(&Note(self), erasures).await
    }

    /// Erases users whose erasures are noted.
    pub(super) async fn erase(&self, erasures: &[Erasure]) -> Vec<Outcome> {
        self.isolation.apply(&Erase(self), erasures).await
    }

    /// Erases users from the ledger, as far as it was not done before or as a part of a later
    /// erasure.
    async fn try_erase(&self, erasures: &[Erasure]) -> Result<(), Error> {
        let users: Vec<&str> = erasures.iter().map(|erasure| erasure.user_id.as_str()).collect();
        let unfinished = erasures::unfinished(&self.pool, &users).await?;
        for unfinished in &unfinished {
            erasures::deliveries(&self.pool, &unfinished.user_id, unfinished.erased_at).await?;
            erasures::rest(&self.pool, &unfinished.user_id, unfinished.erased_at).await?;
            let mut transaction = self.pool.begin().await?;
            erasures::complete(&mut transaction, &unfinished.user_id, unfinished.erased_at).await?;
            transaction.commit().await?;
            tracing::info!(receipt.id = unfinished.receipt_id, "user data was erased");
            metrics::counter!("reminders_users_erased_total").increment(1);
        }
        Ok(())
    }
}

/// The newest revision of each occurrence.
fn newest<'a>(revisions: impl Iterator<Item = &'a Revision>) -> Vec<Revision> {
    let mut newest = BTreeMap::<Uuid, &Revision>::new();
    for revision in revisions {
        let known = newest.entry(revision.occurrence_id).or_insert(revision);
        if revision.replaces(known.version) {
            *known = revision;
        }
    }
    newest.into_values().cloned().collect()
}
