//! Dates, times and durations as RFC 5545 §3.3 writes them, and where they lie in a zone.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use recurrence::Zone;

use super::{Problem, property::Property, shown, zones::Zones};

/// What a date or a time says by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stamp {
    /// A whole day.
    Day(NaiveDate),
    /// A time of a wall clock.
    Local(NaiveDateTime),
    /// An instant.
    Utc(DateTime<Utc>),
}

impl Stamp {
    /// Reads `20260501`, `20260501T100000` or `20260501T100000Z`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(text) = text.strip_suffix(['Z', 'z']) {
            return date_time(text).map(|it| Self::Utc(it.and_utc()));
        }
        day(text).map(Self::Day).or_else(|| date_time(text).map(Self::Local))
    }

    /// The day that it means where whole days are meant. Products write a day as midnight in UTC
    /// too.
    pub(super) fn day_in(self, zone: Tz) -> NaiveDate {
        match self {
            Self::Day(day) => day,
            Self::Local(local) => local.date(),
            Self::Utc(at) if at.time() == NaiveTime::MIN => at.date_naive(),
            Self::Utc(at) => wall_clock(at, zone).date(),
        }
    }
}

fn day(text: &str) -> Option<NaiveDate> {
    let is_day =
        text.len() == 8 && text.bytes().all(|it| it.is_ascii_digit()) && !text.starts_with("0000");
    is_day.then(|| NaiveDate::parse_from_str(text, "%Y%m%d").ok()).flatten()
}

fn date_time(text: &str) -> Option<NaiveDateTime> {
    let (date, time) = text.split_once(['T', 't'])?;
    let is_time = time.len() == 6 && time.bytes().all(|it| it.is_ascii_digit());
    let time = is_time.then(|| NaiveTime::parse_from_str(time, "%H%M%S").ok()).flatten()?;
    // A leap second is the second before it.
    Some(day(date)?.and_time(time.with_nanosecond(0)?))
}

/// What a property says: a stamp, and the zone that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) stamp: Stamp,
    pub(super) zone: Option<Tz>,
}

impl Moment {
    /// Reads a property with one value.
    pub(super) fn read(property: &Property, zones: &Zones) -> Result<Self, Problem> {
        Self::of(&property.value, property, zone_of(property, zones))
    }

    /// Reads a property with several values. Those that are none are left out; the first of them is
    /// told of.
    pub(super) fn read_all(property: &Property, zones: &Zones) -> (Vec<Self>, Option<Problem>) {
        let zone = zone_of(property, zones);
        let (mut moments, mut problem) = (Vec::new(), None);
        for value in property.value.split(',').filter(|value| !value.trim().is_empty()) {
            match Self::of(value, property, zone) {
                Ok(moment) => moments.push(moment),
                Err(other) => problem = problem.or(Some(other)),
            }
        }
        (moments, problem)
    }

    fn of(
        value: &str,
        property: &Property,
        zone: Result<Option<Tz>, &str>,
    ) -> Result<Self, Problem> {
        let name = &property.name;
        let unreadable = || {
            Problem::new(property.line, format!("{name} is no date and no time: {}", shown(value)))
        };
        let stamp = match Stamp::parse(value).ok_or_else(unreadable)? {
            Stamp::Local(local) if property.is_of_type("DATE") => Stamp::Day(local.date()),
            stamp => stamp,
        };
        let zone = match (zone, stamp) {
            (Ok(zone), _) => zone,
            (Err(_), Stamp::Utc(_)) => None,
            (Err(unknown), _) => {
                let reason =
                    format!("{name} is in a time zone that is unknown: {}", shown(unknown));
                return Err(Problem::new(property.line, reason));
            }
        };
        Ok(Self { stamp, zone })
    }

    /// The instant; midnight of a whole day. A time without a zone is of the wall clock of
    /// `floating`.
    pub(super) fn instant(self, floating: Tz) -> Option<DateTime<Utc>> {
        let zone = self.zone.unwrap_or(floating);
        match self.stamp {
            Stamp::Day(day) => place(day.and_time(NaiveTime::MIN), zone),
            Stamp::Local(local) => place(local, zone),
            Stamp::Utc(at) => Some(at),
        }
    }
}

/// The zone that a property names; as an error the name of one that is unknown.
fn zone_of<'a>(property: &'a Property, zones: &Zones) -> Result<Option<Tz>, &'a str> {
    let Some(name) = property.parameter("TZID") else { return Ok(None) };
    zones.named(name).map(Some).ok_or(name)
}

/// The instant of a local time by RFC 5545 §3.3.5: the first of two; one that does not exist is
/// read by the offset from before the gap. None at the end of time. It is the edition of the zones
/// by which the reminder is expanded.
pub(super) fn place(local: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    Zone::parse(zone.name()).ok()?.instant(local)
}

/// The wall-clock time of an instant.
pub(super) fn wall_clock(at: DateTime<Utc>, zone: Tz) -> NaiveDateTime {
    Zone::parse(zone.name())
        .map_or_else(|_| at.with_timezone(&zone).naive_local(), |zone| zone.wall_clock(at))
}

/// A duration (RFC 5545 §3.3.6), such as `-PT15M`, `P1DT12H` or `P2W`; a day has 24 hours.
pub(super) fn duration(text: &str) -> Option<TimeDelta> {
    let text = text.trim().to_ascii_uppercase();
    let (is_negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(&text)),
    };
    let mut rest = text.strip_prefix('P').filter(|rest| rest.len() > 1)?;
    let (mut seconds, mut is_time) = (0_i64, false);
    while !rest.is_empty() {
        if let Some(time) = rest.strip_prefix('T').filter(|_| !is_time) {
            (rest, is_time) = (time, true);
            continue;
        }
        let end = rest.find(|it: char| !it.is_ascii_digit())?;
        let (number, unit) = (rest.get(..end)?, rest.get(end..end + 1)?);
        let length = match (unit, is_time) {
            ("W", false) => 604_800,
            ("D", false) => 86_400,
            ("H", true) => 3_600,
            ("M", true) => 60,
            ("S", true) => 1,
            _ => return None,
        };
        seconds = seconds.checked_add(number.parse::<i64>().ok()?.checked_mul(length)?)?;
        rest = rest.get(end + 1..)?;
    }
    TimeDelta::try_seconds(if is_negative { -seconds } else { seconds })
}
