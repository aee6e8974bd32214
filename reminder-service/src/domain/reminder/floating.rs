//! Floating reminders, which keep their wall-clock times in the zone of their user.
//!
//! When the zone changes, every wall-clock time of the reminder stays: the due date, the listed
//! dates and the end of its rule, and the dates of occurrences with texts of their own. The end of
//! a snooze is an instant, and stays.
//!
//! A delivery that was ahead by the old clock and has passed by the new one (the user flew east) is
//! made at once, the latest one if there are several. A reminder of which nothing was ahead stays
//! completed, even if its time comes again by the new clock (the user flew west). A series goes on
//! by the new clock, like an alarm clock: a wall-clock time that comes a second time is delivered
//! a second time.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use contract::bounds::is_date;
use time_zone::{Instants, Zone};

use super::{
    Fold, GivenTime, Handled, Recurrence, Reminder, Schedule, Snooze, TimeZone, listed_time,
};
use crate::domain::gap_start::leave_gap;

/// Format of `UNTIL` (RFC 5545 §3.3.5) in wall-clock time; in UTC it ends with `Z`.
const UNTIL: &str = "%Y%m%dT%H%M%S";
/// Smallest difference between two instants.
const STEP: TimeDelta = TimeDelta::milliseconds(1);

/// A floating reminder in another zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The reminder.
    pub reminder: Reminder,
    /// Time after which the deliveries of the new schedule are made, if it is earlier than the
    /// change: just before a delivery that was ahead and has passed by the new clock.
    pub effective_at: Option<DateTime<Utc>>,
    /// First instant at which the result would be different; `None` if there is none.
    pub valid_until: Option<DateTime<Utc>>,
}

impl Recurrence {
    /// The same rule with wall-clock times in place of instants, which a change of the zone would
    /// not move.
    #[must_use]
    pub fn by_wall_clock(self, zone: Zone) -> Self {
        let local = |entries: Vec<String>| {
            entries.iter().map(|entry| listed_time::by_wall_clock(entry, zone)).collect()
        };
        let part = |part: &str| match part.split_once('=') {
            Some((name, value)) if name.trim().eq_ignore_ascii_case("UNTIL") => {
                let instant = value.trim().strip_suffix(['Z', 'z']);
                let instant =
                    instant.and_then(|text| NaiveDateTime::parse_from_str(text, UNTIL).ok());
                let local = instant.map(|utc| zone.wall_clock(utc.and_utc()).format(UNTIL));
                local.map_or_else(|| part.to_owned(), |local| format!("UNTIL={local}"))
            }
            _ => part.to_owned(),
        };
        Self {
            rrule: self.rrule.split(';').map(part).collect::<Vec<_>>().join(";"),
            exdates: local(self.exdates),
            rdates: local(self.rdates),
            ..self
        }
    }
}

impl Schedule {
    /// The schedule with the same wall-clock times in another zone. A start that the clock of the
    /// zone skips is left, so that the later occurrences keep their time of day. Returns `None` if
    /// the years or the rules of reminders do not have it.
    fn in_zone(&self, time_zone: TimeZone) -> Option<Self> {
        let (before, zone) = (Zone::from(self.time_zone), Zone::from(time_zone));
        let recurrence = self.recurrence.clone().map(|rule| rule.by_wall_clock(before));
        let local = self.local_date();
        let moved = recurrence.map(|rule| {
            let mut rule = contract::Recurrence::from(rule);
            let start = leave_gap(local, zone, &mut rule);
            (Recurrence::from(rule), start)
        });
        let (recurrence, start) = moved.unzip();
        let is_second = recurrence.as_ref().is_some_and(|rule| rule.fold == Fold::Second);
        let date = start.flatten().or_else(|| match self.date_in(time_zone) {
            GivenTime::Instant(at) => Some(at),
            GivenTime::Local(local) => match zone.instants(local)? {
                Instants::Fold { second, .. } if is_second => Some(second),
                instants => Some(instants.first()),
            },
        });
        let date = date.filter(|date| is_date(*date))?;
        Self::new(date, time_zone, self.offsets.clone(), recurrence).ok()
    }
}

impl Reminder {
    /// Moves a floating reminder at `now` to another zone. Returns `None` if the years or the rules
    /// of reminders do not have the times: then it stays.
    #[must_use]
    pub fn moved_to(&self, time_zone: TimeZone, now: DateTime<Utc>) -> Option<Moved> {
        let before = &self.details.schedule;
        let schedule = before.in_zone(time_zone.with_floating(true))?;
        let clocks = Clocks { before: before.time_zone.into(), after: time_zone.into() };
        let is_ahead = |schedule: &Schedule, acknowledged| {
            schedule.schedule().unacknowledged_after(now, acknowledged).next().is_some()
        };
        let is_over = !is_ahead(before, self.handled.acknowledged);
        let snooze = self.handled.snooze.filter(|snooze| snooze.until > now);
        let snooze = snooze
            .and_then(|Snooze { date, until }| Some(Snooze { date: clocks.moved(date)?, until }));
        // An acknowledgement concerns deliveries that are ahead, or is of the past.
        let acknowledged = self
            .handled
            .acknowledged
            .filter(|acknowledged| before.has_delivery_of(*acknowledged, now));
        let (acknowledged, acknowledged_at) = match (is_over, acknowledged) {
            (true, _) => (schedule.last_date(), self.acknowledged_at(now)),
            (false, Some(date)) => (clocks.moved(date), self.handled.acknowledged_at),
            (false, None) => (None, None),
        };
        let passed = schedule.schedule().latest(now).filter(|delivery| {
            let date = clocks.original(delivery.date);
            date.is_some_and(|date| date - (delivery.date - delivery.at) > now)
        });
        let passed = passed.filter(|_| !is_over && self.paused_at.is_none());
        let mut reminder = self.clone();
        reminder.details.schedule = schedule;
        reminder.handled = Handled { acknowledged, acknowledged_at, snooze };
        reminder.late_placements.clear();
        reminder.move_texts_from(before.time_zone);
        reminder.drop_outdated_texts(now);
        let changes = [self, &reminder].map(|reminder| reminder.next_change_at(now));
        Some(Moved {
            effective_at: passed.map(|delivery| delivery.at - STEP),
            valid_until: changes.into_iter().flatten().min(),
            reminder,
        })
    }
}

impl Schedule {
    /// Returns `true` if a delivery of the occurrence of a date is later than `now`.
    fn has_delivery_of(&self, date: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        date - TimeDelta::minutes(self.offsets.first().into()) > now
    }

    /// Date of the last occurrence; `None` if there is no end.
    fn last_date(&self) -> Option<DateTime<Utc>> {
        let last = self.schedule().last()?;
        Some(last + TimeDelta::minutes(self.offsets.first().into()))
    }
}

/// Clocks of the zones before and after a change.
struct Clocks {
    before: Zone,
    after: Zone,
}

impl Clocks {
    fn moved(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.after.instant(self.before.wall_clock(at))
    }

    fn original(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.before.instant(self.after.wall_clock(at))
    }
}

#[cfg(test)]
mod tests;
