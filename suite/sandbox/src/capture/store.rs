//! Bounded store of the messages and attempts.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::sync::watch;

use super::{Attempt, Captured, Kind, Stats, stats::Repeats};

/// Keeps the newest messages and attempts, and counts all.
#[derive(Debug)]
pub(crate) struct Store {
    capacity: usize,
    inner: Mutex<Inner>,
    newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    last_seq: u64,
    messages: VecDeque<Arc<Captured>>,
    attempts: VecDeque<Attempt>,
    stats: Stats,
    repeats: Repeats,
}

impl Store {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), inner: Mutex::default(), newest: watch::Sender::new(0) }
    }

    /// Stores an accepted message.
    pub(crate) fn accept(&self, at: DateTime<Utc>, message_id: String, kind: Kind, raw: Value) {
        let mut inner = self.lock();
        inner.last_seq += 1;
        let seq = inner.last_seq;
        *inner.stats.accepted.entry(kind.name()).or_default() += 1;
        if inner.repeats.is_repeat(&kind) {
            inner.stats.duplicates += 1;
        }
        push_bounded(
            &mut inner.messages,
            Arc::new(Captured { seq, at, message_id, kind, raw }),
            self.capacity,
        );
        drop(inner);
        self.newest.send_modify(|newest| *newest = seq.max(*newest));
    }

    /// Stores an attempt, and counts its answer.
    pub(crate) fn answered(&self, attempt: Attempt) {
        let mut inner = self.lock();
        inner.stats.count_answer(&attempt);
        push_bounded(&mut inner.attempts, attempt, self.capacity);
    }

    /// Changes a counter.
    pub(crate) fn count(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut self.lock().stats);
    }

    /// The kept messages after `seq`, oldest first.
    pub(crate) fn after(&self, seq: u64) -> Vec<Arc<Captured>> {
        let inner = self.lock();
        let from = inner.messages.partition_point(|message| message.seq <= seq);
        inner.messages.range(from..).cloned().collect()
    }

    /// The kept attempts, oldest first.
    pub(crate) fn attempts(&self, wanted: impl Fn(&Attempt) -> bool) -> Vec<Attempt> {
        self.lock().attempts.iter().filter(|attempt| wanted(attempt)).cloned().collect()
    }

    pub(crate) fn stats(&self) -> Stats {
        self.lock().stats.clone()
    }

    /// Sequence number of the newest message.
    pub(crate) fn last_seq(&self) -> u64 {
        self.lock().last_seq
    }

    /// Returns a receiver that is notified of each new message.
    pub(crate) fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Removes messages, attempts and counts. The sequence continues, so that positions of readers
    /// stay valid.
    pub(crate) fn clear(&self) {
        let mut inner = self.lock();
        *inner = Inner { last_seq: inner.last_seq, ..Inner::default() };
    }

    /// Locks the store. A panic of a holder leaves no partial change.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn push_bounded<T>(ring: &mut VecDeque<T>, item: T, capacity: usize) {
    if ring.len() >= capacity {
        ring.pop_front();
    }
    ring.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{Email, Push};

    fn push(token: &str, collapse_key: &str) -> Kind {
        let collapse_key = Some(collapse_key.to_owned());
        Kind::Push(Push { token: token.to_owned(), collapse_key, ..Push::default() })
    }

    fn accept(store: &Store, kind: Kind) {
        store.accept(Utc::now(), "id".to_owned(), kind, Value::Null);
    }

    #[test]
    fn keeps_newest_messages_and_counts_all() {
        let store = Store::new(2);
        for n in 0..5 {
            accept(&store, push("token", &n.to_string()));
        }

        let kept: Vec<u64> = store.after(0).iter().map(|message| message.seq).collect();

        assert_eq!(kept, [4, 5]);
        assert_eq!(store.stats().accepted["push"], 5);
        assert_eq!(store.after(4).len(), 1);
        assert!(store.after(5).is_empty());
    }

    #[test]
    fn counts_repeat_of_token_and_collapse_key() {
        let store = Store::new(10);
        for (token, key) in [("a", "1"), ("a", "2"), ("b", "1"), ("a", "1")] {
            accept(&store, push(token, key));
        }
        accept(&store, Kind::Email(Email::default()));

        assert_eq!(store.stats().duplicates, 1);
    }

    #[test]
    fn continues_sequence_after_clear() {
        let store = Store::new(10);
        accept(&store, push("a", "1"));
        store.clear();
        accept(&store, push("a", "1"));

        assert_eq!(store.after(0)[0].seq, 2);
        assert_eq!(store.stats().duplicates, 0);
    }
}
