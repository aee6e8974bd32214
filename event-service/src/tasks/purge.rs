//! Purges rows older than the retention, and creates the catalogue's partitions ahead of time.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::store::{Kind, Purged, Store, audit};

/// Pause between two runs. Partitions are created four weeks ahead, so a missed run does no harm.
const PERIOD: Duration = Duration::from_secs(60 * 60);
/// Pause after a failure; it doubles with each further one, up to [`PERIOD`].
const RETRY: Duration = Duration::from_secs(60);

/// Runs until the token is cancelled.
pub(crate) async fn run(store: Store, retention: TimeDelta, shutdown: CancellationToken) {
    let (mut resume_after, mut retry) = (Uuid::nil(), RETRY);
    loop {
        let is_done = tokio::select! {
            is_done = run_once(&store, retention, &mut resume_after) => is_done,
            () = shutdown.cancelled() => return,
        };
        let pause = if is_done { PERIOD } else { retry };
        retry = if is_done { RETRY } else { (retry * 2).min(PERIOD) };
        tokio::select! { () = sleep(pause) => {} () = shutdown.cancelled() => return }
    }
}

/// Performs one run; returns `true` if all of it succeeded.
async fn run_once(store: &Store, retention: TimeDelta, resume_after: &mut Uuid) -> bool {
    let mut is_done = true;
    match store.create_partitions().await {
        Ok(0) => {}
        Ok(created) => tracing::info!(created, "partitions of the event catalogue were created"),
        Err(error) => {
            tracing::warn!(
                error = %error,
                "partitions of the event catalogue were not created, the default partition stores \
                 new events, will retry"
            );
            is_done = false;
        }
    }
    let purged = async { audit::purge(&store.pool, store.now().await?).await };
    if let Err(error) = purged.await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "old records of operator actions were not purged, will retry"
        );
        is_done = false;
    }
    match store.now().await {
        Ok(now) => is_done & purge(store, now - retention, resume_after).await,
        Err(error) => {
            tracing::warn!(error = %error, "purge failed, will retry");
            false
        }
    }
}

/// Purges all rows from before a time; returns `true` if all of it succeeded.
async fn purge(store: &Store, before: DateTime<Utc>, resume_after: &mut Uuid) -> bool {
    let (mut total, mut is_done) = (Purged::default(), true);
    for kind in Kind::all(*resume_after) {
        if let Err(error) = purge_kind(store, kind, before, &mut total, resume_after).await {
            tracing::warn!(
                error = %error,
                kind = ?kind,
                "purge of rows beyond their retention is incomplete, will retry"
            );
            is_done = false;
        }
    }
    metrics::counter!("reminders_catalogue_partitions_dropped_total")
        .increment(total.partitions.unsigned_abs().into());
    tracing::info!(
        partitions = total.partitions,
        events = total.stray_events,
        occurrences = total.occurrences,
        notifications = total.notifications,
        "rows beyond their retention were purged"
    );
    is_done
}

/// Purges one kind, chunk after chunk.
///
/// # Errors
/// When a statement fails; chunks before it stay purged.
pub async fn purge_kind(
    store: &Store,
    kind: Kind,
    before: DateTime<Utc>,
    total: &mut Purged,
    resume_after: &mut Uuid,
) -> Result<(), sqlx::Error> {
    let mut next = Some(kind);
    while let Some(kind) = next {
        let (purged, following) = store.purge_chunk(kind, before).await?;
        total.add(purged);
        next = match following {
            Some(Kind::Notifications { after, left: 0 }) => {
                *resume_after = after;
                None
            }
            following => following,
        };
    }
    Ok(())
}
