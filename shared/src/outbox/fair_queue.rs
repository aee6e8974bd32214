//! Lines: what waits in memory to be published, in turns of one message a user. Pure but for the
//! clock.
//!
//! A user within the share stands in `turns`; one who has used it up stands in `backlogged`, where
//! messages wait for tokens and nobody else waits with them, until the line is empty.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use tokio::time::Instant;

use super::{HANDOFF_BYTES, memory_queue::HandedOver, shares::Shares};

/// Messages in memory: of all users, and of one, with the bytes of one.
pub(super) const MESSAGES: usize = 20_000;
pub(super) const USER_MESSAGES: usize = MESSAGES / 4;
pub(super) const USER_BYTES: usize = HANDOFF_BYTES / 4;
/// Messages of one user on their way to the topic at once.
pub(super) const USER_UNDER_WAY: usize = 100;

/// The lines of all users.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: HashMap<Arc<str>, Line>,
    /// Users within their share, next first.
    turns: VecDeque<Arc<str>>,
    /// Users who have used up their share, next first.
    backlogged: VecDeque<Arc<str>>,
    messages: usize,
    /// Messages of each user that were taken and are on their way to the topic.
    under_way: HashMap<Arc<str>, usize>,
}

#[derive(Debug)]
struct Line {
    messages: VecDeque<HandedOver>,
    bytes: usize,
}

/// Messages to publish together.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// In the order of their turns; of each, whose it is.
    pub(super) messages: Vec<HandedOver>,
    pub(super) users: Vec<Arc<str>>,
    /// Messages that waited for too long, and are left to the sweep.
    pub(super) stale: usize,
    /// Users found to have used up their share.
    pub(super) backlogged: usize,
}

impl Lines {
    /// Whether there is room for one more message of a user.
    pub(super) fn has_room(&self, user: &str, bytes: usize) -> bool {
        let has_room =
            |line: &Line| line.messages.len() < USER_MESSAGES && line.bytes + bytes <= USER_BYTES;
        self.messages < MESSAGES && self.lines.get(user).is_none_or(has_room)
    }

    /// Adds a message to its user's line.
    pub(super) fn push(&mut self, message: HandedOver) {
        self.messages += 1;
        let bytes = message.bytes();
        if let Some(line) = self.lines.get_mut(message.message.user()) {
            line.bytes += bytes;
            line.messages.push_back(message);
            return;
        }
        let user: Arc<str> = Arc::from(message.message.user());
        let line = Line { messages: VecDeque::from([message]), bytes };
        self.lines.insert(Arc::clone(&user), line);
        self.turns.push_back(user);
    }

    /// Whether some user has used up the share.
    pub(super) fn has_backlog(&self) -> bool {
        !self.backlogged.is_empty()
    }

    /// Takes the next messages of users within their share, in turns.
    pub(super) fn take(&mut self, shares: &mut Shares, most: usize, now: Instant) -> Taken {
        let (mut taken, mut crowded) = (Taken::default(), VecDeque::new());
        while taken.messages.len() < most
            && let Some(user) = self.turns.pop_front()
        {
            if !self.drop_stale(&user, &mut taken) {
                continue;
            }
            if self.is_crowded(&user) {
                crowded.push_back(user);
            } else if shares.take(&user, 1, now) == 0 {
                taken.backlogged += 1;
                self.backlogged.push_back(user);
            } else if self.take_one(&user, &mut taken) {
                self.turns.push_back(user);
            }
        }
        self.turns.append(&mut crowded);
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
            if self.is_crowded(&user) || shares.take(&user, 1, now) == 0 {
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

    /// Takes messages of all users in turns, whatever their shares: the process is ending.
    pub(super) fn take_of_all(&mut self, most: usize) -> Taken {
        self.turns.append(&mut self.backlogged);
        let mut taken = Taken::default();
        while taken.messages.len() < most
            && let Some(user) = self.turns.pop_front()
        {
            if self.drop_stale(&user, &mut taken) && self.take_one(&user, &mut taken) {
                self.turns.push_back(user);
            }
        }
        taken
    }

    /// Removes messages that waited for too long from the head of a line; whether some are left.
    fn drop_stale(&mut self, user: &Arc<str>, taken: &mut Taken) -> bool {
        while self
            .lines
            .get(user)
            .and_then(|line| line.messages.front())
            .is_some_and(|next| !next.is_fresh())
        {
            self.pop(user);
            taken.stale += 1;
        }
        self.lines.contains_key(user)
    }

    /// Moves the first message of a line; whether some are left.
    fn take_one(&mut self, user: &Arc<str>, taken: &mut Taken) -> bool {
        if let Some(message) = self.pop(user) {
            taken.messages.push(message);
            taken.users.push(Arc::clone(user));
            *self.under_way.entry(Arc::clone(user)).or_default() += 1;
        }
        self.lines.contains_key(user)
    }

    /// Notes that taken messages are not under way any more.
    pub(super) fn note_published(&mut self, users: &[Arc<str>]) {
        for user in users {
            if let Some(messages) = self.under_way.get_mut(user) {
                *messages -= 1;
                if *messages == 0 {
                    self.under_way.remove(user);
                }
            }
        }
    }

    /// Whether a user has as many messages under way as one may have.
    fn is_crowded(&self, user: &str) -> bool {
        self.under_way.get(user).is_some_and(|messages| *messages >= USER_UNDER_WAY)
    }

    /// The first message of a line; an empty line is removed.
    fn pop(&mut self, user: &Arc<str>) -> Option<HandedOver> {
        let line = self.lines.get_mut(user)?;
        let message = line.messages.pop_front();
        if let Some(message) = &message {
            line.bytes -= message.bytes();
            self.messages -= 1;
        }
        if line.messages.is_empty() {
            self.lines.remove(user);
        }
        message
    }
}

#[cfg(test)]
mod tests;
