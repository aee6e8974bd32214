//! When a reminder is due, when it is delivered, and what that makes of it now.

use std::sync::OnceLock;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use recurrence::Timetable;
use shared::contract::bounds::{MAX_EXPIRY_MINUTES, MAX_OFFSET_MINUTES, MAX_OFFSETS, is_date};

use super::{InvalidField, InvalidRecurrence, Recurrence};

/// When a reminder is due and when before that it is delivered.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// When it is due; of a recurring one, the start of its rule.
    pub date: DateTime<Utc>,
    /// The zone of its wall clock.
    pub time_zone: TimeZone,
    /// How long before `date` each delivery is.
    pub offsets: NotifyOffsets,
    /// How it recurs.
    pub recurrence: Option<Recurrence>,
    /// Worked out when it is first asked for, once: reading a page of reminders reads no rule.
    timetable: OnceLock<Timetable>,
    last_at: OnceLock<Option<DateTime<Utc>>>,
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        let parts = |it: &Self| (it.date, it.time_zone, it.offsets.clone(), it.recurrence.clone());
        parts(self) == parts(other)
    }
}

impl Eq for Schedule {}

/// Whether a reminder has anything ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// A delivery is ahead.
    Scheduled,
    /// The last delivery's time has come.
    Completed,
}

impl Schedule {
    /// A schedule, its rule read.
    ///
    /// # Errors
    /// When the rule cannot be followed.
    pub fn new(
        date: DateTime<Utc>,
        time_zone: TimeZone,
        offsets: NotifyOffsets,
        recurrence: Option<Recurrence>,
    ) -> Result<Self, InvalidRecurrence> {
        let minutes = offsets.as_slice().to_vec();
        let timetable = match &recurrence {
            None => Timetable::once(date, minutes),
            Some(rule) => Timetable::recurring(rule.series(date, time_zone.name())?, minutes),
        };
        Ok(Self {
            date,
            time_zone,
            offsets,
            recurrence,
            timetable: timetable.into(),
            last_at: OnceLock::new(),
        })
    }

    /// A schedule that was accepted before it was stored.
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
            timetable: OnceLock::new(),
            last_at: OnceLock::new(),
        }
    }

    /// The deliveries of the schedule. A stored rule that this version cannot follow has none: it
    /// was accepted by one with other limits.
    #[must_use]
    pub fn timetable(&self) -> &Timetable {
        self.timetable.get_or_init(|| {
            let minutes = self.offsets.as_slice().to_vec();
            let Some(rule) = &self.recurrence else { return Timetable::once(self.date, minutes) };
            match rule.stored_series(self.date, self.time_zone.name()) {
                Ok(series) => Timetable::recurring(series, minutes),
                Err(_) => Timetable::never(),
            }
        })
    }

    /// The time of the last delivery; none when there is no end. A rule that never fires has had
    /// its last before it began.
    #[must_use]
    pub fn last_at(&self) -> Option<DateTime<Utc>> {
        *self.last_at.get_or_init(|| {
            let ended = self.timetable().ends().then_some(DateTime::UNIX_EPOCH);
            // Beyond the last year that can be written there is no end.
            self.timetable().last().or(ended).filter(|last| is_date(*last))
        })
    }

    /// Whether it has an occurrence at all.
    #[must_use]
    pub fn fires(&self) -> bool {
        self.recurrence.is_none()
            || self.timetable().occurrences_after(DateTime::<Utc>::MIN_UTC).next().is_some()
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
}

/// Minutes before the date: 1 to 5 of them, ascending, none twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifyOffsets(Vec<i32>);

impl Default for NotifyOffsets {
    fn default() -> Self {
        Self(vec![0])
    }
}

impl NotifyOffsets {
    /// What `notifyOffsets`, or the predecessor's `notifyOffset`, asks for; `None` when neither is
    /// given.
    ///
    /// # Errors
    /// When both are given, there are none or too many, or one is out of bounds.
    pub fn asked(
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
        if minutes.iter().any(|it| !(0..=MAX_OFFSET_MINUTES).contains(it)) {
            return Err(InvalidField::new(field, "must be between 0 and 40320 minutes"));
        }
        minutes.sort_unstable();
        minutes.dedup();
        Ok(Some(Self(minutes)))
    }

    /// Offsets that were parsed before they were stored.
    #[must_use]
    pub fn from_store(minutes: Vec<i32>) -> Self {
        Self(minutes)
    }

    /// The offsets, ascending.
    #[must_use]
    pub fn as_slice(&self) -> &[i32] {
        &self.0
    }

    /// The smallest: that of the last delivery.
    #[must_use]
    pub fn first(&self) -> i32 {
        self.0.first().copied().unwrap_or(0)
    }
}

/// An IANA time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeZone(Tz);

impl Default for TimeZone {
    fn default() -> Self {
        Self(Tz::UTC)
    }
}

impl TimeZone {
    /// The zone of a name.
    ///
    /// # Errors
    /// When no zone has it.
    pub fn parse(name: &str) -> Result<Self, InvalidField> {
        let zone = name.parse().map(Self);
        zone.map_err(|_| {
            InvalidField::new(
                "timeZone",
                "must be the IANA name of a time zone, such as Europe/Berlin",
            )
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name()
    }
}

impl From<TimeZone> for Tz {
    fn from(zone: TimeZone) -> Self {
        zone.0
    }
}

/// Minutes after its time in which a delivery is still worth making.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpiresAfter(i32);

impl Default for ExpiresAfter {
    fn default() -> Self {
        Self(24 * 60)
    }
}

impl ExpiresAfter {
    /// A number of minutes.
    ///
    /// # Errors
    /// When it is less than one minute or more than a year.
    pub fn parse(minutes: i32) -> Result<Self, InvalidField> {
        if (1..=MAX_EXPIRY_MINUTES).contains(&minutes) {
            return Ok(Self(minutes));
        }
        Err(InvalidField::new("expiresAfterMinutes", "must be between 1 and 525600 minutes"))
    }

    /// One that was parsed before it was stored.
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

/// The instant that an RFC 3339 text with an offset names, to the millisecond.
///
/// # Errors
/// When it is another text, or an instant outside the years 1 to 9999 in UTC, which RFC 3339 cannot
/// write.
pub fn instant(field: &'static str, text: &str) -> Result<DateTime<Utc>, InvalidField> {
    let parsed = DateTime::parse_from_rfc3339(text).ok();
    // To the millisecond, and out of a leap second, which PostgreSQL does not know.
    let instant = parsed.and_then(|it| DateTime::from_timestamp_millis(it.timestamp_millis()));
    let problem = "must be an RFC 3339 time with its offset, such as 2026-05-01T10:00:00+02:00 or 2026-05-01T08:00:00Z";
    instant.filter(|at| is_date(*at)).ok_or_else(|| InvalidField::new(field, problem))
}

/// The due date that a text names: an [`instant`].
///
/// # Errors
/// As [`instant`].
pub fn due_date(text: &str) -> Result<DateTime<Utc>, InvalidField> {
    instant("date", text)
}
