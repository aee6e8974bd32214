//! Publishes commands until the shutdown.

use std::{sync::Arc, time::Duration};

use db::wake::Listener;
use sqlx::PgPool;
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::usecases::publish_commands::{CommandPublisher, Pass};

/// Channel of notifications of written commands.
const CHANNEL: &str = "commands";
/// Pause between two queries while there are no commands and notifications do not arrive.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Pause between two queries while notifications arrive.
const LISTENING_INTERVAL: Duration = Duration::from_secs(5);
/// Smallest ratio of the pause to the duration of a query: while a snapshot is held, each query
/// steps over all commands that were published since.
const PAUSE_FACTOR: u32 = 10;

/// Publishes commands until the token is cancelled. `listener` is a pool of one connection.
pub(crate) async fn relay_commands(
    publisher: CommandPublisher,
    listener: PgPool,
    shutdown: CancellationToken,
) {
    let written = Arc::new(Notify::new());
    let listener = Listener::start(listener, CHANNEL, {
        let written = Arc::clone(&written);
        move |_| written.notify_one()
    });
    while !shutdown.is_cancelled() {
        let pause = match publisher.publish().await {
            Ok(pass) => pause_after(pass, listener.is_listening()),
            Err(error) => {
                publisher.backoff.record_failure();
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "commands were not relayed, will retry"
                );
                Duration::ZERO
            }
        };
        wait(publisher.backoff.pause(), pause, &written, &shutdown).await;
    }
}

/// Waits for the back-off, and then for a pause or until commands are written.
async fn wait(backoff: Duration, pause: Duration, written: &Notify, shutdown: &CancellationToken) {
    let all = async {
        sleep(backoff).await;
        let pause = pause.saturating_sub(backoff);
        tokio::select! { () = sleep(pause) => {} () = written.notified() => {} }
    };
    tokio::select! { () = all => {} () = shutdown.cancelled() => {} }
}

/// Returns the pause after a pass; none if there were commands, as there may be more, and those
/// that the topic refused have the pause of the back-off.
fn pause_after(pass: Pass, is_listening: bool) -> Duration {
    if pass.claimed > 0 {
        return Duration::ZERO;
    }
    let interval = if is_listening { LISTENING_INTERVAL } else { POLL_INTERVAL };
    interval.max(pass.query_time * PAUSE_FACTOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_by_duration_of_query() {
        let pause = |claimed, milliseconds, is_listening| {
            let query_time = Duration::from_millis(milliseconds);
            pause_after(Pass { claimed, query_time }, is_listening).as_millis()
        };
        assert_eq!(
            (pause(0, 1, false), pause(0, 400, false), pause(1, 400, false)),
            (250, 4_000, 0)
        );
        assert_eq!((pause(0, 1, true), pause(0, 800, true), pause(1, 1, true)), (5_000, 8_000, 0));
    }
}
