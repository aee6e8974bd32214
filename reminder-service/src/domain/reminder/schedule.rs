//! Schedule of a reminder: due time, recurrence, delivery times and status.

use std::sync::OnceLock;

use chrono::{DateTime, NaiveDateTime, Utc};
use contract::bounds::{MAX_EXPIRY_MINUTES, MAX_OFFSET_MINUTES, MAX_OFFSETS, is_date};
use recurrence::{DeliverySchedule, Refusal};
use time_zone::Zone;

use super::{GivenTime, InvalidField, InvalidRecurrence, Recurrence};

/// Schedule of a reminder.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Due time; for a recurring reminder, the start of its rule.
    pub date: DateTime<Utc>,
    /// Time zone of local times.
    pub time_zone: TimeZone,
    /// Offsets of the deliveries before `date`.
    pub offsets: NotifyOffsets,
    /// Recurrence.
    pub recurrence: Option<Recurrence>,
    /// Computed at the first use: reading a page of reminders parses no rule.
    schedule: OnceLock<DeliverySchedule>,
    last_at: OnceLock<Option<DateTime<Utc>>>,
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.time_zone == other.time_zone && self.has_times_of(other)
    }
}

impl Eq for Schedule {}

/// Status of a reminder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// A delivery is in the future.
    Scheduled,
    /// The time of the last delivery has passed.
    Completed,
    /// Nothing is delivered until the reminder is resumed.
    Paused,
}

impl Status {
    /// Name of the status in answers and statements.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Completed => "completed",
            Self::Paused => "paused",
        }
    }
}

impl Schedule {
    /// A new schedule, whose rule is parsed.
    ///
    /// # Errors
    /// If the rule is invalid.
    pub fn new(
        date: DateTime<Utc>,
        time_zone: TimeZone,
        offsets: NotifyOffsets,
        recurrence: Option<Recurrence>,
    ) -> Result<Self, InvalidRecurrence> {
        let minutes = offsets.as_slice().to_vec();
        let schedule = match &recurrence {
            None => DeliverySchedule::once(date, minutes),
            Some(rule) => {
                DeliverySchedule::recurring(rule.series(date, time_zone.name())?, minutes)
            }
        };
        Ok(Self {
            date,
            time_zone,
            offsets,
            recurrence,
            schedule: schedule.into(),
            last_at: OnceLock::new(),
        })
    }

    /// A stored schedule.
    #[must_use]
    pub fn stored(
        date: DateTime<Utc>,
        time_zone: TimeZone,
        offsets: NotifyOffsets,
        recurrence: Option<Recurrence>,
    ) -> Self {
        Self {
            date,
            time_zone,
            offsets,
            recurrence,
            schedule: OnceLock::new(),
            last_at: OnceLock::new(),
        }
    }

    /// Returns `true` if another schedule yields the same times, even if one of both follows the
    /// zone of its user and the other does not.
    #[must_use]
    pub fn has_times_of(&self, other: &Self) -> bool {
        self.date == other.date
            && self.time_zone.name() == other.time_zone.name()
            && self.offsets == other.offsets
            && self.recurrence == other.recurrence
    }

    /// Due time on the wall clock of the time zone.
    #[must_use]
    pub fn local_date(&self) -> NaiveDateTime {
        Zone::from(self.time_zone).wall_clock(self.date)
    }

    /// The due date if only the time zone changes: the same wall-clock time.
    pub(super) fn date_in(&self, zone: TimeZone) -> GivenTime {
        let local = self.local_date();
        // The same instant in another name of the zone: of a repeated time it may be the second.
        if Zone::from(zone).wall_clock(self.date) == local {
            return GivenTime::Instant(self.date);
        }
        GivenTime::Local(local)
    }

    /// The deliveries of the schedule. A stored rule that this version does not accept has none: a
    /// version with other limits accepted it.
    #[must_use]
    pub fn schedule(&self) -> &DeliverySchedule {
        self.schedule.get_or_init(|| {
            let minutes = self.offsets.as_slice().to_vec();
            let Some(rule) = &self.recurrence else {
                return DeliverySchedule::once(self.date, minutes);
            };
            match rule.stored_series(self.date, self.time_zone.name()) {
                Ok(series) => DeliverySchedule::recurring(series, minutes),
                Err(_) => DeliverySchedule::never(),
            }
        })
    }

    /// Time of the last delivery; `None` if the schedule has no end. For a rule without occurrences
    /// it is the Unix epoch.
    #[must_use]
    pub fn last_at(&self) -> Option<DateTime<Utc>> {
        *self.last_at.get_or_init(|| {
            let ended = self.schedule().ends().then_some(DateTime::UNIX_EPOCH);
            // A last delivery after the year 9999 counts as no end.
            self.schedule().last().or(ended).filter(|last| is_date(*last))
        })
    }

    /// Returns `true` if the last delivery was computed already.
    #[cfg(test)]
    pub(crate) fn has_computed_last(&self) -> bool {
        self.last_at.get().is_some()
    }

    /// Checks that the schedule has an occurrence at all.
    ///
    /// # Errors
    /// If the rule yields none.
    pub fn check_fires(&self) -> Result<(), InvalidRecurrence> {
        let fires = self.recurrence.is_none()
            || self.schedule().occurrences_after(DateTime::<Utc>::MIN_UTC).next().is_some();
        if fires { Ok(()) } else { Err(Refusal::NeverFires.into()) }
    }

    /// Status at `now`.
    #[must_use]
    pub fn status(&self, now: DateTime<Utc>) -> Status {
        if self.last_at().is_none_or(|last| last > now) {
            Status::Scheduled
        } else {
            Status::Completed
        }
    }
}

/// Minutes before the date: 1 to 5 different values, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifyOffsets(Vec<i32>);

impl Default for NotifyOffsets {
    fn default() -> Self {
        Self(vec![0])
    }
}

impl NotifyOffsets {
    /// The offsets of the fields `notifyOffsets` and `notifyOffset` (version 1.0.0); `None` if both
    /// are absent.
    ///
    /// # Errors
    /// If both are given, there are none or too many, or one is out of range.
    pub fn from_fields(
        one: Option<i32>,
        several: Option<Vec<i32>>,
    ) -> Result<Option<Self>, InvalidField> {
        let (field, mut minutes) = match (one, several) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                return Err(InvalidField::new(
                    "notifyOffset",
                    "cannot be given together with notifyOffsets",
                ));
            }
            (Some(one), None) => ("notifyOffset", vec![one]),
            (None, Some(several)) => ("notifyOffsets", several),
        };
        if !(1..=MAX_OFFSETS).contains(&minutes.len()) {
            return Err(InvalidField::new(field, "must have 1 to 5 entries"));
        }
        if minutes.iter().any(|offset| !(0..=MAX_OFFSET_MINUTES).contains(offset)) {
            return Err(InvalidField::new(field, "must be between 0 and 40320 minutes"));
        }
        minutes.sort_unstable();
        minutes.dedup();
        Ok(Some(Self(minutes)))
    }

    /// Offsets that were checked before they were stored.
    #[must_use]
    pub fn from_store(minutes: Vec<i32>) -> Self {
        Self(minutes)
    }

    /// The offsets, ascending.
    #[must_use]
    pub fn as_slice(&self) -> &[i32] {
        &self.0
    }

    /// The smallest offset, which belongs to the last delivery.
    #[must_use]
    pub fn first(&self) -> i32 {
        self.0.first().copied().unwrap_or(0)
    }
}

/// An IANA time zone: a fixed one, or the present one of a user, which the reminder follows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TimeZone {
    zone: Zone,
    is_floating: bool,
}

impl TimeZone {
    /// Word in place of an IANA name for the zone of the user's preferences.
    pub const USER: &'static str = "user";

    /// The fixed zone with an IANA name.
    ///
    /// # Errors
    /// If there is no such zone.
    pub fn parse(name: &str) -> Result<Self, InvalidField> {
        let zone = Zone::parse(name).map(|zone| Self { zone, is_floating: false });
        zone.map_err(|_| {
            InvalidField::new(
                "timeZone",
                "must be the IANA name of a time zone, such as Europe/Berlin, or user for the one \
                 of your preferences",
            )
        })
    }

    /// The zone as the present one of a user if `is_floating`, and as a fixed one otherwise.
    #[must_use]
    pub const fn with_floating(self, is_floating: bool) -> Self {
        Self { is_floating, ..self }
    }

    /// Returns `true` if the reminder follows the zone of its user.
    #[must_use]
    pub const fn is_floating(self) -> bool {
        self.is_floating
    }

    /// IANA name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.zone.name()
    }

    /// Value of the field `timeZone`: `user`, or the IANA name.
    #[must_use]
    pub fn shown(self) -> &'static str {
        if self.is_floating { Self::USER } else { self.name() }
    }
}

impl From<TimeZone> for Zone {
    fn from(zone: TimeZone) -> Self {
        zone.zone
    }
}

/// Minutes after the due time of a delivery during which it is still sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpiresAfter(i32);

impl Default for ExpiresAfter {
    fn default() -> Self {
        Self(24 * 60)
    }
}

impl ExpiresAfter {
    /// Checks a number of minutes.
    ///
    /// # Errors
    /// If it is less than one minute or more than a year.
    pub fn parse(minutes: i32) -> Result<Self, InvalidField> {
        if (1..=MAX_EXPIRY_MINUTES).contains(&minutes) {
            return Ok(Self(minutes));
        }
        Err(InvalidField::new("expiresAfterMinutes", "must be between 1 and 525600 minutes"))
    }

    /// A number of minutes that was checked before it was stored.
    #[must_use]
    pub fn from_store(minutes: i32) -> Self {
        Self(minutes)
    }

    /// The minutes.
    #[must_use]
    pub fn minutes(self) -> i32 {
        self.0
    }
}

/// Parses an RFC 3339 time with an offset, to the millisecond.
///
/// # Errors
/// If the text has another form, or the instant is outside of the years 1 to 9999 in UTC, which
/// RFC 3339 cannot express.
pub fn instant(field: &'static str, text: &str) -> Result<DateTime<Utc>, InvalidField> {
    let problem = "must be an RFC 3339 time with an offset, such as 2026-05-01T10:00:00+02:00 or \
                   2026-05-01T08:00:00Z";
    instant_of(text).ok_or_else(|| InvalidField::new(field, problem))
}

pub(super) fn instant_of(text: &str) -> Option<DateTime<Utc>> {
    let parsed = DateTime::parse_from_rfc3339(text).ok()?;
    // Milliseconds also remove leap seconds, which PostgreSQL does not support.
    DateTime::from_timestamp_millis(parsed.timestamp_millis()).filter(|at| is_date(*at))
}

/// Parses a due date with [`instant`].
///
/// # Errors
/// As [`instant`].
pub fn due_date(text: &str) -> Result<DateTime<Utc>, InvalidField> {
    instant("date", text)
}
