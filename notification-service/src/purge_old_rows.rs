//! Purge of old rows, in the background: idempotency keys whose requests can no longer be repeated,
//! revisions whose occurrences never arrived, and deliveries older than the retention.

use std::time::Duration;

use chrono::TimeDelta;
use shared::http::idempotency;
use sqlx::PgPool;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::store::{retention, revisions};

/// Time between two purges.
const PERIOD: Duration = Duration::from_secs(30 * 60);

/// Purges until the token is cancelled; deliveries are kept for `retention`.
pub(crate) async fn run(pool: &PgPool, retention: TimeDelta, shutdown: &CancellationToken) {
    let mut tick = interval(PERIOD);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = shutdown.cancelled() => return,
        }
        tokio::select! {
            () = purge(pool, retention) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

async fn purge(pool: &PgPool, kept: TimeDelta) {
    until_none_is_left("reminders_idempotency_keys_purged_total", || idempotency::purge_old(pool))
        .await;
    until_none_is_left("revisions_forgotten_total", || revisions::purge_old(pool)).await;
    until_none_is_left("dispatches_forgotten_total", || retention::purge_old(pool, kept)).await;
}

/// Calls `purge`, which deletes a bounded number of rows, until no old row is left.
async fn until_none_is_left<F>(counter: &'static str, mut purge: impl FnMut() -> F)
where
    F: Future<Output = Result<u64, sqlx::Error>>,
{
    loop {
        match purge().await {
            Ok(0) => return,
            Ok(rows) => metrics::counter!(counter).increment(rows),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    counter,
                    "old rows were not purged, will retry"
                );
                return;
            }
        }
    }
}
