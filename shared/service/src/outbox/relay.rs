//! The relay: publishes messages of this process from memory, and rows whose lease has expired from
//! the outbox.

use std::{sync::Arc, time::Duration};

use bus::SharedBus;
use sqlx::PgPool;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    RelayHandle,
    memory_queue::{Batch, MemoryQueue, pause_after},
    publisher::{Publisher, count_left_to_recovery},
    recovery,
    shares::Shares,
};

/// Most messages of a batch, and their bytes.
pub(super) const BATCH: usize = 500;
pub(super) const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Batches from memory that are in flight at once.
const BATCHES: usize = 4;
/// Longest time of a drain. Messages left after it are published by the next process.
const DRAIN: Duration = Duration::from_secs(10);
/// Default for the messages of one user that are published per second.
pub const USER_EVENTS_PER_SECOND: u32 = 1_000;

/// The publishing side of the outbox, one in each process.
///
/// Messages are taken round-robin by user. Messages of a user beyond the share and its burst are
/// published separately in small batches, so that one user fills neither the relay nor the queue
/// behind the topic.
pub struct Relay {
    publisher: Arc<Publisher>,
    in_flight: Arc<Semaphore>,
    queue: Arc<MemoryQueue>,
}

impl Relay {
    /// Creates a relay from the outbox of a database to a topic, and the handle that sends messages
    /// to it.
    #[must_use]
    pub fn new(pool: PgPool, bus: SharedBus, topic: String) -> (Self, RelayHandle) {
        let queue = Arc::new(MemoryQueue::new(Shares::new(USER_EVENTS_PER_SECOND, Instant::now())));
        let relay_handle = RelayHandle::new(Arc::clone(&queue));
        let publisher = Arc::new(Publisher::new(pool, bus, topic, Arc::clone(&queue)));
        (Self { publisher, in_flight: Arc::new(Semaphore::new(BATCHES)), queue }, relay_handle)
    }

    /// Sets the share of each user, in messages per second.
    #[must_use]
    pub fn with_user_share(self, per_second: u32) -> Self {
        self.queue.state().shares = Shares::new(per_second, Instant::now());
        self
    }

    /// Publishes until the token is cancelled, then drains the messages in memory. Recovery of
    /// expired leases and messages of throttled users are tasks of their own, so that they never
    /// delay the other messages.
    pub async fn run(self, shutdown: CancellationToken) {
        let recovery = tokio::spawn(recovery::run(Arc::clone(&self.publisher), shutdown.clone()));
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
        for (task, name) in [(recovery, "recovery"), (backlog, "backlog")] {
            if let Err(error) = task.await {
                tracing::error!(error = %error, name, "outbox task ended unexpectedly");
            }
        }
    }

    /// Starts publishing the next messages as soon as fewer than [`BATCHES`] batches are in flight.
    /// No message leaves the queue before that, so dropping the future loses nothing.
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

/// Publishes messages of throttled users, a batch at a time, until the token is cancelled.
async fn publish_backlog(
    queue: Arc<MemoryQueue>,
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
        tokio::select! { () = pause_after(messages) => {} () = shutdown.cancelled() => return }
    }
}

/// Publishes a batch from memory, in parts of [`BATCH_BYTES`].
async fn publish(
    publisher: Arc<Publisher>,
    mut batch: Batch,
    permit: Option<OwnedSemaphorePermit>,
) {
    let mut messages = std::mem::take(&mut batch.messages).into_iter().peekable();
    while messages.peek().is_some() {
        let (mut part, mut memory, mut bytes) = (Vec::new(), Vec::new(), 0);
        while let Some(next) =
            messages.next_if(|next| part.is_empty() || bytes + next.bytes() <= BATCH_BYTES)
        {
            if !next.is_fresh() {
                count_left_to_recovery(1);
                continue;
            }
            bytes += next.bytes();
            part.push(next.message);
            memory.push(next.memory);
        }
        if !part.is_empty() {
            publisher.publish(part).await;
        }
        drop(memory);
    }
    drop((batch, permit));
}
