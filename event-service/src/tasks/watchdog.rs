//! Watchdog of released occurrences: asks about an occurrence whose outcome does not arrive, until
//! it has one. A message in a dead-letter queue that nobody redrives, an outcome parked in an
//! outbox or a lost subscription leave no occurrence without an outcome.

use std::time::Duration;

use bus::SharedBus;
use sqlx::PgPool;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{store::unsettled, usecases::reconcile_occurrences::reconcile_occurrences};

/// Time between two runs.
const PERIOD: Duration = Duration::from_secs(10);
/// Largest number of transactions of one run; the rest is left to the next run.
const PARTS: usize = 50;
/// Length of the event queue above which nothing is asked: the outcomes may be among its messages.
const BACKLOG: u64 = 5_000;

/// Settings of the watchdog.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Time that outcomes are waited for.
    pub(crate) after: Duration,
    /// The queue of events.
    pub(crate) queue: String,
}

/// Runs until the token is cancelled.
pub(crate) async fn run(
    pool: PgPool,
    bus: SharedBus,
    settings: Settings,
    shutdown: CancellationToken,
) {
    let pause = PERIOD.min(settings.after / 2);
    loop {
        tokio::select! { () = sleep(pause) => {} () = shutdown.cancelled() => return }
        tokio::select! {
            () = run_once(&pool, &bus, &settings) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

async fn run_once(pool: &PgPool, bus: &SharedBus, settings: &Settings) {
    match unsettled::counts(pool).await {
        Ok(counts) => {
            metrics::gauge!("reminders_occurrences_unsettled").set(counts.asked_again as f64);
            metrics::gauge!("reminders_outbox_parked", "table" => "commands")
                .set(counts.parked_commands as f64);
        }
        Err(error) => {
            return tracing::warn!(
                error = &error as &dyn std::error::Error,
                "unsettled occurrences were not counted, will retry"
            );
        }
    }
    match bus.depth(&settings.queue).await {
        Ok(depth) if depth.visible > BACKLOG => return,
        Ok(_) => {}
        Err(error) => {
            return tracing::warn!(
                error = &error as &dyn std::error::Error,
                "event queue length is unknown, reconciliation of unsettled occurrences is \
                 postponed"
            );
        }
    }
    for _ in 0..PARTS {
        match reconcile_occurrences(pool, settings.after).await {
            Ok(reconciled) => {
                metrics::counter!("reminders_occurrences_reconciled_total")
                    .increment(reconciled.asked);
                if reconciled.asked + reconciled.orphaned + reconciled.unreadable > 0 {
                    tracing::warn!(
                        asked = reconciled.asked,
                        orphaned = reconciled.orphaned,
                        unreadable = reconciled.unreadable,
                        "released occurrences have no outcome, reconciliation with the ledger was \
                         requested"
                    );
                }
                if reconciled.busy || !reconciled.more {
                    return;
                }
            }
            Err(error) => {
                return tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "reconciliation of unsettled occurrences failed, will retry"
                );
            }
        }
    }
}
