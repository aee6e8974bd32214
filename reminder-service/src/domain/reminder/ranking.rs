//! Rankings: the first of many reminders, or of their occurrences, by time.

use std::collections::BinaryHeap;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::Reminder;

/// The first of many reminders, of which a bounded number is kept.
pub trait Ranking {
    /// Adds a reminder, if it is among the first.
    fn add(&mut self, reminder: &Reminder, now: DateTime<Utc>);

    /// Returns `true` if a reminder that has nothing before a time may be among the first.
    fn may_have_from(&self, at: DateTime<Utc>) -> bool;

    /// Returns `true` if a reminder is among the first.
    fn contains(&self, reminder_id: Uuid) -> bool;
}

/// Time in the place of reminders without a next delivery: after all dates.
pub const NO_DELIVERY: DateTime<Utc> = match DateTime::from_timestamp(253_402_300_800, 0) {
    Some(after_9999) => after_9999,
    None => DateTime::<Utc>::MAX_UTC,
};

/// Place of a reminder in a list by the time of the next delivery: reminders without one come last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NextAt {
    /// Time of the next delivery; [`NO_DELIVERY`] if there is none.
    pub at: DateTime<Utc>,
    /// The reminder.
    pub reminder_id: Uuid,
}

/// The first reminders by the time of their next delivery.
#[derive(Debug)]
pub struct ByNextAt {
    after: Option<NextAt>,
    limit: usize,
    first: BinaryHeap<NextAt>,
}

impl NextAt {
    /// Returns the last place before a time.
    #[must_use]
    pub fn before(at: DateTime<Utc>) -> Self {
        let at = at.checked_sub_signed(TimeDelta::milliseconds(1)).unwrap_or(at);
        Self { at, reminder_id: Uuid::max() }
    }
}

impl ByNextAt {
    /// Creates a ranking that keeps the first `limit` reminders after a place.
    #[must_use]
    pub fn new(after: Option<NextAt>, limit: usize) -> Self {
        Self { after, limit, first: BinaryHeap::new() }
    }

    /// Returns the places in order.
    #[must_use]
    pub fn into_places(self) -> Vec<NextAt> {
        self.first.into_sorted_vec()
    }
}

impl Ranking for ByNextAt {
    fn add(&mut self, reminder: &Reminder, now: DateTime<Utc>) {
        let at = reminder.next_at(now).unwrap_or(NO_DELIVERY);
        let place = NextAt { at, reminder_id: reminder.id };
        if self.after.is_some_and(|after| place <= after) {
            return;
        }
        self.first.push(place);
        if self.first.len() > self.limit {
            self.first.pop();
        }
    }

    fn may_have_from(&self, at: DateTime<Utc>) -> bool {
        let last = self.first.peek().filter(|_| self.first.len() >= self.limit);
        last.is_none_or(|last| at <= last.at)
    }

    fn contains(&self, reminder_id: Uuid) -> bool {
        self.first.iter().any(|place| place.reminder_id == reminder_id)
    }
}
