//! Time as a client gives it: an instant, or a wall-clock time in the zone of the reminder.

use chrono::{DateTime, NaiveDateTime, Utc};
use contract::bounds::is_date;
use time_zone::{Instants, Zone};

use super::{Fold, InvalidField, Recurrence, TimeZone, schedule::instant_of};

/// Endings that make a local time an RFC 3339 time. HTML forms leave out the seconds.
const ENDINGS: [&str; 2] = ["Z", ":00Z"];

/// Time as a client gives it, to the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenTime {
    /// A time with an offset from UTC.
    Instant(DateTime<Utc>),
    /// A time without an offset: wall-clock time in the zone of the reminder.
    Local(NaiveDateTime),
}

/// Reason for which a local time is no due date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDueDate {
    /// No zone says which instant it is.
    #[error(
        "date: must have an offset, such as +02:00 or Z, if neither timeZone nor your preferences \
         name the zone in which it is a local time"
    )]
    NoZone,
    /// The clock is put forward over the start of a rule, whose occurrences get their time of day
    /// from it.
    #[error(
        "date: must exist in {0} if a rule starts at it; the clock is put forward over this local \
         time"
    )]
    StartInGap(&'static str),
    /// The zone of the user's preferences is asked for, and is not known.
    #[error(
        "timeZone: cannot be user here, because the time zone of your preferences is not known; \
         give the IANA name of a zone"
    )]
    NoUserZone,
    /// RFC 3339 cannot express the instant.
    #[error("date: must be in the years 1 to 9999 in UTC")]
    OutOfYears,
}

impl GivenTime {
    /// Reads an RFC 3339 time with or without an offset. A local time may end with the minutes.
    ///
    /// # Errors
    /// If the text has another form, or is outside of the years 1 to 9999.
    pub fn parse(field: &'static str, text: &str) -> Result<Self, InvalidField> {
        if let Some(at) = instant_of(text) {
            return Ok(Self::Instant(at));
        }
        let local = ENDINGS.iter().find_map(|ending| instant_of(&format!("{text}{ending}")));
        let problem = "must be an RFC 3339 time with an offset, such as \
                       2026-05-01T10:00:00+02:00, or a local time in the reminder's timeZone, \
                       such as 2026-05-01T10:00:00";
        local
            .map(|utc| Self::Local(utc.naive_utc()))
            .ok_or_else(|| InvalidField::new(field, problem))
    }

    /// Returns the due date of a reminder in a zone. Of a local time that exists twice it is the
    /// first instant, or the one that the rule chooses. A local time that does not exist is read
    /// with the offset before the gap (RFC 5545 §3.3.5), but cannot be the start of a rule: its
    /// later occurrences would have the shifted time of day as well.
    ///
    /// # Errors
    /// If a rule starts in a gap, or the instant is outside of the years 1 to 9999 in UTC.
    pub fn due_date(
        self,
        zone: TimeZone,
        rule: Option<&Recurrence>,
    ) -> Result<DateTime<Utc>, InvalidDueDate> {
        let local = match self {
            Self::Instant(at) => return Ok(at),
            Self::Local(local) => local,
        };
        let at = match Zone::from(zone).instants(local) {
            Some(Instants::Fold { second, .. })
                if rule.is_some_and(|rule| rule.fold == Fold::Second) =>
            {
                Some(second)
            }
            Some(Instants::Gap { .. }) if rule.is_some() => {
                return Err(InvalidDueDate::StartInGap(zone.name()));
            }
            instants => instants.map(Instants::first),
        };
        at.filter(|at| is_date(*at)).ok_or(InvalidDueDate::OutOfYears)
    }

    /// Returns the instant in a zone. Of a local time that exists twice it is the first instant
    /// after `now`. Returns `None` if the local time has no instant.
    #[must_use]
    pub fn after(self, now: DateTime<Utc>, zone: TimeZone) -> Option<DateTime<Utc>> {
        let local = match self {
            Self::Instant(at) => return Some(at),
            Self::Local(local) => local,
        };
        match Zone::from(zone).instants(local)? {
            Instants::Fold { first, second } if first <= now => Some(second),
            instants => Some(instants.first()),
        }
    }
}

#[cfg(test)]
mod tests;
