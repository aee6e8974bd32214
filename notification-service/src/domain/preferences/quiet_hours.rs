//! Quiet hours by the wall clock of a time zone, and the instant at which they end.
//!
//! Quiet hours last from `start` to `end` in local time, over midnight if `end` is earlier than
//! `start`. If the clocks go forward over the end (a gap), the end is shifted by the length of the
//! gap, as RFC 5545, section 3.3.5, reads such a time. If the end occurs twice because the clocks
//! go back, the next one counts.

use std::{fmt, str::FromStr};

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use time_zone::{Instants, Zone};

use super::{InvalidField, parse_zone};

/// Time of day in minutes: `00:00` to `23:59`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay(NaiveTime);

/// Error for a text that is not a time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a time of day from 00:00 to 23:59")]
pub struct InvalidTimeOfDay;

impl FromStr for TimeOfDay {
    type Err = InvalidTimeOfDay;

    fn from_str(text: &str) -> Result<Self, InvalidTimeOfDay> {
        let is_written_in_full =
            text.len() == 5 && text.bytes().filter(u8::is_ascii_digit).count() == 4;
        let time = NaiveTime::parse_from_str(text, "%H:%M").ok().filter(|_| is_written_in_full);
        time.map(Self).ok_or(InvalidTimeOfDay)
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.format("%H:%M"))
    }
}

impl From<NaiveTime> for TimeOfDay {
    fn from(time: NaiveTime) -> Self {
        Self(time)
    }
}

impl From<TimeOfDay> for NaiveTime {
    fn from(time: TimeOfDay) -> Self {
        time.0
    }
}

/// Hours of each day in which deliveries of normal priority are deferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    /// Start of the quiet hours.
    pub start: TimeOfDay,
    /// End of the quiet hours, never equal to `start`.
    pub end: TimeOfDay,
    /// Time zone of both times.
    pub time_zone: Zone,
}

impl QuietHours {
    /// Parses quiet hours as a user writes them. The default time zone is UTC.
    ///
    /// # Errors
    /// If a field is malformed, or if `start` and `end` are equal.
    pub fn parse(start: &str, end: &str, time_zone: Option<&str>) -> Result<Self, InvalidField> {
        const TIME: &str = "must be a time of day from 00:00 to 23:59";
        let start: TimeOfDay =
            start.parse().map_err(|_| InvalidField::new("quietHours.start", TIME))?;
        let end: TimeOfDay = end.parse().map_err(|_| InvalidField::new("quietHours.end", TIME))?;
        if start == end {
            return Err(InvalidField::new("quietHours.end", "must differ from quietHours.start"));
        }
        let time_zone = match time_zone {
            Some(name) => parse_zone("quietHours.timeZone", name)?,
            None => Zone::UTC,
        };
        Ok(Self { start, end, time_zone })
    }

    /// Returns the end of the quiet hours that contain `at`, `None` if none do.
    #[must_use]
    pub fn until(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.covers(at).then(|| self.next_end(at))
    }

    /// Returns `true` if quiet hours contain `at`.
    #[must_use]
    pub fn covers(&self, at: DateTime<Utc>) -> bool {
        let local = self.time_zone.wall_clock(at);
        self.contains(local.time()) || self.are_extended_by_gap(at, local.date())
    }

    fn contains(&self, time: NaiveTime) -> bool {
        let (start, end) = (self.start.0, self.end.0);
        if start < end { start <= time && time < end } else { start <= time || time < end }
    }

    /// Returns `true` if the quiet hours would have ended in a gap that has just passed, and so
    /// last longer.
    fn are_extended_by_gap(&self, at: DateTime<Utc>, today: NaiveDate) -> bool {
        [today.pred_opt(), Some(today)].into_iter().flatten().any(|date| {
            let end = date.and_time(self.end.0);
            let Some(Instants::Gap { change, shifted }) = self.time_zone.instants(end) else {
                return false;
            };
            let offset_before = end - shifted.naive_utc();
            let last_before = change.naive_utc() + offset_before - TimeDelta::nanoseconds(1);
            self.contains(last_before.time()) && change <= at && at < shifted
        })
    }

    /// Returns the first end after `at`.
    fn next_end(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        // An end that a gap shifted may belong to yesterday, and a gap may skip tomorrow entirely.
        let yesterday = self.time_zone.wall_clock(at).date() - TimeDelta::days(1);
        let ends =
            yesterday.iter_days().take(4).flat_map(|date| self.instants(date.and_time(self.end.0)));
        ends.filter(|end| *end > at).min().unwrap_or(at + TimeDelta::days(1))
    }

    /// Returns the instants of a local time: one, two if it occurs twice, or the shifted one if it
    /// is in a gap.
    fn instants(&self, local: NaiveDateTime) -> impl Iterator<Item = DateTime<Utc>> + use<> {
        let (first, second) = match self.time_zone.instants(local) {
            Some(Instants::One(at) | Instants::Gap { shifted: at, .. }) => (Some(at), None),
            Some(Instants::Fold { first, second }) => (Some(first), Some(second)),
            None => (None, None),
        };
        first.into_iter().chain(second)
    }
}

#[cfg(test)]
mod tests;
