//! Agenda: the occurrences of many reminders in the order of their times.

use std::collections::BinaryHeap;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{Ranking, Reminder};

/// Difference of a time to the next one that a reminder can have.
const STEP: TimeDelta = TimeDelta::milliseconds(1);
/// Time by which an occurrence may come earlier than computed, as another edition of the time zone
/// database says.
const EDITIONS: TimeDelta = TimeDelta::hours(3);

/// Place of an entry in the order of the agenda: by time, then by reminder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Time of the entry.
    pub at: DateTime<Utc>,
    /// The reminder.
    pub reminder_id: Uuid,
    /// `true` for a snoozed occurrence. A reminder may have another one at the same time.
    pub is_snoozed: bool,
}

impl Position {
    /// Returns the last place before a time.
    #[must_use]
    pub fn before(at: DateTime<Utc>) -> Self {
        let at = at.checked_sub_signed(STEP).unwrap_or(at);
        Self { at, reminder_id: Uuid::max(), is_snoozed: true }
    }
}

/// Occurrence of a reminder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Place of the entry.
    pub position: Position,
    /// Occurrence that a snooze delivers once more.
    pub snoozed_from: Option<DateTime<Utc>>,
}

/// Part of an agenda that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Only entries at this time or later.
    pub from: DateTime<Utc>,
    /// Only entries before this time.
    pub to: Option<DateTime<Utc>>,
    /// Only entries after this one.
    pub after: Option<Position>,
}

/// The first entries of a range, among those that were added.
#[derive(Debug)]
pub struct Agenda {
    range: Range,
    limit: usize,
    /// The first entries, the last of them on top.
    entries: BinaryHeap<Entry>,
}

impl Agenda {
    /// Creates an agenda that keeps the first `limit` entries of a range.
    #[must_use]
    pub fn new(range: Range, limit: usize) -> Self {
        Self { range, limit, entries: BinaryHeap::new() }
    }

    /// Returns `true` if an entry at a time may be among the first.
    fn has_room_at(&self, at: DateTime<Utc>) -> bool {
        let is_in_range = self.range.to.is_none_or(|to| at < to);
        let is_full = self.entries.len() >= self.limit;
        let last = self.entries.peek().filter(|_| is_full);
        is_in_range && last.is_none_or(|last| at <= last.position.at)
    }

    fn offer(&mut self, entry: Entry) {
        let Range { from, to, after } = self.range;
        let at = entry.position.at;
        let is_in_range = at >= from
            && to.is_none_or(|to| at < to)
            && after.is_none_or(|after| entry.position > after);
        if !is_in_range {
            return;
        }
        self.entries.push(entry);
        if self.entries.len() > self.limit {
            self.entries.pop();
        }
    }

    /// Returns the entries in order.
    #[must_use]
    pub fn into_entries(self) -> Vec<Entry> {
        self.entries.into_sorted_vec()
    }
}

impl Ranking for Agenda {
    fn add(&mut self, reminder: &Reminder, now: DateTime<Utc>) {
        if reminder.paused_at.is_some() {
            return;
        }
        let reminder_id = reminder.id;
        let snoozed = reminder.handled.snooze.filter(|snooze| snooze.until > now);
        if let Some(snooze) = snoozed {
            let position = Position { at: snooze.until, reminder_id, is_snoozed: true };
            self.offer(Entry { position, snoozed_from: Some(snooze.date) });
        }
        let from = self.range.after.map_or(self.range.from, |after| after.at.max(self.range.from));
        let from = from.checked_sub_signed(STEP).unwrap_or(from);
        let from =
            reminder.handled.acknowledged.map_or(from, |acknowledged| acknowledged.max(from));
        for at in reminder.details.schedule.schedule().occurrences_after(from) {
            let position = Position { at, reminder_id, is_snoozed: false };
            if !self.has_room_at(at) {
                break;
            }
            self.offer(Entry { position, snoozed_from: None });
        }
    }

    fn may_have_from(&self, at: DateTime<Utc>) -> bool {
        self.has_room_at(at)
    }

    fn contains(&self, reminder_id: Uuid) -> bool {
        self.entries.iter().any(|entry| entry.position.reminder_id == reminder_id)
    }
}

impl Reminder {
    /// Returns a time before which the reminder has neither an occurrence nor a delivery after
    /// `now`; `None` if it has no more, or is paused.
    #[must_use]
    pub fn nothing_before(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.paused_at.is_some() {
            return None;
        }
        let occurrence = self.details.schedule.schedule().occurrences_after(now).next();
        let next = occurrence.into_iter().chain(self.next_at(now)).min()?;
        Some(next.checked_sub_signed(EDITIONS).unwrap_or(next))
    }

    /// Returns the times of the deliveries of an entry that are later than `sent_until`.
    #[must_use]
    pub fn deliveries_of(&self, entry: &Entry, sent_until: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        if entry.position.is_snoozed {
            return vec![entry.position.at];
        }
        let deliveries = self.details.schedule.deliveries_of(entry.position.at, sent_until);
        deliveries.into_iter().map(|(_, at)| at).collect()
    }
}
