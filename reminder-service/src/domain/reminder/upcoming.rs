//! Upcoming deliveries of a reminder, and acknowledgement and snooze of its latest occurrence.

use chrono::{DateTime, TimeDelta, Utc};
use recurrence::Delivery;

use super::{Handled, InvalidRecurrence, Reminder, Schedule, Status};

/// A snoozed occurrence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snooze {
    /// The occurrence.
    pub date: DateTime<Utc>,
    /// Time at which it is delivered once more.
    pub until: DateTime<Utc>,
}

/// An occurrence that was restored or moved when some of its deliveries had passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LatePlacement {
    /// The occurrence.
    pub date: DateTime<Utc>,
    /// Time at which it got its place: earlier deliveries of it were never sent.
    pub placed_at: DateTime<Utc>,
}

/// Error: no occurrence was delivered yet, so there is none to act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no occurrence of this reminder has been delivered yet")]
pub struct NothingDelivered;

/// An occurrence with its deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upcoming {
    /// The occurrence.
    pub at: DateTime<Utc>,
    /// Deliveries in order of time: minutes before the occurrence (`None` for a snoozed one), and
    /// the time.
    pub deliveries: Vec<(Option<i32>, DateTime<Utc>)>,
}

impl Schedule {
    /// Up to `limit` occurrences strictly after `from`, each with its deliveries later than
    /// `sent_until`. Two deliveries at the same instant are one, which belongs to the earlier
    /// occurrence.
    #[must_use]
    pub fn upcoming(
        &self,
        from: DateTime<Utc>,
        sent_until: DateTime<Utc>,
        limit: usize,
    ) -> Vec<Upcoming> {
        let occurrences = self.schedule().occurrences_after(from).take(limit);
        occurrences.map(|at| self.upcoming_at(at, sent_until)).collect()
    }

    /// Like [`Self::upcoming`], for a schedule that is not stored.
    ///
    /// # Errors
    /// If the rule yields occurrences too rarely: finding them takes too many steps.
    pub fn preview(
        &self,
        from: DateTime<Utc>,
        sent_until: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<Upcoming>, InvalidRecurrence> {
        let occurrences = self.schedule().page_after(from, limit)?;
        Ok(occurrences.into_iter().map(|at| self.upcoming_at(at, sent_until)).collect())
    }

    fn upcoming_at(&self, at: DateTime<Utc>, sent_until: DateTime<Utc>) -> Upcoming {
        let deliveries = self.deliveries_of(at, sent_until);
        let deliveries = deliveries.into_iter().map(|(minutes, at)| (Some(minutes), at));
        Upcoming { at, deliveries: deliveries.collect() }
    }

    /// Deliveries of an occurrence that are later than `sent_until`, in order of time: minutes
    /// before the occurrence, and the time.
    #[must_use]
    pub fn deliveries_of(
        &self,
        at: DateTime<Utc>,
        sent_until: DateTime<Utc>,
    ) -> Vec<(i32, DateTime<Utc>)> {
        let schedule = self.schedule();
        let delivery = |minutes: i32| {
            let deliver_at = at - TimeDelta::minutes(minutes.into());
            let is_own = deliver_at > sent_until && !schedule.is_of_earlier(at, minutes);
            is_own.then_some((minutes, deliver_at))
        };
        self.offsets.as_slice().iter().rev().filter_map(|minutes| delivery(*minutes)).collect()
    }
}

impl Reminder {
    /// Time of the next delivery after `now`; `None` if there is none, as in a pause. A reminder
    /// that was created when some of its offsets had passed has only the others.
    #[must_use]
    pub fn next_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.paused_at.is_some() {
            return None;
        }
        let scheduled = self
            .details
            .schedule
            .schedule()
            .unacknowledged_after(now, self.handled.acknowledged)
            .next();
        let snoozed = self.handled.snooze.map(|snooze| snooze.until).filter(|until| *until > now);
        scheduled.map(|delivery| delivery.at).into_iter().chain(snoozed).min()
    }

    /// Time of the last delivery; `None` if there is no end.
    #[must_use]
    pub fn last_at(&self) -> Option<DateTime<Utc>> {
        let last = self.details.schedule.last_at()?;
        let date = last + TimeDelta::minutes(self.details.schedule.offsets.first().into());
        let last = if self.is_acknowledged(date) { DateTime::UNIX_EPOCH } else { last };
        Some(self.handled.snooze.map_or(last, |snooze| snooze.until.max(last)))
    }

    /// Returns the first instant after `now` at which [`Reminder::next_at`], [`Reminder::status`]
    /// or [`Reminder::latest`] may change without a change of the reminder: the time of a delivery,
    /// even of an acknowledged occurrence, or of a snooze.
    #[must_use]
    pub fn next_change_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let scheduled = self.details.schedule.schedule().after(now).next();
        let snoozed = self.handled.snooze.map(|snooze| snooze.until).filter(|until| *until > now);
        scheduled.map(|delivery| delivery.at).into_iter().chain(snoozed).min()
    }

    /// Status at `now`.
    #[must_use]
    pub fn status(&self, now: DateTime<Utc>) -> Status {
        if self.paused_at.is_some() {
            Status::Paused
        } else if self.last_at().is_none_or(|last| last > now) {
            Status::Scheduled
        } else {
            Status::Completed
        }
    }

    /// Up to `limit` occurrences strictly after `from` that will be delivered, none in a pause. A
    /// snoozed one comes first.
    #[must_use]
    pub fn upcoming(&self, from: DateTime<Utc>, now: DateTime<Utc>, limit: usize) -> Vec<Upcoming> {
        if self.paused_at.is_some() {
            return Vec::new();
        }
        let snoozed = self.handled.snooze.filter(|snooze| snooze.until > from.max(now));
        let snoozed = snoozed
            .map(|snooze| Upcoming { at: snooze.date, deliveries: vec![(None, snooze.until)] });
        let scheduled = self.details.schedule.upcoming(self.not_before(from), from.min(now), limit);
        snoozed.into_iter().chain(scheduled).take(limit).collect()
    }

    fn not_before(&self, from: DateTime<Utc>) -> DateTime<Utc> {
        self.handled.acknowledged.map_or(from, |acknowledged| acknowledged.max(from))
    }

    /// The occurrence whose first delivery was the latest. Deliveries before the schedule was set
    /// do not count: a series may start in the past, and a reminder may be created when some of its
    /// offsets have passed.
    ///
    /// # Errors
    /// If no occurrence was delivered yet.
    pub fn latest(&self, now: DateTime<Utc>) -> Result<DateTime<Utc>, NothingDelivered> {
        let now = self.paused_at.map_or(now, |paused_at| paused_at.min(now));
        let scheduled = self.latest_scheduled(now, None);
        let scheduled = scheduled.filter(|delivery| delivery.at > self.scheduled_at);
        let scheduled = scheduled.map(|delivery| (delivery.at, delivery.date));
        let snoozed = self.handled.snooze.filter(|snooze| snooze.until <= now);
        let snoozed = snoozed.map(|snooze| (snooze.until, snooze.date));
        scheduled.into_iter().chain(snoozed).max().map(|(_, date)| date).ok_or(NothingDelivered)
    }

    /// Latest delivery at or before an instant, other than those that had passed when their
    /// occurrence was placed, and those of dates up to the acknowledged one.
    pub(super) fn latest_scheduled(
        &self,
        mut until: DateTime<Utc>,
        acknowledged: Option<DateTime<Utc>>,
    ) -> Option<Delivery> {
        let was_never_sent = |delivery: &Delivery| {
            self.late_placements
                .iter()
                .any(|placed| placed.date == delivery.date && delivery.at <= placed.placed_at)
        };
        loop {
            let schedule = self.details.schedule.schedule();
            let latest = schedule.latest_unacknowledged(until, acknowledged)?;
            if !was_never_sent(&latest) {
                return Some(latest);
            }
            until = latest.at - TimeDelta::milliseconds(1);
        }
    }

    /// Snoozes the latest occurrence; an earlier snooze is replaced.
    ///
    /// # Errors
    /// If no occurrence was delivered yet.
    pub fn snooze(
        &self,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Handled, NothingDelivered> {
        let date = self.latest(now)?;
        // The snoozed occurrence and those after it are no longer acknowledged.
        let acknowledged = self.handled.acknowledged.filter(|acknowledged| *acknowledged < date);
        let acknowledged_at = self.handled.acknowledged_at.filter(|_| acknowledged.is_some());
        Ok(Handled { acknowledged, acknowledged_at, snooze: Some(Snooze { date, until }) })
    }

    /// Acknowledges the latest occurrence: no further delivery of it, or of an earlier one, is
    /// sent.
    ///
    /// # Errors
    /// If no occurrence was delivered yet.
    pub fn acknowledge(&self, now: DateTime<Utc>) -> Result<Handled, NothingDelivered> {
        let date = self.latest(now)?;
        let acknowledged = Some(self.handled.acknowledged.map_or(date, |before| before.max(date)));
        let snooze = self.handled.snooze.filter(|snooze| snooze.date > date && snooze.until > now);
        // A repeated acknowledgement keeps its time.
        let known = self.handled.acknowledged_at.filter(|_| self.is_acknowledged(date));
        Ok(Handled { acknowledged, acknowledged_at: known.or(Some(now)), snooze })
    }

    /// Time at which the latest occurrence was acknowledged; `None` if it was not, as from the next
    /// delivery of a later occurrence on.
    #[must_use]
    pub fn acknowledged_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let at = self.handled.acknowledged_at?;
        let schedule = self.details.schedule.schedule();
        let next = schedule.unacknowledged_after(at, self.handled.acknowledged).next();
        next.is_none_or(|next| next.at > now).then_some(at)
    }

    /// Time at which a snoozed occurrence is delivered once more; `None` if none is, as in a pause.
    #[must_use]
    pub fn snoozed_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let snooze = self.handled.snooze.filter(|_| self.paused_at.is_none())?;
        Some(snooze.until).filter(|until| *until > now)
    }

    fn is_acknowledged(&self, date: DateTime<Utc>) -> bool {
        self.handled.acknowledged.is_some_and(|acknowledged| date <= acknowledged)
    }
}

#[cfg(test)]
mod tests;
