//! Publishing of batches, and the settlement of their rows.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bus::{PublishResults, SharedBus};
use sqlx::PgPool;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::{OutboxMessage, memory_queue::MemoryQueue, store};

/// Longest time that a publish may take. After that its rows are left to the recovery task.
pub(super) const PUBLISH_LIMIT: Duration = Duration::from_secs(20);

/// Publishes batches and settles their rows.
pub(super) struct Publisher {
    pub(super) pool: PgPool,
    bus: SharedBus,
    topic: String,
    /// Queue with the shares of users, whose rate follows the latency of the topic.
    pub(super) queue: Arc<MemoryQueue>,
    /// `true` if rows were left behind since the recovery task asked last. It then reads all rows.
    has_left_rows: AtomicBool,
}

impl Publisher {
    pub(super) fn new(
        pool: PgPool,
        bus: SharedBus,
        topic: String,
        queue: Arc<MemoryQueue>,
    ) -> Self {
        Self { pool, bus, topic, queue, has_left_rows: AtomicBool::new(false) }
    }

    /// Returns whether rows were left behind since the last call.
    pub(super) fn take_has_left_rows(&self) -> bool {
        self.has_left_rows.swap(false, Ordering::Relaxed)
    }

    /// Publishes messages and settles their rows. Returns `false` if the topic did not accept a
    /// message that it may accept later.
    pub(super) async fn publish(&self, batch: Vec<OutboxMessage>) -> bool {
        let (ids, messages): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|message| (message.event_id, message.message)).unzip();
        let began = Instant::now();
        let published = timeout(PUBLISH_LIMIT, self.bus.publish(&self.topic, &messages)).await;
        self.record_duration(ids.len(), began.elapsed(), matches!(published, Ok(Ok(_))));
        let results = match published {
            Ok(Ok(results)) => results,
            Ok(Err(error)) => return self.publish_failed(&ids, &error).await,
            Err(elapsed) => return self.publish_failed(&ids, &elapsed).await,
        };
        let PublishResults { accepted, refused, unpublishable } =
            PublishResults::sort(ids, results);
        for (id, reason) in unpublishable {
            tracing::error!(
                event.id = %id,
                reason,
                "message can never be published, was parked in the outbox"
            );
            metrics::counter!("reminders_outbox_parked_total").increment(1);
            self.check(store::park(&self.pool, id, &reason).await);
        }
        metrics::counter!("reminders_outbox_published_total").increment(accepted.len() as u64);
        if !accepted.is_empty() {
            self.check(store::delete(&self.pool, &accepted).await);
        }
        if refused.is_empty() {
            return true;
        }
        self.has_left_rows.store(true, Ordering::Relaxed);
        self.check(store::release(&self.pool, &refused).await);
        false
    }

    /// Returns the leases of rows that are not published now, so that any process may claim them.
    pub(super) async fn release(&self, ids: &[Uuid]) {
        if !ids.is_empty() {
            self.check(store::release(&self.pool, ids).await);
        }
    }

    /// Records the time that the topic took.
    fn record_duration(&self, messages: usize, took: Duration, succeeded: bool) {
        let rate = self.queue.state().shares.record(messages, took, succeeded, Instant::now());
        metrics::gauge!("reminders_outbox_pace").set(rate);
    }

    /// Returns the leases of rows whose publish failed, so that they can be published as soon as
    /// the bus is reachable again. Messages that the bus had accepted nevertheless are published
    /// twice, with the same ids.
    async fn publish_failed(
        &self,
        ids: &[Uuid],
        error: &(dyn std::error::Error + Sync + 'static),
    ) -> bool {
        self.has_left_rows.store(true, Ordering::Relaxed);
        tracing::warn!(
            error = error as &dyn std::error::Error,
            messages = ids.len(),
            "outbox publish failed, will retry"
        );
        self.check(store::release(&self.pool, ids).await);
        false
    }

    fn check(&self, result: Result<(), sqlx::Error>) {
        if let Err(error) = result {
            self.has_left_rows.store(true, Ordering::Relaxed);
            tracing::warn!(
                error = %error,
                "outbox rows were not updated, messages may be published again with the same ids"
            );
        }
    }
}

/// Counts messages that are not published from memory.
pub(super) fn count_left_to_recovery(messages: usize) {
    metrics::counter!("reminders_outbox_left_to_recovery_total").increment(messages as u64);
}

/// Counts users who have used up their share.
pub(super) fn count_backlogged(users: usize) {
    metrics::counter!("reminders_outbox_backlogged_total").increment(users as u64);
}
