//! Background erasure of users: carries out the recorded erasures one after the other.

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::usecases::erase_user::{DeadLetters, Progress, SETTLE, erase_next};

/// Interval of the search for erasures that a crashed replica has left.
const PERIOD: Duration = Duration::from_secs(10);
/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(5);

/// Erases until the token is cancelled. `recorded` wakes it when a batch of this process has
/// recorded an erasure.
pub(crate) async fn run(
    pool: PgPool,
    letters: DeadLetters,
    recorded: Arc<Notify>,
    shutdown: CancellationToken,
) {
    loop {
        let pause = match erase_next(&pool, &letters, &shutdown).await {
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
            () = recorded.notified() => {}
            () = shutdown.cancelled() => return,
        }
    }
}
