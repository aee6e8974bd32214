//! What is still to come of a reminder, with what its user did with the latest occurrence.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Handled, Reminder, Schedule, Status};

/// An occurrence that was put off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snooze {
    /// The occurrence.
    pub date: DateTime<Utc>,
    /// When it is delivered once more.
    pub until: DateTime<Utc>,
}

/// Nothing of the reminder was delivered yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no occurrence of this reminder has been delivered yet")]
pub struct NothingDelivered;

/// An occurrence, and when it is delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upcoming {
    /// The occurrence.
    pub at: DateTime<Utc>,
    /// Its deliveries in order of time: minutes before it (none for one that was snoozed), and
    /// when.
    pub deliveries: Vec<(Option<i32>, DateTime<Utc>)>,
}

impl Schedule {
    /// Up to `limit` occurrences strictly after `from`, each with its deliveries that are later
    /// than `sent_until`. Where the deliveries of two fall on one instant there is one: that of the
    /// earlier occurrence.
    #[must_use]
    pub fn upcoming(
        &self,
        from: DateTime<Utc>,
        sent_until: DateTime<Utc>,
        limit: usize,
    ) -> Vec<Upcoming> {
        let timetable = self.timetable();
        let told = |at: DateTime<Utc>, minutes: i32| {
            let deliver_at = at - TimeDelta::minutes(minutes.into());
            let is_shown = deliver_at > sent_until && !timetable.is_of_earlier(at, minutes);
            is_shown.then_some((Some(minutes), deliver_at))
        };
        let occurrences = timetable.occurrences_after(from).take(limit);
        let upcoming = occurrences.map(|at| {
            let offsets = self.offsets.as_slice().iter().rev();
            Upcoming { at, deliveries: offsets.filter_map(|minutes| told(at, *minutes)).collect() }
        });
        upcoming.collect()
    }
}

impl Reminder {
    /// The time of the next delivery after `now`, if there is one. Deliveries whose time has come
    /// are not ahead: a reminder made with some of its offsets already past has just the others.
    #[must_use]
    pub fn next_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let scheduled = self
            .details
            .schedule
            .timetable()
            .unacknowledged_after(now, self.handled.acknowledged)
            .next();
        let snoozed = self.handled.snooze.map(|snooze| snooze.until).filter(|until| *until > now);
        scheduled.map(|delivery| delivery.at).into_iter().chain(snoozed).min()
    }

    /// The time of the last delivery; none when there is no end.
    #[must_use]
    pub fn last_at(&self) -> Option<DateTime<Utc>> {
        let last = self.details.schedule.last_at()?;
        let date = last + TimeDelta::minutes(self.details.schedule.offsets.first().into());
        let last = if self.is_done_with(date) { DateTime::UNIX_EPOCH } else { last };
        Some(self.handled.snooze.map_or(last, |snooze| snooze.until.max(last)))
    }

    /// Returns the first instant after `now` at which [`Reminder::next_at`], [`Reminder::status`]
    /// or [`Reminder::latest`] may change although nobody changes the reminder: the time of a
    /// delivery, be it acknowledged, or of a snooze.
    #[must_use]
    pub fn next_turn(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let scheduled = self.details.schedule.timetable().after(now).next();
        let snoozed = self.handled.snooze.map(|snooze| snooze.until).filter(|until| *until > now);
        scheduled.map(|delivery| delivery.at).into_iter().chain(snoozed).min()
    }

    /// What it is at `now`.
    #[must_use]
    pub fn status(&self, now: DateTime<Utc>) -> Status {
        if self.last_at().is_none_or(|last| last > now) {
            Status::Scheduled
        } else {
            Status::Completed
        }
    }

    /// Up to `limit` occurrences strictly after `from`: what will be sent. One that was snoozed
    /// comes first.
    #[must_use]
    pub fn upcoming(&self, from: DateTime<Utc>, now: DateTime<Utc>, limit: usize) -> Vec<Upcoming> {
        let snoozed = self.handled.snooze.filter(|snooze| snooze.until > from.max(now));
        let snoozed =
            snoozed.map(|it| Upcoming { at: it.date, deliveries: vec![(None, it.until)] });
        let scheduled = self.details.schedule.upcoming(self.not_before(from), from.min(now), limit);
        snoozed.into_iter().chain(scheduled).take(limit).collect()
    }

    fn not_before(&self, from: DateTime<Utc>) -> DateTime<Utc> {
        self.handled.acknowledged.map_or(from, |acknowledged| acknowledged.max(from))
    }

    /// The occurrence that was delivered last, in part at least. What lies before the schedule was
    /// made was not delivered by it: a series may start in the past, and a reminder may be made
    /// with some of its offsets past.
    ///
    /// # Errors
    /// When none was.
    pub fn latest(&self, now: DateTime<Utc>) -> Result<DateTime<Utc>, NothingDelivered> {
        let scheduled = self.details.schedule.timetable().latest(now);
        let scheduled = scheduled.filter(|delivery| delivery.at > self.scheduled_at);
        let scheduled = scheduled.map(|delivery| (delivery.at, delivery.date));
        let snoozed =
            self.handled.snooze.filter(|snooze| snooze.until <= now).map(|it| (it.until, it.date));
        scheduled.into_iter().chain(snoozed).max().map(|(_, date)| date).ok_or(NothingDelivered)
    }

    /// Lets the latest occurrence come once more, in place of any that was to.
    ///
    /// # Errors
    /// When none was delivered yet.
    pub fn snooze(
        &self,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Handled, NothingDelivered> {
        let date = self.latest(now)?;
        // What comes once more is no longer done with, and neither is anything after it.
        let acknowledged = self.handled.acknowledged.filter(|acknowledged| *acknowledged < date);
        Ok(Handled { acknowledged, snooze: Some(Snooze { date, until }) })
    }

    /// Ends the latest occurrence: nothing more of it is delivered, nor of any before it.
    ///
    /// # Errors
    /// When none was delivered yet.
    pub fn acknowledge(&self, now: DateTime<Utc>) -> Result<Handled, NothingDelivered> {
        let date = self.latest(now)?;
        let acknowledged = Some(self.handled.acknowledged.map_or(date, |before| before.max(date)));
        let snooze = self.handled.snooze.filter(|snooze| snooze.date > date && snooze.until > now);
        Ok(Handled { acknowledged, snooze })
    }

    fn is_done_with(&self, date: DateTime<Utc>) -> bool {
        self.handled.acknowledged.is_some_and(|acknowledged| date <= acknowledged)
    }
}

#[cfg(test)]
mod tests;
