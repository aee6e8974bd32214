//! Publishes commands until the shutdown.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::usecases::publish_commands::{CommandPublisher, Pass};

/// Pause between two queries while there are no commands: they are rare, and a query of an empty
/// table is cheap.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Smallest ratio of the pause to the duration of a query: while a snapshot is held, each query
/// steps over all commands that were published since.
const PAUSE_FACTOR: u32 = 10;

/// Publishes commands until the token is cancelled.
pub(crate) async fn relay_commands(publisher: CommandPublisher, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        let pause = match publisher.publish().await {
            Ok(pass) => pause_after(pass),
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

/// Returns the pause after a pass. A topic that takes long to answer does not lengthen it: commands
/// that it refused have the pause of the back-off.
fn pause_after(pass: Pass) -> Duration {
    if pass.accepted > 0 {
        return Duration::ZERO;
    }
    POLL_INTERVAL.max(pass.query_time * PAUSE_FACTOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_by_duration_of_query() {
        let pause = |accepted, milliseconds| {
            let query_time = Duration::from_millis(milliseconds);
            pause_after(Pass { accepted, query_time }).as_millis()
        };
        assert_eq!((pause(0, 1), pause(0, 400), pause(1, 400)), (250, 4_000, 0));
    }
}
