//! What nobody asks for and must be done: what is of no use any more is forgotten. Idempotency keys
//! once nobody can repeat their request, revisions whose occurrences never came, and deliveries
//! older than they are to be kept.

use std::time::Duration;

use chrono::TimeDelta;
use shared::http::idempotency;
use sqlx::PgPool;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::store::{retention, revisions};

const EVERY: Duration = Duration::from_secs(30 * 60);

/// Keeps the tables small until the token is cancelled: deliveries are `kept` for so long.
pub(crate) async fn run(pool: &PgPool, kept: TimeDelta, shutdown: &CancellationToken) {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = shutdown.cancelled() => return,
        }
        tokio::select! {
            () = forget(pool, kept) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

async fn forget(pool: &PgPool, kept: TimeDelta) {
    until_none_is_left("reminders_idempotency_keys_purged_total", || idempotency::purge_old(pool))
        .await;
    until_none_is_left("revisions_forgotten_total", || revisions::forget_old(pool)).await;
    until_none_is_left("dispatches_forgotten_total", || retention::forget_old(pool, kept)).await;
}

/// Forgets a bounded number a statement, until none is left.
async fn until_none_is_left<F>(counter: &'static str, mut forget: impl FnMut() -> F)
where
    F: Future<Output = Result<u64, sqlx::Error>>,
{
    loop {
        match forget().await {
            Ok(0) => return,
            Ok(forgotten) => metrics::counter!(counter).increment(forgotten),
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
