//! Publishes what the outbox holds: what this process hands over, and beside it what its sweep finds.

use std::{
    sync::{
        Arc, Once,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::PgPool;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{HandedOver, Handoff, OutboxMessage, store, sweep};
use crate::bus::{PublishError, SharedBus};

/// Messages published together at the most, and their bytes.
pub(super) const BATCH: usize = 500;
pub(super) const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Batches of handed-over messages under way at once.
const BATCHES: usize = 4;
/// How long a publish may take; after that its rows are left to the sweep.
pub(super) const PUBLISH_LIMIT: Duration = Duration::from_secs(20);
/// How long a drain may take before the rest is left to the next process.
const DRAIN: Duration = Duration::from_secs(10);

/// The publishing side of the outbox, one a process.
pub struct Relay {
    publisher: Arc<Publisher>,
    in_flight: Arc<Semaphore>,
    handed_over: mpsc::Receiver<HandedOver>,
}

/// Publishes batches and settles their rows.
pub(super) struct Publisher {
    pub(super) pool: PgPool,
    bus: SharedBus,
    topic: String,
    /// Whether rows were left behind since this was asked last: the sweep then looks at all of them.
    has_left_rows: AtomicBool,
}

impl Relay {
    /// A relay from a database's outbox to a topic, and the way to hand messages over to it.
    #[must_use]
    pub fn new(pool: PgPool, bus: SharedBus, topic: String) -> (Self, Handoff) {
        describe();
        let (handoff, handed_over) = Handoff::new();
        let publisher = Publisher { pool, bus, topic, has_left_rows: AtomicBool::new(false) };
        let in_flight = Arc::new(Semaphore::new(BATCHES));
        (Self { publisher: Arc::new(publisher), in_flight, handed_over }, handoff)
    }

    /// Publishes until the token is cancelled, then drains what was handed over. The sweep is a task of its own: however
    /// long it takes, what is handed over does not wait for it.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let sweep = tokio::spawn(sweep::run(Arc::clone(&self.publisher), shutdown.clone()));
        let mut batches = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                is_open = self.publish_next(&mut batches) => if !is_open {
                    shutdown.cancelled().await;
                    break;
                },
            }
            while batches.try_join_next().is_some() {}
        }
        if timeout(DRAIN, self.drain(&mut batches)).await.is_err() {
            tracing::warn!("the outbox was not drained in time; its rows are left to the next process");
        }
        if let Err(error) = sweep.await {
            tracing::error!(error = %error, "the sweep of the outbox ended unexpectedly");
        }
    }

    async fn drain(&mut self, batches: &mut JoinSet<()>) {
        self.handed_over.close();
        while self.publish_next(batches).await {}
        while batches.join_next().await.is_some() {}
    }

    /// Starts publishing the next messages as soon as fewer than [`BATCHES`] batches are under way; `false` when there will
    /// be none. Nothing is taken from the channel before that, so nothing is lost when this is given up.
    async fn publish_next(&mut self, batches: &mut JoinSet<()>) -> bool {
        let Ok(permit) = Arc::clone(&self.in_flight).acquire_owned().await else { return false };
        let mut batch = Vec::with_capacity(BATCH);
        if self.handed_over.recv_many(&mut batch, BATCH).await == 0 {
            return false;
        }
        batches.spawn(publish(Arc::clone(&self.publisher), batch, permit));
        true
    }
}

/// Publishes messages that were handed over, in parts of [`BATCH_BYTES`].
async fn publish(publisher: Arc<Publisher>, batch: Vec<HandedOver>, permit: OwnedSemaphorePermit) {
    let mut batch = batch.into_iter().peekable();
    while batch.peek().is_some() {
        let (mut part, mut room, mut bytes) = (Vec::new(), Vec::new(), 0);
        while let Some(next) =
            batch.next_if(|next| part.is_empty() || bytes + next.message.message.bytes() <= BATCH_BYTES)
        {
            if !next.is_fresh() {
                count_left_to_sweep(1);
                continue;
            }
            bytes += next.message.message.bytes();
            part.push(next.message);
            room.push(next.room);
        }
        if !part.is_empty() {
            publisher.publish(part).await;
        }
        drop(room);
    }
    drop(permit);
}

impl Publisher {
    /// Whether rows were left behind since the last call.
    pub(super) fn take_left_rows(&self) -> bool {
        self.has_left_rows.swap(false, Ordering::Relaxed)
    }

    /// Publishes messages and settles their rows; whether the topic took all that it can ever take.
    pub(super) async fn publish(&self, batch: Vec<OutboxMessage>) -> bool {
        let (ids, messages): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|message| (message.event_id, message.message)).unzip();
        let published = timeout(PUBLISH_LIMIT, self.bus.publish(&self.topic, &messages)).await;
        let results = match published {
            Ok(Ok(results)) => results,
            Ok(Err(error)) => return self.not_published(ids.len(), &error),
            Err(elapsed) => return self.not_published(ids.len(), &elapsed),
        };
        let mut acknowledged = Vec::with_capacity(ids.len());
        let mut refused = Vec::new();
        for (id, result) in ids.into_iter().zip(results) {
            match result {
                Ok(()) => acknowledged.push(id),
                Err(PublishError::Retry(_)) => refused.push(id),
                Err(PublishError::Unpublishable(reason)) => {
                    tracing::error!(event.id = %id, reason, "parked in the outbox: it can never be published");
                    metrics::counter!("outbox_parked_total").increment(1);
                    self.note(store::park(&self.pool, id, &reason).await);
                }
            }
        }
        metrics::counter!("outbox_published_total").increment(acknowledged.len() as u64);
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

    fn not_published(&self, messages: usize, error: &(dyn std::error::Error + 'static)) -> bool {
        self.has_left_rows.store(true, Ordering::Relaxed);
        tracing::warn!(error, messages, "could not publish; the outbox keeps them");
        false
    }

    fn note(&self, result: Result<(), sqlx::Error>) {
        if let Err(error) = result {
            self.has_left_rows.store(true, Ordering::Relaxed);
            tracing::warn!(error = %error, "the outbox was not updated; what was published may be published again, with the same id");
        }
    }
}

/// Counts messages that are not published from memory.
pub(super) fn count_left_to_sweep(messages: usize) {
    metrics::counter!("outbox_left_to_sweep_total").increment(messages as u64);
}

/// Says what the metrics of the outbox mean.
fn describe() {
    static DESCRIBED: Once = Once::new();
    DESCRIBED.call_once(|| {
        metrics::describe_counter!("outbox_published_total", "Messages of the outbox that the topic took");
        metrics::describe_counter!(
            "outbox_left_to_sweep_total",
            "Messages that were not published from memory, as there was no room or their lease was nearly over"
        );
        metrics::describe_counter!("outbox_swept_total", "Rows that a sweep of the outbox took over");
        metrics::describe_counter!("outbox_parked_total", "Messages that can never be published");
        metrics::describe_gauge!("reminders_outbox_parked", "Rows that can never be published, by their table");
        metrics::describe_gauge!("outbox_waiting", "Rows of the outbox that are to be published");
        metrics::describe_gauge!("outbox_oldest_seconds", "Age of the oldest row of the outbox that is not published");
    });
}
