//! Consumer of the notification queue. A batch is applied in a handful of set-based statements;
//! from the commit on, the ledger owns its deliveries and the messages are acknowledged.
//!
//! The queue brings released occurrences, revisions of occurrences that were released before,
//! erasures of users, and questions of event-service about occurrences without an outcome, in any
//! order and possibly more than once. A repeat changes nothing.

mod requests;
pub mod ses_bounces;

use bus::{Received, Settlement};
use service::consumer::{
    Handler,
    isolation::{Isolation, Outcome},
};

use crate::usecases::{
    accept_occurrences::{AcceptBatch, AcceptOccurrences},
    erase_users::EraseUsers,
    republish_outcomes::RepublishOutcomes,
    revise_pending_deliveries::ApplyRevisions,
};
use requests::Requests;

/// Handler of the notification queue.
pub struct NotificationHandler {
    /// Holds batches while the database is unreachable, and isolates messages that make them fail.
    pub isolation: Isolation,
    /// Writes released occurrences and their deliveries.
    pub accept: AcceptOccurrences,
    /// Applies revisions to pending deliveries.
    pub revise: ApplyRevisions,
    /// Publishes outcomes again.
    pub republish: RepublishOutcomes,
    /// Erases users.
    pub erase: EraseUsers,
}

impl Handler for NotificationHandler {
    async fn handle(&self, batch: &[Received]) -> Vec<Settlement> {
        let mut settlements = vec![Settlement::Done; batch.len()];
        let Requests { sends, revisions, erasures, questions, rejected } = Requests::read(batch);
        for (position, rejection) in rejected {
            settlements[position] = Settlement::Reject(rejection);
        }
        let mut settle = |position: usize, outcome: &Outcome| {
            settlements[position] = outcome.settlement(batch[position].receive_count);
        };
        let (erasures, positions): (Vec<_>, Vec<_>) = erasures.into_iter().unzip();
        let noted = self.isolation.apply(&self.erase.note(), &erasures).await;
        let mut erasing = Vec::with_capacity(erasures.len());
        for ((erasure, position), outcome) in erasures.into_iter().zip(positions).zip(noted) {
            match outcome {
                Outcome::Done => erasing.push((erasure, position)),
                undone => settle(position, &undone),
            }
        }
        let (revisions, positions): (Vec<_>, Vec<_>) = revisions.into_iter().unzip();
        for (outcome, position) in
            self.isolation.apply(&self.revise, &revisions).await.iter().zip(positions)
        {
            settle(position, outcome);
        }
        let (dispatches, positions): (Vec<_>, Vec<_>) = sends.into_values().unzip();
        let accept = AcceptBatch::new(&self.accept);
        for (outcome, positions) in
            self.isolation.apply(&accept, &dispatches).await.iter().zip(positions)
        {
            for position in positions {
                settle(position, outcome);
            }
        }
        // After the sends: an occurrence that a question brings is in the ledger by now.
        let (questions, positions): (Vec<_>, Vec<_>) = questions.into_iter().unzip();
        for (outcome, position) in
            self.isolation.apply(&self.republish, &questions).await.iter().zip(positions)
        {
            if settlements[position] == Settlement::Done {
                settlements[position] = outcome.settlement(batch[position].receive_count);
            }
        }
        // Last: no other message of the batch waits for the deletion of a user's rows.
        let (erasures, positions): (Vec<_>, Vec<_>) = erasing.into_iter().unzip();
        for (outcome, position) in
            self.isolation.apply(&self.erase, &erasures).await.iter().zip(positions)
        {
            settlements[position] = outcome.settlement(batch[position].receive_count);
        }
        settlements
    }
}
