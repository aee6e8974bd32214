//! Erasure of users: deletes everything that the service stores of them up to a time.

use service::consumer::isolation::Attempt;
use sqlx::PgPool;

use super::Error;
use crate::{
    domain::erasure::Erasure,
    store::{erasures, revisions},
};

/// Erases users whose erasures are noted, as far as that was not done before or as part of a later
/// erasure.
pub struct EraseUsers {
    /// Pool of the devices database.
    pub pool: PgPool,
}

impl EraseUsers {
    /// Returns the step before the deletion, which notes erasures.
    pub(crate) fn note(&self) -> NoteErasures<'_> {
        NoteErasures(&self.pool)
    }
}

/// Notes erasures, all in one transaction: from its commit on, no occurrence from before is
/// written.
pub(crate) struct NoteErasures<'a>(&'a PgPool);

impl Attempt for NoteErasures<'_> {
    type Item = Erasure;
    type Error = Error;

    async fn attempt(&self, erasures: &[Erasure]) -> Result<(), Error> {
        let mut transaction = self.0.begin().await?;
        revisions::hold_intake(&mut *transaction).await?;
        for erasure in erasures {
            erasures::note(&mut transaction, erasure).await?;
        }
        Ok(transaction.commit().await?)
    }
}

impl Attempt for EraseUsers {
    type Item = Erasure;
    type Error = Error;

    async fn attempt(&self, erasures: &[Erasure]) -> Result<(), Error> {
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
