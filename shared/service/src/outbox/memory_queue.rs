//! Queue in memory from committed transactions to the relay of this process.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep},
};

use super::{
    MAX_MEMORY_BYTES, MAX_TIME_IN_MEMORY, OutboxMessage,
    fair_queue::{FairQueue, Taken, USER_IN_FLIGHT},
    publisher::{count_backlogged, count_left_to_recovery},
    shares::Shares,
};

/// Time between two small batches of throttled users.
const PAUSE: Duration = Duration::from_millis(50);

/// Sends messages of committed transactions to the relay of this process.
#[derive(Debug, Clone)]
pub struct RelayHandle {
    queue: Arc<MemoryQueue>,
    /// One permit for each byte that is left of [`MAX_MEMORY_BYTES`].
    memory: Arc<Semaphore>,
}

/// A message in memory, with the permits for its bytes.
#[derive(Debug)]
pub(super) struct QueuedMessage {
    pub(super) message: OutboxMessage,
    pub(super) since: Instant,
    pub(super) memory: OwnedSemaphorePermit,
}

/// Messages taken from the queue to be published. Dropping the batch ends their attempts in flight,
/// so that others of the same users may follow.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) messages: Vec<QueuedMessage>,
    users: Vec<Arc<str>>,
    queue: Arc<MemoryQueue>,
}

/// Messages by user, and the shares of users.
#[derive(Debug)]
pub(super) struct MemoryQueue {
    state: Mutex<State>,
    /// Notified when a message was added, or a batch is no longer in flight.
    changed: Notify,
    /// Notified when a user used up the share.
    backlogged: Notify,
}

#[derive(Debug)]
pub(super) struct State {
    messages: FairQueue,
    pub(super) shares: Shares,
    is_closed: bool,
}

impl RelayHandle {
    pub(super) fn new(queue: Arc<MemoryQueue>) -> Self {
        Self { queue, memory: Arc::new(Semaphore::new(MAX_MEMORY_BYTES)) }
    }

    /// Queues messages whose rows are committed. Messages for which there is no capacity (the bus
    /// is unreachable, or one user has too many) stay in the outbox until the recovery task claims
    /// them.
    pub fn after_commit(&self, messages: impl IntoIterator<Item = OutboxMessage>) {
        let since = Instant::now();
        let (mut is_any_queued, mut left) = (false, 0);
        for message in messages {
            if self.push(message, since) {
                is_any_queued = true;
            } else {
                left += 1;
            }
        }
        if is_any_queued {
            self.queue.changed.notify_one();
        }
        if left > 0 {
            count_left_to_recovery(left);
        }
    }

    /// Queues a message; returns `false` if there is no capacity for it.
    fn push(&self, message: OutboxMessage, since: Instant) -> bool {
        let bytes = message.message.bytes();
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        let Ok(memory) = Arc::clone(&self.memory).try_acquire_many_owned(permits) else {
            return false;
        };
        let mut state = self.queue.state();
        if state.is_closed || !state.messages.has_capacity(message.user(), bytes) {
            return false;
        }
        state.messages.push(QueuedMessage { message, since, memory });
        true
    }
}

impl QueuedMessage {
    /// A message queued now, with a permit of its own.
    #[cfg(test)]
    pub(super) fn alone(message: OutboxMessage) -> Self {
        let memory = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("a permit");
        Self { message, since: Instant::now(), memory }
    }

    /// Returns whether this process keeps the lease of the row for as long as a publish may take.
    pub(super) fn is_fresh(&self) -> bool {
        self.since.elapsed() <= MAX_TIME_IN_MEMORY
    }

    pub(super) fn bytes(&self) -> usize {
        self.message.message.bytes()
    }
}

impl MemoryQueue {
    pub(super) fn new(shares: Shares) -> Self {
        let state = State { messages: FairQueue::default(), shares, is_closed: false };
        Self { state: Mutex::new(state), changed: Notify::new(), backlogged: Notify::new() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next messages of users within their share. At most one task may call this;
    /// dropping the future loses nothing.
    pub(super) async fn next(self: &Arc<Self>, most: usize) -> Batch {
        loop {
            let taken = self.taken(|State { messages, shares, .. }| {
                messages.take(shares, most, Instant::now())
            });
            if taken.backlogged > 0 {
                count_backlogged(taken.backlogged);
                self.backlogged.notify_one();
            }
            if let Some(batch) = self.batch(taken) {
                return batch;
            }
            self.changed.notified().await;
        }
    }

    /// Waits for the next messages of users who have used up their share. At most one task may call
    /// this; dropping the future loses nothing.
    pub(super) async fn next_of_backlog(self: &Arc<Self>) -> Batch {
        loop {
            let taken = self.taken(|State { messages, shares, .. }| {
                messages.take_of_backlog(shares, USER_IN_FLIGHT, Instant::now())
            });
            if let Some(batch) = self.batch(taken) {
                return batch;
            }
            if self.state().messages.has_backlog() {
                sleep(PAUSE).await;
            } else {
                self.backlogged.notified().await;
            }
        }
    }

    /// Refuses further messages.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
    }

    /// Takes the next messages of all users regardless of their shares; `None` if the queue is
    /// empty.
    pub(super) fn drain(self: &Arc<Self>, most: usize) -> Option<Batch> {
        let taken = self.taken(|state| state.messages.take_of_all(most));
        self.batch(taken)
    }

    fn taken(&self, take: impl FnOnce(&mut State) -> Taken) -> Taken {
        take(&mut self.state())
    }

    fn batch(self: &Arc<Self>, taken: Taken) -> Option<Batch> {
        if taken.stale > 0 {
            count_left_to_recovery(taken.stale);
        }
        let Taken { messages, users, .. } = taken;
        (!messages.is_empty()).then(|| Batch { messages, users, queue: Arc::clone(self) })
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.queue.state().messages.end_flight(&self.users);
        self.queue.changed.notify_one();
    }
}

/// Pauses after a small batch of throttled users, as each publish has a fixed cost.
pub(super) async fn pause_after(published: usize) {
    if published < USER_IN_FLIGHT {
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bus::Message;
    use contract::new_id;

    use super::*;
    use crate::outbox::{LEASE, publisher::PUBLISH_LIMIT};

    fn message(user: usize, bytes: usize) -> OutboxMessage {
        let attributes = BTreeMap::from([("userId".to_owned(), user.to_string())]);
        let mut message = Message { body: String::new(), attributes };
        message.body = "x".repeat(bytes - message.bytes());
        OutboxMessage { event_id: new_id(), message }
    }

    fn relay_handle() -> (RelayHandle, Arc<MemoryQueue>) {
        let queue = Arc::new(MemoryQueue::new(Shares::new(1_000, Instant::now())));
        (RelayHandle::new(Arc::clone(&queue)), queue)
    }

    fn messages(queue: &Arc<MemoryQueue>) -> usize {
        queue.drain(usize::MAX).map_or(0, |batch| batch.messages.len())
    }

    #[tokio::test]
    async fn leaves_messages_to_recovery_beyond_memory() {
        let (relay_handle, queue) = relay_handle();
        let share = MAX_MEMORY_BYTES / 64;
        relay_handle.after_commit((0..100).map(|user| message(user, share)));
        let mut batch = queue.drain(usize::MAX).unwrap();
        assert_eq!(batch.messages.len(), 64);

        relay_handle.after_commit([message(0, share)]);
        assert_eq!(messages(&queue), 0, "messages keep their permits until they are published");
        batch.messages.pop();
        relay_handle.after_commit([message(0, share)]);
        assert_eq!(messages(&queue), 1);
    }

    #[tokio::test]
    async fn accepts_messages_of_others_beside_one_user() {
        let (relay_handle, queue) = relay_handle();
        relay_handle.after_commit((0..20_000).map(|_| message(1, 100)));
        relay_handle.after_commit([message(2, 100)]);
        assert_eq!(messages(&queue), 5_001);
    }

    #[tokio::test]
    async fn drops_message_whose_lease_may_expire() {
        let mut queued = QueuedMessage::alone(message(1, 100));
        assert!(queued.is_fresh());
        queued.since -= MAX_TIME_IN_MEMORY;
        assert!(!queued.is_fresh());
        assert!(MAX_TIME_IN_MEMORY + PUBLISH_LIMIT < LEASE);
    }
}
