//! Makes the catalogue's partitions before their weeks begin.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::store::Store;

/// How often it looks; a partition is made four weeks ahead, so a missed look does no harm.
const PERIOD: Duration = Duration::from_secs(24 * 60 * 60);
/// When it looks again after a failure.
const RETRY: Duration = Duration::from_secs(60);

/// Keeps house until the token is cancelled.
pub(crate) async fn run(store: Store, shutdown: CancellationToken) {
    loop {
        let pause = match store.create_partitions().await {
            Ok(made) => {
                tracing::info!(made, "the catalogue's partitions are there");
                PERIOD
            }
            Err(error) => {
                tracing::warn!(error = %error, "the catalogue's partitions could not be made; its default partition takes what comes");
                RETRY
            }
        };
        tokio::select! { () = sleep(pause) => {} () = shutdown.cancelled() => return }
    }
}
