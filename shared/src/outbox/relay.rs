//! Publishes what the outbox holds.

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Handoff, LEASE, OutboxMessage, store};
use crate::bus::{PublishError, SharedBus};

/// Messages published together at the most.
const BATCH: usize = 500;
/// Batches under way at once.
const BATCHES: usize = 4;
/// Messages handed over in memory and not yet taken up; beyond it they are left to the sweep.
const HANDOFF: usize = 20_000;
/// How often expired leases are looked for.
const SWEEP: Duration = Duration::from_secs(1);
/// How long a drain may take before the rest is left to the next process.
const DRAIN: Duration = Duration::from_secs(10);

/// The publishing side of the outbox, one a process.
pub struct Relay {
    publisher: Arc<Publisher>,
    handed_over: mpsc::Receiver<OutboxMessage>,
}

struct Publisher {
    pool: PgPool,
    bus: SharedBus,
    topic: String,
    in_flight: Arc<Semaphore>,
}

impl Relay {
    /// A relay from a database's outbox to a topic, and the way to hand messages over to it.
    #[must_use]
    pub fn new(pool: PgPool, bus: SharedBus, topic: String) -> (Self, Handoff) {
        metrics::describe_gauge!(
            "reminders_outbox_parked",
            "Rows that can never be published, with their reason in the table"
        );
        metrics::describe_gauge!("outbox_oldest_seconds", "Age of the oldest row that is not published");
        let (sender, handed_over) = mpsc::channel(HANDOFF);
        let publisher = Publisher { pool, bus, topic, in_flight: Arc::new(Semaphore::new(BATCHES)) };
        (Self { publisher: Arc::new(publisher), handed_over }, Handoff(sender))
    }

    /// Publishes until the token is cancelled, then drains what was handed over.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut batches = JoinSet::new();
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_open = true;
        loop {
            let mut batch = Vec::with_capacity(BATCH);
            // Shutdown and the sweep come first: messages that never stop must not keep either waiting.
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                _ = sweep.tick() => self.publisher.sweep(&mut batches).await,
                received = self.handed_over.recv_many(&mut batch, BATCH), if is_open => {
                    is_open = received > 0;
                    self.publisher.start(batch, &mut batches).await;
                }
            }
            while batches.try_join_next().is_some() {}
        }
        if timeout(DRAIN, self.drain(&mut batches)).await.is_err() {
            tracing::warn!("the outbox was not drained in time; its rows are left to the next process");
        }
    }

    async fn drain(&mut self, batches: &mut JoinSet<()>) {
        self.handed_over.close();
        let mut batch = Vec::with_capacity(BATCH);
        while self.handed_over.recv_many(&mut batch, BATCH).await > 0 {
            self.publisher.start(std::mem::take(&mut batch), batches).await;
        }
        while batches.join_next().await.is_some() {}
    }
}

impl Publisher {
    /// Starts publishing a batch as soon as fewer than [`BATCHES`] are under way.
    async fn start(self: &Arc<Self>, batch: Vec<OutboxMessage>, batches: &mut JoinSet<()>) {
        if batch.is_empty() {
            return;
        }
        let Ok(permit) = Arc::clone(&self.in_flight).acquire_owned().await else { return };
        let publisher = Arc::clone(self);
        batches.spawn(async move {
            publisher.publish(batch).await;
            drop(permit);
        });
    }

    /// Takes rows whose lease has run out, until none is left or the bus fails.
    async fn sweep(self: &Arc<Self>, batches: &mut JoinSet<()>) {
        let started = Instant::now();
        loop {
            match store::claim(&self.pool, BATCH as i64, LEASE).await {
                Ok(rows) if rows.is_empty() => break,
                Ok(rows) => {
                    metrics::counter!("outbox_swept_total").increment(rows.len() as u64);
                    self.start(rows, batches).await;
                }
                Err(error) => {
                    tracing::warn!(error = %error, "the outbox could not be swept");
                    return;
                }
            }
            if started.elapsed() > SWEEP {
                break;
            }
        }
        if let Ok(backlog) = store::backlog(&self.pool).await {
            metrics::gauge!("outbox_waiting").set(backlog.waiting as f64);
            metrics::gauge!("outbox_oldest_seconds").set(backlog.oldest_seconds);
            metrics::gauge!("reminders_outbox_parked", "table" => "outbox").set(backlog.parked as f64);
        }
    }

    async fn publish(&self, batch: Vec<OutboxMessage>) {
        let (ids, messages): (Vec<_>, Vec<_>) = batch.into_iter().map(|it| (it.event_id, it.message)).unzip();
        let results = match self.bus.publish(&self.topic, &messages).await {
            Ok(results) => results,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    messages = ids.len(),
                    "could not publish; the outbox keeps them"
                );
                return;
            }
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
        if !refused.is_empty() {
            self.note(store::release(&self.pool, &refused).await);
        }
    }

    fn note(&self, result: Result<(), sqlx::Error>) {
        if let Err(error) = result {
            tracing::warn!(error = %error, "the outbox was not updated; what was published may be published again, with the same id");
        }
    }
}
