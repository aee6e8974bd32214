//! Fair queue of messages in memory: round-robin, one message of each user at a time. Pure but for
//! the clock.
//!
//! A user within the share is in `ready`. A user who has used up the share is in `backlogged`,
//! where messages wait for tokens without delaying other users, until the user has no messages
//! left.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use tokio::time::Instant;

use super::{MAX_MEMORY_BYTES, memory_queue::QueuedMessage, shares::Shares};

/// Most messages in memory: of all users, and of one user, with the bytes of one user.
pub(super) const MAX_MESSAGES: usize = 20_000;
pub(super) const MAX_USER_MESSAGES: usize = MAX_MESSAGES / 4;
pub(super) const MAX_USER_BYTES: usize = MAX_MEMORY_BYTES / 4;
/// Most messages of one user in flight to the topic.
pub(super) const USER_IN_FLIGHT: usize = 100;

/// The messages of all users.
#[derive(Debug, Default)]
pub(super) struct FairQueue {
    by_user: HashMap<Arc<str>, UserQueue>,
    /// Users within their share, next first.
    ready: VecDeque<Arc<str>>,
    /// Users who have used up their share, next first.
    backlogged: VecDeque<Arc<str>>,
    messages: usize,
    /// Number of messages of each user that were taken and are in flight.
    in_flight_by_user: HashMap<Arc<str>, usize>,
}

#[derive(Debug)]
struct UserQueue {
    messages: VecDeque<QueuedMessage>,
    bytes: usize,
}

/// Messages to publish together.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// The messages in order, and the user of each.
    pub(super) messages: Vec<QueuedMessage>,
    pub(super) users: Vec<Arc<str>>,
    /// Number of messages that waited too long and are left to the recovery task.
    pub(super) stale: usize,
    /// Number of users found to have used up their share.
    pub(super) backlogged: usize,
}

impl FairQueue {
    /// Returns whether there is capacity for one more message of a user.
    pub(super) fn has_capacity(&self, user: &str, bytes: usize) -> bool {
        let has_capacity = |queue: &UserQueue| {
            queue.messages.len() < MAX_USER_MESSAGES && queue.bytes + bytes <= MAX_USER_BYTES
        };
        self.messages < MAX_MESSAGES && self.by_user.get(user).is_none_or(has_capacity)
    }

    /// Adds a message to the queue of its user.
    pub(super) fn push(&mut self, message: QueuedMessage) {
        self.messages += 1;
        let bytes = message.bytes();
        if let Some(queue) = self.by_user.get_mut(message.message.user()) {
            queue.bytes += bytes;
            queue.messages.push_back(message);
            return;
        }
        let user: Arc<str> = Arc::from(message.message.user());
        let queue = UserQueue { messages: VecDeque::from([message]), bytes };
        self.by_user.insert(Arc::clone(&user), queue);
        self.ready.push_back(user);
    }

    /// Returns whether some user has used up the share.
    pub(super) fn has_backlog(&self) -> bool {
        !self.backlogged.is_empty()
    }

    /// Takes the next messages of users within their share, round-robin.
    pub(super) fn take(&mut self, shares: &mut Shares, most: usize, now: Instant) -> Taken {
        let (mut taken, mut at_limit) = (Taken::default(), VecDeque::new());
        while taken.messages.len() < most
            && let Some(user) = self.ready.pop_front()
        {
            if !self.drop_stale(&user, &mut taken) {
                continue;
            }
            if self.is_at_limit(&user) {
                at_limit.push_back(user);
            } else if shares.take(&user, 1, now) == 0 {
                taken.backlogged += 1;
                self.backlogged.push_back(user);
            } else if self.take_one(&user, &mut taken) {
                self.ready.push_back(user);
            }
        }
        self.ready.append(&mut at_limit);
        taken
    }

    /// Takes the next messages of users who have used up their share, as far as they have tokens
    /// again.
    pub(super) fn take_of_backlog(
        &mut self,
        shares: &mut Shares,
        most: usize,
        now: Instant,
    ) -> Taken {
        let (mut taken, mut without_token) = (Taken::default(), 0);
        while taken.messages.len() < most
            && without_token < self.backlogged.len()
            && let Some(user) = self.backlogged.pop_front()
        {
            if !self.drop_stale(&user, &mut taken) {
                continue;
            }
            if self.is_at_limit(&user) || shares.take(&user, 1, now) == 0 {
                without_token += 1;
            } else {
                without_token = 0;
                if !self.take_one(&user, &mut taken) {
                    continue;
                }
            }
            self.backlogged.push_back(user);
        }
        taken
    }

    /// Takes messages of all users round-robin, regardless of their shares, as the process ends.
    pub(super) fn take_of_all(&mut self, most: usize) -> Taken {
        self.ready.append(&mut self.backlogged);
        let mut taken = Taken::default();
        while taken.messages.len() < most
            && let Some(user) = self.ready.pop_front()
        {
            if self.drop_stale(&user, &mut taken) && self.take_one(&user, &mut taken) {
                self.ready.push_back(user);
            }
        }
        taken
    }

    /// Removes messages that waited too long from the front of a user's queue; returns whether some
    /// are left.
    fn drop_stale(&mut self, user: &Arc<str>, taken: &mut Taken) -> bool {
        while self
            .by_user
            .get(user)
            .and_then(|queue| queue.messages.front())
            .is_some_and(|next| !next.is_fresh())
        {
            self.pop(user);
            taken.stale += 1;
        }
        self.by_user.contains_key(user)
    }

    /// Takes the first message of a user; returns whether some are left.
    fn take_one(&mut self, user: &Arc<str>, taken: &mut Taken) -> bool {
        if let Some(message) = self.pop(user) {
            taken.messages.push(message);
            taken.users.push(Arc::clone(user));
            *self.in_flight_by_user.entry(Arc::clone(user)).or_default() += 1;
        }
        self.by_user.contains_key(user)
    }

    /// Records that taken messages are no longer in flight.
    pub(super) fn end_flight(&mut self, users: &[Arc<str>]) {
        for user in users {
            if let Some(messages) = self.in_flight_by_user.get_mut(user) {
                *messages -= 1;
                if *messages == 0 {
                    self.in_flight_by_user.remove(user);
                }
            }
        }
    }

    /// Returns whether a user has as many messages in flight as are allowed.
    fn is_at_limit(&self, user: &str) -> bool {
        self.in_flight_by_user.get(user).is_some_and(|messages| *messages >= USER_IN_FLIGHT)
    }

    /// Removes and returns the first message of a user.
    fn pop(&mut self, user: &Arc<str>) -> Option<QueuedMessage> {
        let queue = self.by_user.get_mut(user)?;
        let message = queue.messages.pop_front();
        if let Some(message) = &message {
            queue.bytes -= message.bytes();
            self.messages -= 1;
        }
        if queue.messages.is_empty() {
            self.by_user.remove(user);
        }
        message
    }
}

#[cfg(test)]
mod tests;
