//! Publishes commands until the shutdown.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::usecases::publish_commands::CommandPublisher;

/// Pause between two queries while there are no commands: they are rare, and a query of an empty
/// table is cheap.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Smallest ratio of the pause to the duration of a query: while a snapshot is held, each query
/// steps over all commands that were published since.
const PAUSE_FACTOR: u32 = 10;

/// Publishes commands until the token is cancelled.
pub(crate) async fn relay_commands(publisher: CommandPublisher, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        let began = Instant::now();
        let pause = match publisher.publish().await {
            Ok(0) => POLL_INTERVAL.max(began.elapsed() * PAUSE_FACTOR),
            Ok(_) => Duration::ZERO,
            Err(error) => {
                publisher.backoff.record_failure();
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "commands were not relayed, will retry"
                );
                Duration::ZERO
            }
        };
        let pause = publisher.backoff.pause().max(pause);
        tokio::select! { () = sleep(pause) => {} () = shutdown.cancelled() => {} }
    }
}
