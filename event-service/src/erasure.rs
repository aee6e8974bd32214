//! Deletes the rows of erased users in the background, chunk after chunk.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::store::{Erasure, Pass, Store};

/// Pause between two looks for erasures that a crashed replica has left, when none is noted here.
const PERIOD: Duration = Duration::from_secs(10);
/// Pause before the last pass while transactions are open that began before the erasure.
const SETTLE: Duration = Duration::from_secs(1);
/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(5);

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
pub(crate) async fn run(store: Store, shutdown: CancellationToken) {
    loop {
        let pause = match erase_next(&store, &shutdown).await {
            Ok(Progress::Complete) => Duration::ZERO,
            Ok(Progress::Settling) => SETTLE,
            Ok(Progress::Idle) => PERIOD,
            Err(error) => {
                tracing::warn!(error = %error, "an erasure was interrupted, will retry");
                metrics::counter!("reminders_erasure_failures_total").increment(1);
                RETRY
            }
        };
        if shutdown.is_cancelled() {
            return;
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = store.erasure_noted() => {}
            () = shutdown.cancelled() => return,
        }
    }
}

/// Takes one erasure to its end, or as far as open transactions let it.
///
/// # Errors
/// When a statement fails. What was deleted stays so, and any replica goes on when the lease runs out.
pub async fn erase_next(store: &Store, shutdown: &CancellationToken) -> Result<Progress, sqlx::Error> {
    let Some(erasure) = store.claim_erasure().await? else { return Ok(Progress::Idle) };
    let is_final = store.is_final(&erasure).await?;
    let mut pass = Pass::Notifications;
    while pass != Pass::Over {
        if shutdown.is_cancelled() {
            store.postpone_erasure(&erasure, Duration::ZERO).await?;
            return Ok(Progress::Settling);
        }
        pass = store.erase_chunk(&erasure, pass).await?;
    }
    if is_final {
        complete(store, &erasure).await?;
        return Ok(Progress::Complete);
    }
    store.postpone_erasure(&erasure, SETTLE).await?;
    Ok(Progress::Settling)
}

async fn complete(store: &Store, erasure: &Erasure) -> Result<(), sqlx::Error> {
    store.complete_erasure(erasure).await?;
    metrics::counter!("reminders_erasures_completed_total").increment(1);
    tracing::info!(receipt.id = erasure.receipt_id, "a user's rows were erased");
    Ok(())
}
