//! The way from a committed transaction to the relay of this process, in memory.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep},
};

use super::{
    FRESH, HANDOFF_BYTES, OutboxMessage,
    fair_queue::{Lines, Taken, USER_UNDER_WAY},
    publisher::{count_backlogged, count_left_to_sweep},
    shares::Shares,
};

/// The time between two small batches of backlogged users.
const PAUSE: Duration = Duration::from_millis(50);

/// The way from a committed transaction to the relay of this process.
#[derive(Debug, Clone)]
pub struct Handoff {
    queue: Arc<HandoffQueue>,
    /// Bytes that are left of [`HANDOFF_BYTES`].
    room: Arc<Semaphore>,
}

/// A message in memory, with its share of the room.
#[derive(Debug)]
pub(super) struct HandedOver {
    pub(super) message: OutboxMessage,
    pub(super) since: Instant,
    pub(super) room: OwnedSemaphorePermit,
}

/// Messages that were taken to be published; in the end their users may have others under way.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) messages: Vec<HandedOver>,
    users: Vec<Arc<str>>,
    queue: Arc<HandoffQueue>,
}

/// What was handed over, in lines by user, and the shares of users.
#[derive(Debug)]
pub(super) struct HandoffQueue {
    state: Mutex<State>,
    /// A message was handed over, or a batch is not under way any more.
    changed: Notify,
    backlogged: Notify,
}

#[derive(Debug)]
pub(super) struct State {
    lines: Lines,
    pub(super) shares: Shares,
    is_closed: bool,
}

impl Handoff {
    pub(super) fn new(queue: Arc<HandoffQueue>) -> Self {
        Self { queue, room: Arc::new(Semaphore::new(HANDOFF_BYTES)) }
    }

    /// Hands over messages whose rows are committed. When the relay has no room for them (the bus
    /// is away, or they are more of one user than may wait in memory), the rows wait for the sweep.
    pub fn after_commit(&self, messages: impl IntoIterator<Item = OutboxMessage>) {
        let since = Instant::now();
        let (mut handed_over, mut left) = (false, 0);
        for message in messages {
            if self.hand_over(message, since) {
                handed_over = true;
            } else {
                left += 1;
            }
        }
        if handed_over {
            self.queue.changed.notify_one();
        }
        if left > 0 {
            count_left_to_sweep(left);
        }
    }

    /// Whether there was room for it.
    fn hand_over(&self, message: OutboxMessage, since: Instant) -> bool {
        let bytes = message.message.bytes();
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(permits) else { return false };
        let mut state = self.queue.state();
        if state.is_closed || !state.lines.has_room(message.user(), bytes) {
            return false;
        }
        state.lines.push(HandedOver { message, since, room });
        true
    }
}

impl HandedOver {
    /// A message that was handed over just now, with room of its own.
    #[cfg(test)]
    pub(super) fn alone(message: OutboxMessage) -> Self {
        let room = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("there is room");
        Self { message, since: Instant::now(), room }
    }

    /// Whether its row is this process's for as long as a publish may take.
    pub(super) fn is_fresh(&self) -> bool {
        self.since.elapsed() <= FRESH
    }

    pub(super) fn bytes(&self) -> usize {
        self.message.message.bytes()
    }
}

impl HandoffQueue {
    pub(super) fn new(shares: Shares) -> Self {
        let state = State { lines: Lines::default(), shares, is_closed: false };
        Self { state: Mutex::new(state), changed: Notify::new(), backlogged: Notify::new() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next messages of users within their share, as soon as there are some. For one task;
    /// nothing is lost when it is given up.
    pub(super) async fn next(self: &Arc<Self>, most: usize) -> Batch {
        loop {
            let taken =
                self.taken(|State { lines, shares, .. }| lines.take(shares, most, Instant::now()));
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

    /// The next messages of users who have used up their share, as soon as they may be published.
    /// For one task; nothing is lost when it is given up.
    pub(super) async fn next_of_backlog(self: &Arc<Self>) -> Batch {
        loop {
            let taken = self.taken(|State { lines, shares, .. }| {
                lines.take_of_backlog(shares, USER_UNDER_WAY, Instant::now())
            });
            if let Some(batch) = self.batch(taken) {
                return batch;
            }
            if self.state().lines.has_backlog() {
                sleep(PAUSE).await;
            } else {
                self.backlogged.notified().await;
            }
        }
    }

    /// Takes no more messages in.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
    }

    /// The next messages of all users, whatever their shares; none when all are taken.
    pub(super) fn drain(self: &Arc<Self>, most: usize) -> Option<Batch> {
        let taken = self.taken(|state| state.lines.take_of_all(most));
        self.batch(taken)
    }

    fn taken(&self, take: impl FnOnce(&mut State) -> Taken) -> Taken {
        take(&mut self.state())
    }

    fn batch(self: &Arc<Self>, taken: Taken) -> Option<Batch> {
        if taken.stale > 0 {
            count_left_to_sweep(taken.stale);
        }
        let Taken { messages, users, .. } = taken;
        (!messages.is_empty()).then(|| Batch { messages, users, queue: Arc::clone(self) })
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.queue.state().lines.note_published(&self.users);
        self.queue.changed.notify_one();
    }
}

/// The pause after a batch of backlogged users: small batches are not worth a publish each.
pub(super) async fn breathe(published: usize) {
    if published < USER_UNDER_WAY {
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        bus::Message,
        contract::new_id,
        outbox::{LEASE, publisher::PUBLISH_LIMIT},
    };

    fn message(user: usize, bytes: usize) -> OutboxMessage {
        let attributes = BTreeMap::from([("userId".to_owned(), user.to_string())]);
        let mut message = Message { body: String::new(), attributes };
        message.body = "x".repeat(bytes - message.bytes());
        OutboxMessage { event_id: new_id(), message }
    }

    fn handoff() -> (Handoff, Arc<HandoffQueue>) {
        let queue = Arc::new(HandoffQueue::new(Shares::new(1_000, Instant::now())));
        (Handoff::new(Arc::clone(&queue)), queue)
    }

    fn messages(queue: &Arc<HandoffQueue>) -> usize {
        queue.drain(usize::MAX).map_or(0, |batch| batch.messages.len())
    }

    #[tokio::test]
    async fn leaves_messages_to_sweep_when_their_bytes_exceed_the_room() {
        let (handoff, queue) = handoff();
        let share = HANDOFF_BYTES / 64;
        handoff.after_commit((0..100).map(|user| message(user, share)));
        let mut batch = queue.drain(usize::MAX).unwrap();
        assert_eq!(batch.messages.len(), 64);

        handoff.after_commit([message(0, share)]);
        assert_eq!(
            messages(&queue),
            0,
            "messages in memory keep their room until they are published"
        );
        batch.messages.pop();
        handoff.after_commit([message(0, share)]);
        assert_eq!(messages(&queue), 1);
    }

    #[tokio::test]
    async fn leaves_room_to_others_when_one_user_has_many() {
        let (handoff, queue) = handoff();
        handoff.after_commit((0..20_000).map(|_| message(1, 100)));
        handoff.after_commit([message(2, 100)]);
        assert_eq!(messages(&queue), 5_001);
    }

    #[tokio::test]
    async fn publishes_no_message_whose_lease_may_run_out_meanwhile() {
        let mut handed_over = HandedOver::alone(message(1, 100));
        assert!(handed_over.is_fresh());
        handed_over.since -= FRESH;
        assert!(!handed_over.is_fresh());
        assert!(FRESH + PUBLISH_LIMIT < LEASE);
    }
}
