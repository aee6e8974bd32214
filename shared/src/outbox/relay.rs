//! Publishes what the outbox holds: what this process hands over, and beside it what its sweep
//! finds.

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Handoff,
    memory_queue::{Batch, HandoffQueue, breathe},
    publisher::{Publisher, count_left_to_sweep, describe},
    recovery,
    shares::Shares,
};
use crate::bus::SharedBus;

/// Messages published together at the most, and their bytes.
pub(super) const BATCH: usize = 500;
pub(super) const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Batches of handed-over messages under way at once.
const BATCHES: usize = 4;
/// How long a drain may take before the rest is left to the next process.
const DRAIN: Duration = Duration::from_secs(10);
/// Messages of one user published in a second unless the configuration says otherwise.
pub const USER_EVENTS_PER_SECOND: u32 = 1_000;

/// The publishing side of the outbox, one a process.
///
/// Users take turns. One who has more than a share beyond a burst is served apart, a small batch at
/// a time, so that neither the relay nor the queue behind the topic is filled by one user.
pub struct Relay {
    publisher: Arc<Publisher>,
    in_flight: Arc<Semaphore>,
    queue: Arc<HandoffQueue>,
}

impl Relay {
    /// A relay from a database's outbox to a topic, and the way to hand messages over to it.
    #[must_use]
    pub fn new(pool: PgPool, bus: SharedBus, topic: String) -> (Self, Handoff) {
        describe();
        let queue =
            Arc::new(HandoffQueue::new(Shares::new(USER_EVENTS_PER_SECOND, Instant::now())));
        let handoff = Handoff::new(Arc::clone(&queue));
        let publisher = Arc::new(Publisher::new(pool, bus, topic, Arc::clone(&queue)));
        (Self { publisher, in_flight: Arc::new(Semaphore::new(BATCHES)), queue }, handoff)
    }

    /// The same, with another share for each user, in messages a second.
    #[must_use]
    pub fn with_user_share(self, per_second: u32) -> Self {
        self.queue.state().shares = Shares::new(per_second, Instant::now());
        self
    }

    /// Publishes until the token is cancelled, then drains what was handed over. The sweep is a
    /// task of its own: however long it takes, what is handed over does not wait for it. So is what
    /// backlogged users have in memory.
    pub async fn run(self, shutdown: CancellationToken) {
        let sweep = tokio::spawn(recovery::run(Arc::clone(&self.publisher), shutdown.clone()));
        let backlog =
            publish_backlog(Arc::clone(&self.queue), Arc::clone(&self.publisher), shutdown.clone());
        let backlog = tokio::spawn(backlog);
        let mut batches = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                () = self.publish_next(&mut batches) => {}
            }
            while batches.try_join_next().is_some() {}
        }
        if timeout(DRAIN, self.drain(&mut batches)).await.is_err() {
            tracing::warn!(
                "outbox was not drained before the limit, the next process publishes the rest"
            );
        }
        for (task, name) in [(sweep, "sweep"), (backlog, "backlog")] {
            if let Err(error) = task.await {
                tracing::error!(error = %error, name, "outbox task ended unexpectedly");
            }
        }
    }

    /// Starts publishing the next messages as soon as fewer than [`BATCHES`] batches are under way.
    /// Nothing is taken from the queue before that, so nothing is lost when this is given up.
    async fn publish_next(&self, batches: &mut JoinSet<()>) {
        let Ok(permit) = Arc::clone(&self.in_flight).acquire_owned().await else { return };
        let batch = self.queue.next(BATCH).await;
        batches.spawn(publish(Arc::clone(&self.publisher), batch, Some(permit)));
    }

    async fn drain(&self, batches: &mut JoinSet<()>) {
        self.queue.close();
        while let Ok(permit) = Arc::clone(&self.in_flight).acquire_owned().await {
            let Some(batch) = self.queue.drain(BATCH) else { break };
            batches.spawn(publish(Arc::clone(&self.publisher), batch, Some(permit)));
        }
        while batches.join_next().await.is_some() {}
    }
}

/// Publishes what backlogged users have in memory, a batch at a time, until the token is cancelled.
async fn publish_backlog(
    queue: Arc<HandoffQueue>,
    publisher: Arc<Publisher>,
    shutdown: CancellationToken,
) {
    loop {
        let batch = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            batch = queue.next_of_backlog() => batch,
        };
        let messages = batch.messages.len();
        publish(Arc::clone(&publisher), batch, None).await;
        tokio::select! { () = breathe(messages) => {} () = shutdown.cancelled() => return }
    }
}

/// Publishes messages that were handed over, in parts of [`BATCH_BYTES`].
async fn publish(
    publisher: Arc<Publisher>,
    mut batch: Batch,
    permit: Option<OwnedSemaphorePermit>,
) {
    let mut messages = std::mem::take(&mut batch.messages).into_iter().peekable();
    while messages.peek().is_some() {
        let (mut part, mut room, mut bytes) = (Vec::new(), Vec::new(), 0);
        while let Some(next) =
            messages.next_if(|next| part.is_empty() || bytes + next.bytes() <= BATCH_BYTES)
        {
            if !next.is_fresh() {
                count_left_to_sweep(1);
                continue;
            }
            bytes += next.bytes();
            part.push(next.message);
            room.push(next.room);
        }
        if !part.is_empty() {
            publisher.publish(part).await;
        }
        drop(room);
    }
    drop((batch, permit));
}
