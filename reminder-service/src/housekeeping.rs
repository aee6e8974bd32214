//! What nobody asks for and must be done: idempotency keys are forgotten once nobody can repeat
//! their request.

use std::time::Duration;

use shared::http::idempotency;
use sqlx::PgPool;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::store;

const EVERY: Duration = Duration::from_secs(30 * 60);

/// Keeps the tables small until the token is cancelled.
pub(crate) async fn run(pool: PgPool, shutdown: CancellationToken) {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = shutdown.cancelled() => return,
        }
        tokio::select! {
            () = async { tokio::join!(forget_old_keys(&pool), purge_addresses(&pool)); } => {}
            () = shutdown.cancelled() => return,
        }
    }
}

/// Forgets old keys, a bounded number a statement, until none is left.
async fn forget_old_keys(pool: &PgPool) {
    loop {
        match idempotency::purge_old(pool).await {
            Ok(0) => return,
            Ok(forgotten) => {
                metrics::counter!("reminders_idempotency_keys_purged_total").increment(forgotten)
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "old idempotency keys were not purged, will retry"
                );
                return;
            }
        }
    }
}

/// Deletes the addresses of earlier days, a bounded number a statement, until none is left.
async fn purge_addresses(pool: &PgPool) {
    loop {
        match store::purge_addresses(pool).await {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "address digests of earlier days were not purged, will retry"
                );
                return;
            }
        }
    }
}
