//! Gauges of the suite's backlog, as seen from the database and the bus: a scheduler or a service
//! that hangs does not report that itself.

use std::time::Duration;

use bus::{Depth, SharedBus};
use service::settings::BusConfig;
use sqlx::PgPool;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::store::backlog;

/// Interval of the readings, which is that of Prometheus' scrapes.
const PERIOD: Duration = Duration::from_secs(15);
/// Time limit for an answer of the database, and of each queue.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The sources of the gauges.
pub(crate) struct Sources {
    /// The notifications database, on connections of its own.
    pub(crate) pool: PgPool,
    /// The bus.
    pub(crate) bus: SharedBus,
    /// Queues by their role.
    pub(crate) queues: Vec<(&'static str, String)>,
}

impl Sources {
    /// The queues of an installation, by their role.
    pub(crate) fn queues_of(names: &BusConfig) -> Vec<(&'static str, String)> {
        let ours = [
            ("event", names.event_queue.clone()),
            ("notification", names.notification_queue.clone()),
        ];
        ours.into_iter()
            .chain(names.ses_feedback_queue.clone().map(|queue| ("feedback", queue)))
            .collect()
    }
}

/// Reads the figures until the token is cancelled.
pub(crate) async fn run(sources: Sources, shutdown: CancellationToken) {
    let mut tick = interval(PERIOD);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = shutdown.cancelled() => return,
        }
        tokio::select! {
            () = read(&sources) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

async fn read(sources: &Sources) {
    match timeout(TIMEOUT, backlog::signals(&sources.pool)).await {
        Ok(Ok(signals)) => {
            metrics::gauge!("reminders_oldest_overdue_seconds").set(signals.oldest_overdue_seconds);
            metrics::gauge!("reminders_backlog").set(signals.backlog as f64);
            metrics::gauge!("reminders_oldest_erasure_seconds").set(signals.oldest_erasure_seconds);
        }
        Ok(Err(error)) => record_failure("database", &error.to_string()),
        Err(_) => record_failure("database", "no answer in time"),
    }
    for (queue, name) in &sources.queues {
        read_queue(sources, queue, name).await;
    }
}

async fn read_queue(sources: &Sources, queue: &'static str, name: &str) {
    let depths = async {
        let depth = sources.bus.depth(name).await?;
        Ok::<(Depth, Depth), bus::Error>((depth, sources.bus.dead_letter_depth(name).await?))
    };
    match timeout(TIMEOUT, depths).await {
        Ok(Ok((depth, dead))) => {
            let set = |state: &'static str, count: u64| {
                metrics::gauge!("reminders_queue_messages", "queue" => queue, "state" => state)
                    .set(count as f64);
            };
            set("visible", depth.visible);
            set("in_flight", depth.in_flight);
            set("dead", dead.visible + dead.in_flight + dead.delayed);
        }
        Ok(Err(error)) => record_failure(queue, &error.to_string()),
        Err(_) => record_failure(queue, "no answer in time"),
    }
}

/// Records a failed reading: the gauges keep their last values, and the counter raises an alarm.
fn record_failure(figure: &'static str, error: &str) {
    tracing::debug!(figure, error, "metric was not updated, will retry");
    metrics::counter!("reminders_backlog_query_failures_total", "of" => figure).increment(1);
}
