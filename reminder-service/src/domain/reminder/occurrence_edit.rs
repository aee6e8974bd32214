//! Edits of single occurrences of a recurring reminder.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use contract::bounds::MAX_CHANGED_OCCURRENCES;
use time_zone::Zone;

use super::{
    GivenTime, InvalidDueDate, InvalidRecurrence, LatePlacement, Recurrence, Reminder, Schedule,
    TextChange,
    listed_time::{instant_entry, local_entry, means, means_only},
};

/// Time around an occurrence in which one entry of `exdates` may leave out others: a local day.
const DAY_AROUND: TimeDelta = TimeDelta::hours(36);
/// Most occurrences that were placed when some of their deliveries had passed.
const MAX_LATE_PLACEMENTS: usize = 100;

/// Edit of one occurrence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OccurrenceEdit {
    /// Leave the occurrence out.
    Skip,
    /// Deliver an occurrence that was left out.
    Restore,
    /// Move the occurrence, if there is a date, and change its texts.
    Change {
        /// New due date. A local one is in the zone of the reminder.
        date: Option<GivenTime>,
        /// New texts.
        texts: TextChange,
    },
}

/// Reason for which an occurrence is not edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditRefusal {
    /// The schedule has no such occurrence, even without its exclusions.
    #[error(
        "at: the reminder has no occurrence at {0}; GET /reminders/{{id}}/occurrences lists them"
    )]
    Missing(String),
    /// The occurrence has passed.
    #[error("at: the occurrence has passed; only one in the future can be changed")]
    Passed,
    /// The reminder has one occurrence only.
    #[error("the reminder does not recur; change or delete the reminder itself")]
    Single,
    /// Too many occurrences were placed when some of their deliveries had passed.
    #[error("too many occurrences were restored or moved after their first delivery time")]
    TooManyLate,
    /// The series begins with the occurrence.
    #[error("at: the series begins with this occurrence; change or delete the reminder itself")]
    First,
    /// The occurrences from this one on cannot be a series of their own.
    #[error("at: the series cannot be split at this occurrence; choose the one before or after")]
    Unsplittable,
    /// The rule does not yield the new start.
    #[error(
        "date: the rule yields no occurrence at this time; split without a date, then change \
             date and recurrence of the new reminder"
    )]
    NotOfRule,
    /// The occurrence is left out.
    #[error("at: the occurrence is skipped; restore it first with skip: false")]
    Skipped,
    /// The reminder has another occurrence at the new date.
    #[error("date: the reminder has another occurrence at this time")]
    Taken,
    /// No delivery of the moved occurrence is in the future.
    #[error("date: at least one delivery (date minus an offset) must be in the future")]
    NoDeliveryAhead,
    /// The moved occurrence would count as acknowledged.
    #[error("date: must be later than the occurrence that was acknowledged last")]
    Acknowledged,
    /// The new date has no usable instant.
    #[error(transparent)]
    DueDate(#[from] InvalidDueDate),
    /// Too many occurrences have other texts.
    #[error(
        "the reminder has {MAX_CHANGED_OCCURRENCES} occurrences with texts of their own, which is \
         the limit"
    )]
    TooManyTexts,
    /// The rule cannot have the edit.
    #[error(transparent)]
    Recurrence(#[from] InvalidRecurrence),
}

impl Schedule {
    fn has(&self, at: DateTime<Utc>) -> bool {
        self.schedule().has_occurrence(at)
    }

    fn with_rule(&self, rule: Recurrence) -> Result<Self, InvalidRecurrence> {
        Self::new(self.date, self.time_zone, self.offsets.clone(), Some(rule))
    }

    fn with_exclusion(&self, rule: &Recurrence, entry: String) -> Result<Self, InvalidRecurrence> {
        let mut rule = rule.clone();
        rule.exdates.push(entry);
        self.with_rule(rule)
    }

    /// Leaves out an occurrence.
    fn without(&self, rule: &Recurrence, at: DateTime<Utc>) -> Result<Self, InvalidRecurrence> {
        if let Some(entry) = local_entry(at, Zone::from(self.time_zone)) {
            let schedule = self.with_exclusion(rule, entry)?;
            // The wall clock of an occurrence that was shifted out of a gap is not its local time.
            if !schedule.has(at) {
                return Ok(schedule);
            }
        }
        self.with_exclusion(rule, instant_entry(at))
    }

    /// Instant of an occurrence at a given time: all have the fraction of a second of the start.
    fn occurrence_at(&self, given: GivenTime) -> Result<DateTime<Utc>, InvalidDueDate> {
        let at = given.due_date(self.time_zone, None)?;
        Ok(at.with_nanosecond(self.date.nanosecond()).unwrap_or(at))
    }

    /// Moves an occurrence: it becomes an extra date, unless the rule yields the new time.
    fn moved(&self, at: DateTime<Utc>, to: DateTime<Utc>) -> Result<Self, EditRefusal> {
        let zone = Zone::from(self.time_zone);
        let Some(mut rule) = self.recurrence.clone() else { return Err(EditRefusal::Single) };
        rule.rdates.retain(|entry| !means_only(entry, at, zone));
        let mut left = self.with_rule(rule.clone())?;
        if left.has(at) {
            left = left.without(&rule, at)?;
            rule = left.recurrence.clone().unwrap_or(rule);
        }
        if left.has(to) {
            return Err(EditRefusal::Taken);
        }
        if let Some(restored) = left.restored(&rule, to)? {
            return Ok(restored);
        }
        rule.rdates.push(local_entry(to, zone).unwrap_or_else(|| instant_entry(to)));
        let moved = left.with_rule(rule.clone())?;
        if moved.has(to) {
            return Ok(moved);
        }
        // An exclusion of the new time leaves out an extra date as well.
        moved.restored(&rule, to)?.ok_or(EditRefusal::Taken)
    }

    /// Removes the exclusions of an occurrence, and leaves out again the others that they left out;
    /// `None` if the rule does not yield the occurrence.
    fn restored(
        &self,
        rule: &Recurrence,
        at: DateTime<Utc>,
    ) -> Result<Option<Self>, InvalidRecurrence> {
        let zone = Zone::from(self.time_zone);
        let mut rule = rule.clone();
        let before = rule.exdates.len();
        rule.exdates.retain(|entry| !means(entry, at, zone));
        if rule.exdates.len() == before {
            return Ok(None);
        }
        let restored = self.with_rule(rule.clone())?;
        if !restored.has(at) {
            return Ok(None);
        }
        let (from, until) = (at - DAY_AROUND, at + DAY_AROUND);
        let around = |schedule: &Self| {
            schedule.schedule().occurrences_after(from).take_while(move |other| *other <= until)
        };
        let known: HashSet<_> = around(self).collect();
        let others: Vec<_> =
            around(&restored).filter(|other| *other != at && !known.contains(other)).collect();
        if others.is_empty() {
            return Ok(Some(restored));
        }
        let entry = |other| local_entry(other, zone).unwrap_or_else(|| instant_entry(other));
        rule.exdates.extend(others.into_iter().map(entry));
        self.with_rule(rule).map(Some)
    }
}

impl Reminder {
    /// Applies the edit of one occurrence at `now`.
    ///
    /// # Errors
    /// [`EditRefusal`]: the occurrence is not edited.
    pub fn edit_occurrence(
        &self,
        at: DateTime<Utc>,
        edit: &OccurrenceEdit,
        now: DateTime<Utc>,
    ) -> Result<Self, EditRefusal> {
        let schedule = &self.details.schedule;
        let Some(rule) = &schedule.recurrence else { return Err(EditRefusal::Single) };
        let is_skipped = !schedule.has(at);
        let restored = if is_skipped { schedule.restored(rule, at)? } else { None };
        if is_skipped && restored.is_none() {
            return Err(EditRefusal::Missing(at.to_rfc3339()));
        }
        if at <= now {
            return Err(EditRefusal::Passed);
        }
        let mut edited = self.clone();
        match (edit, restored) {
            (OccurrenceEdit::Skip, None) => {
                edited.details.schedule = schedule.without(rule, at)?;
                edited.handled.snooze = self.handled.snooze.filter(|snooze| snooze.date != at);
                edited.drop_outdated_texts(now);
            }
            (OccurrenceEdit::Restore, Some(restored)) => {
                edited.details.schedule = restored;
                edited.place(at, now)?;
            }
            (OccurrenceEdit::Change { date, texts }, None) => {
                let date = date.map(|date| edited.move_occurrence(at, date, now)).transpose()?;
                if *texts != TextChange::default() {
                    edited.change_texts(date.unwrap_or(at), texts.clone(), now)?;
                }
            }
            // A repeated move finds the occurrence at its new date.
            (OccurrenceEdit::Change { date: Some(date), texts }, Some(_))
                if *texts == TextChange::default()
                    && schedule.has(schedule.occurrence_at(*date)?) => {}
            (OccurrenceEdit::Change { .. }, Some(_)) => return Err(EditRefusal::Skipped),
            (OccurrenceEdit::Skip, Some(_)) | (OccurrenceEdit::Restore, None) => {}
        }
        Ok(edited)
    }

    /// Moves an occurrence, and returns its new date.
    fn move_occurrence(
        &mut self,
        at: DateTime<Utc>,
        date: GivenTime,
        now: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, EditRefusal> {
        let schedule = &self.details.schedule;
        let to = schedule.occurrence_at(date)?;
        if to == at {
            return Ok(at);
        }
        if to - TimeDelta::minutes(schedule.offsets.first().into()) <= now {
            return Err(EditRefusal::NoDeliveryAhead);
        }
        if self.handled.acknowledged.is_some_and(|acknowledged| to <= acknowledged) {
            return Err(EditRefusal::Acknowledged);
        }
        self.details.schedule = schedule.moved(at, to)?;
        self.handled.snooze = self.handled.snooze.filter(|snooze| snooze.date != at);
        for changed in self.changed_occurrences.iter_mut().filter(|changed| changed.date == at) {
            changed.date = to;
        }
        self.changed_occurrences.sort_by_key(|changed| changed.date);
        self.place(to, now)?;
        Ok(to)
    }

    /// Notes that an occurrence was placed now, if some of its deliveries have passed: they were
    /// never sent.
    fn place(&mut self, date: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), EditRefusal> {
        self.late_placements.retain(|placed| placed.date > now && placed.date != date);
        let longest = self.details.schedule.offsets.as_slice().last().copied().unwrap_or(0);
        if date - TimeDelta::minutes(longest.into()) > now {
            return Ok(());
        }
        if self.late_placements.len() >= MAX_LATE_PLACEMENTS {
            return Err(EditRefusal::TooManyLate);
        }
        self.late_placements.push(LatePlacement { date, placed_at: now });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
