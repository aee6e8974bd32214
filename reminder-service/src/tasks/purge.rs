//! Periodic purge of expired idempotency keys and of e-mail addresses of earlier days.

use std::time::Duration;

use service::idempotency;
use sqlx::PgPool;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::store;

const INTERVAL: Duration = Duration::from_secs(30 * 60);

/// Purges expired rows every half hour until the token is cancelled.
pub(crate) async fn run(pool: PgPool, shutdown: CancellationToken) {
    let mut tick = interval(INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = shutdown.cancelled() => return,
        }
        tokio::select! {
            () = async { tokio::join!(purge_keys(&pool), purge_addresses(&pool)); } => {}
            () = shutdown.cancelled() => return,
        }
    }
}

/// Deletes expired keys, a bounded number per statement, until none is left.
async fn purge_keys(pool: &PgPool) {
    loop {
        match idempotency::purge_old(pool).await {
            Ok(0) => return,
            Ok(purged) => {
                metrics::counter!("reminders_idempotency_keys_purged_total").increment(purged)
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

/// Deletes the addresses of earlier days, a bounded number per statement, until none is left.
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
