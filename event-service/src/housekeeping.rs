//! Makes the catalogue's partitions before their weeks begin, and lets go of what is older than is kept.

use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::store::Store;

/// How often it looks; a partition is made four weeks ahead, so a missed look does no harm.
const PERIOD: Duration = Duration::from_secs(60 * 60);
/// When it looks again after a failure.
const RETRY: Duration = Duration::from_secs(60);

/// Keeps house until the token is cancelled.
pub(crate) async fn run(store: Store, retention: TimeDelta, shutdown: CancellationToken) {
    loop {
        let pause = tokio::select! {
            pause = keep(&store, retention) => pause,
            () = shutdown.cancelled() => return,
        };
        tokio::select! { () = sleep(pause) => {} () = shutdown.cancelled() => return }
    }
}

async fn keep(store: &Store, retention: TimeDelta) -> Duration {
    match store.create_partitions().await {
        Ok(0) => {}
        Ok(made) => tracing::info!(made, "the catalogue's partitions are there"),
        Err(error) => {
            tracing::warn!(error = %error, "the catalogue's partitions could not be made; its default partition takes what comes");
            return RETRY;
        }
    }
    let gone = async { store.let_go(store.now().await? - retention).await };
    match gone.await {
        Ok(gone) => {
            metrics::counter!("catalogue_partitions_dropped_total").increment(gone.partitions.unsigned_abs().into());
            tracing::info!(
                partitions = gone.partitions,
                events = gone.stray_events,
                occurrences = gone.occurrences,
                notifications = gone.notifications,
                "what is older than is kept was let go"
            );
            PERIOD
        }
        Err(error) => {
            tracing::warn!(error = %error, "not all that is older than is kept could be let go; it will be tried again");
            RETRY
        }
    }
}
