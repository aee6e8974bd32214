//! Purge of old rows, in the background: idempotency keys whose requests can no longer be repeated,
//! revisions whose occurrences never arrived, and deliveries older than the retention.

use std::time::Duration;

use chrono::TimeDelta;
use service::idempotency;
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
    let keys = metrics::counter!("reminders_idempotency_keys_purged_total");
    until_none_is_left("idempotency_keys", &keys, || idempotency::purge_old(pool)).await;
    let revised = metrics::counter!("reminders_revisions_purged_total");
    until_none_is_left("revisions", &revised, || revisions::purge_old(pool)).await;
    let delivered = metrics::counter!("reminders_dispatches_purged_total");
    until_none_is_left("dispatches", &delivered, || retention::purge_old(pool, kept)).await;
}

/// Calls `purge`, which deletes a bounded number of rows, until no old row is left.
async fn until_none_is_left<F>(
    table: &'static str,
    purged: &metrics::Counter,
    mut purge: impl FnMut() -> F,
) where
    F: Future<Output = Result<u64, sqlx::Error>>,
{
    loop {
        match purge().await {
            Ok(0) => return,
            Ok(rows) => purged.increment(rows),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    table,
                    "old rows were not purged, will retry"
                );
                return;
            }
        }
    }
}
