//! Purges rows older than the retention, and creates the catalogue's partitions ahead of time.

use std::time::Duration;

use backoff::Backoff;
use chrono::TimeDelta;
use sqlx::PgPool;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    store::{self, audit},
    usecases::{create_partitions::create_partitions, purge_old_rows::purge_old_rows},
};

/// Pause between two runs. Partitions are created four weeks ahead, so a missed run does no harm.
const PERIOD: Duration = Duration::from_secs(60 * 60);
/// Pauses after failed runs.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(60), PERIOD);

/// Runs until the token is cancelled.
pub(crate) async fn run(pool: PgPool, retention: TimeDelta, shutdown: CancellationToken) {
    let (mut resume_after, mut failures) = (Uuid::nil(), 0);
    loop {
        let is_done = tokio::select! {
            is_done = run_once(&pool, retention, &mut resume_after) => is_done,
            () = shutdown.cancelled() => return,
        };
        failures = if is_done { 0 } else { failures + 1 };
        let pause = if is_done { PERIOD } else { BACKOFF.pause(failures) };
        tokio::select! { () = sleep(pause) => {} () = shutdown.cancelled() => return }
    }
}

/// Performs one run; returns `true` if all of it succeeded.
async fn run_once(pool: &PgPool, retention: TimeDelta, resume_after: &mut Uuid) -> bool {
    let mut is_done = true;
    match create_partitions(pool).await {
        Ok(0) => {}
        Ok(created) => tracing::info!(created, "partitions of the event catalogue were created"),
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "partitions of the event catalogue were not created, the default partition stores \
                 new events, will retry"
            );
            is_done = false;
        }
    }
    let purged = async { audit::purge(pool, store::now(pool).await?).await };
    if let Err(error) = purged.await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "old records of operator actions were not purged, will retry"
        );
        is_done = false;
    }
    match store::now(pool).await {
        Ok(now) => is_done & purge_old_rows(pool, now - retention, resume_after).await,
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "purge failed, will retry");
            false
        }
    }
}
