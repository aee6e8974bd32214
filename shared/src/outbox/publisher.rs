//! Publishes batches and settles their rows.

use std::{
    sync::{
        Arc, Once,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::PgPool;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::{OutboxMessage, memory_queue::HandoffQueue, store};
use crate::bus::{PublishError, SharedBus};

/// How long a publish may take; after that its rows are left to the sweep.
pub(super) const PUBLISH_LIMIT: Duration = Duration::from_secs(20);

/// Publishes batches and settles their rows.
pub(super) struct Publisher {
    pub(super) pool: PgPool,
    bus: SharedBus,
    topic: String,
    /// Shares of users, whose pace follows how quick the topic is.
    pub(super) queue: Arc<HandoffQueue>,
    /// Whether rows were left behind since this was asked last: the sweep then looks at all of
    /// them.
    has_left_rows: AtomicBool,
}

impl Publisher {
    pub(super) fn new(
        pool: PgPool,
        bus: SharedBus,
        topic: String,
        queue: Arc<HandoffQueue>,
    ) -> Self {
        Self { pool, bus, topic, queue, has_left_rows: AtomicBool::new(false) }
    }

    /// Whether rows were left behind since the last call.
    pub(super) fn take_left_rows(&self) -> bool {
        self.has_left_rows.swap(false, Ordering::Relaxed)
    }

    /// Publishes messages and settles their rows; whether the topic took all that it can ever take.
    pub(super) async fn publish(&self, batch: Vec<OutboxMessage>) -> bool {
        let (ids, messages): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|message| (message.event_id, message.message)).unzip();
        let began = Instant::now();
        let published = timeout(PUBLISH_LIMIT, self.bus.publish(&self.topic, &messages)).await;
        self.note_pace(ids.len(), began.elapsed(), matches!(published, Ok(Ok(_))));
        let results = match published {
            Ok(Ok(results)) => results,
            Ok(Err(error)) => return self.not_published(&ids, &error).await,
            Err(elapsed) => return self.not_published(&ids, &elapsed).await,
        };
        let mut acknowledged = Vec::with_capacity(ids.len());
        let mut refused = Vec::new();
        for (id, result) in ids.into_iter().zip(results) {
            match result {
                Ok(()) => acknowledged.push(id),
                Err(PublishError::Retry(_)) => refused.push(id),
                Err(PublishError::Unpublishable(reason)) => {
                    tracing::error!(
                        event.id = %id,
                        reason,
                        "message can never be published, was parked in the outbox"
                    );
                    metrics::counter!("reminders_outbox_parked_total").increment(1);
                    self.note(store::park(&self.pool, id, &reason).await);
                }
            }
        }
        metrics::counter!("reminders_outbox_published_total").increment(acknowledged.len() as u64);
        if !acknowledged.is_empty() {
            self.note(store::delete(&self.pool, &acknowledged).await);
        }
        if refused.is_empty() {
            return true;
        }
        self.has_left_rows.store(true, Ordering::Relaxed);
        self.note(store::release(&self.pool, &refused).await);
        false
    }

    /// Gives rows back that are not published now, so that any sweep may claim them.
    pub(super) async fn put_back(&self, ids: &[Uuid]) {
        if !ids.is_empty() {
            self.note(store::release(&self.pool, ids).await);
        }
    }

    /// Notes how long the topic took.
    fn note_pace(&self, messages: usize, took: Duration, succeeded: bool) {
        let pace = self.queue.state().shares.note(messages, took, succeeded, Instant::now());
        metrics::gauge!("reminders_outbox_pace").set(pace);
    }

    /// Gives the rows of a publish that failed back to the sweep: nobody publishes them any more,
    /// and what they tell of must not come late by the rest of their lease once the bus is back.
    /// What the bus did take comes twice, with the same ids.
    async fn not_published(
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
        self.note(store::release(&self.pool, ids).await);
        false
    }

    fn note(&self, result: Result<(), sqlx::Error>) {
        if let Err(error) = result {
            self.has_left_rows.store(true, Ordering::Relaxed);
            tracing::warn!(
                error = %error,
                "published messages were not deleted from the outbox, may be published again \
                 under the same ids"
            );
        }
    }
}

/// Counts messages that are not published from memory.
pub(super) fn count_left_to_sweep(messages: usize) {
    metrics::counter!("reminders_outbox_left_to_sweep_total").increment(messages as u64);
}

/// Counts users who have used up their share.
pub(super) fn count_backlogged(users: usize) {
    metrics::counter!("reminders_outbox_backlogged_total").increment(users as u64);
}

/// Says what the metrics of the outbox mean.
pub(super) fn describe() {
    static DESCRIBED: Once = Once::new();
    DESCRIBED.call_once(|| {
        metrics::describe_counter!(
            "reminders_outbox_published_total",
            "Messages of the outbox that the topic took"
        );
        metrics::describe_counter!(
            "reminders_outbox_left_to_sweep_total",
            "Messages that were not published from memory, as there was no room or their lease \
             was nearly over"
        );
        metrics::describe_counter!(
            "reminders_outbox_swept_total",
            "Rows that a sweep of the outbox took over"
        );
        metrics::describe_counter!(
            "reminders_outbox_parked_total",
            "Messages that can never be published"
        );
        metrics::describe_counter!(
            "reminders_outbox_backlogged_total",
            "Times that a user's messages began to wait for the user's share"
        );
        metrics::describe_gauge!(
            "reminders_outbox_pace",
            "Messages of one user that are published in a second beyond a burst, by how quick the \
             topic is"
        );
        metrics::describe_gauge!(
            "reminders_outbox_parked",
            "Rows that can never be published, by their table"
        );
        metrics::describe_gauge!(
            "reminders_outbox_messages",
            "Rows of the outbox that are to be published"
        );
        metrics::describe_gauge!(
            "reminders_outbox_oldest_seconds",
            "Age of the oldest row of the outbox that is not published"
        );
    });
}
