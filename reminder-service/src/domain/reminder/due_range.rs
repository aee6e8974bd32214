//! Range of due times, by which a list of reminders is filtered.

use chrono::{DateTime, TimeDelta, Utc};

use super::Schedule;

/// Difference of a time to the next one that PostgreSQL or a client can name, or less.
const STEP: TimeDelta = TimeDelta::nanoseconds(1);

/// Range of due times; without an end it is open on that side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DueRange {
    /// First time of the range.
    pub from: Option<DateTime<Utc>>,
    /// First time after the range.
    pub to: Option<DateTime<Utc>>,
}

impl DueRange {
    /// Returns `true` if the range contains no time.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.from.zip(self.to).is_some_and(|(from, to)| to <= from)
    }
}

impl Schedule {
    /// Returns `true` if an occurrence of the schedule is due in the range, whether it was
    /// delivered, acknowledged, or falls into a pause. The search ends where the range does.
    #[must_use]
    pub fn is_due_in(&self, range: DueRange) -> bool {
        if range.is_empty() {
            return false;
        }
        let step_before = |at: DateTime<Utc>| at.checked_sub_signed(STEP).unwrap_or(at);
        let after = range.from.map_or(DateTime::<Utc>::MIN_UTC, step_before);
        match range.to {
            Some(to) => self.schedule().first_within(after, step_before(to)).is_some(),
            None => self.schedule().occurrences_after(after).next().is_some(),
        }
    }
}
