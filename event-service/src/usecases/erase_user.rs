//! Deletes the rows of erased users in the background, chunk after chunk, and their dead letters:
//! no batch of events waits for either.

use std::time::Duration;

use bus::SharedBus;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::store::{Erasure, Pass, Store};

/// Pause between two looks for erasures that a crashed replica has left, when none is noted here.
const PERIOD: Duration = Duration::from_secs(10);
/// Pause before the last pass while transactions are open that began before the erasure.
const SETTLE: Duration = Duration::from_secs(1);
/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(5);

/// The queues whose dead letters are a part of an erasure.
pub struct DeadLetters {
    /// The bus.
    pub bus: SharedBus,
    /// The queue of events, which is this service's own.
    pub event_queue: String,
    /// The queue of notifications, which may not be there yet.
    pub notification_queue: String,
}

impl DeadLetters {
    /// Removes an erased user's dead letters: one look at all letters of each queue.
    async fn remove(&self, erasure: &Erasure) -> Result<(), bus::Error> {
        let user_id = erasure.user_id();
        let mut removed = self.bus.erase_dead_letters(&self.event_queue, user_id).await?;
        match self.bus.erase_dead_letters(&self.notification_queue, user_id).await {
            Ok(others) => removed += others,
            Err(error @ bus::Error::Unavailable { .. }) => return Err(error),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                queue = self.notification_queue,
                "dead letters of the erased user were not deleted, will not be retried"
            ),
        }
        tracing::info!(
            removed,
            receipt.id = erasure.receipt_id,
            "dead letters of the erased user were deleted"
        );
        Ok(())
    }
}

/// Error that interrupted an erasure.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// A statement failed.
    #[error("delete a user's rows")]
    Database(#[from] sqlx::Error),
    /// The bus could not be asked.
    #[error("remove a user's dead letters")]
    Bus(#[from] bus::Error),
}

/// Result of one look at the erasures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is left to erase, or other replicas do it.
    Idle,
    /// An erasure is complete.
    Complete,
    /// Everything that can be seen is deleted; open transactions may still write of it.
    Settling,
}

/// Erases until the token is cancelled.
pub(crate) async fn run(store: Store, letters: DeadLetters, shutdown: CancellationToken) {
    loop {
        let pause = match erase_next(&store, &letters, &shutdown).await {
            Ok(Progress::Complete) => Duration::ZERO,
            Ok(Progress::Settling) => SETTLE,
            Ok(Progress::Idle) => PERIOD,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "erasure failed, will retry"
                );
                metrics::counter!("reminders_erasure_failures_total").increment(1);
                RETRY
            }
        };
        if shutdown.is_cancelled() {
            return;
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = store.wait_for_erasure() => {}
            () = shutdown.cancelled() => return,
        }
    }
}

/// Completes one erasure, or as much of it as open transactions allow.
///
/// # Errors
/// When a statement or the bus fails. What was deleted stays so, and any replica goes on when the
/// lease runs out.
pub async fn erase_next(
    store: &Store,
    letters: &DeadLetters,
    shutdown: &CancellationToken,
) -> Result<Progress, EraseError> {
    let Some(erasure) = store.claim_erasure().await? else { return Ok(Progress::Idle) };
    let is_final = store.is_final(&erasure).await?;
    let mut pass = Pass::Notifications;
    while pass != Pass::Done {
        if shutdown.is_cancelled() {
            store.postpone_erasure(&erasure, Duration::ZERO).await?;
            return Ok(Progress::Settling);
        }
        pass = store.erase_chunk(&erasure, pass).await?;
    }
    if is_final {
        // Once for each erasure, however often its event is repeated.
        letters.remove(&erasure).await?;
        complete(store, &erasure).await?;
        return Ok(Progress::Complete);
    }
    store.postpone_erasure(&erasure, SETTLE).await?;
    Ok(Progress::Settling)
}

async fn complete(store: &Store, erasure: &Erasure) -> Result<(), sqlx::Error> {
    store.complete_erasure(erasure).await?;
    metrics::counter!("reminders_erasures_completed_total").increment(1);
    tracing::info!(receipt.id = erasure.receipt_id, "user data was erased");
    Ok(())
}
