//! Dates, times and durations in the syntax of RFC 5545 §3.3, and their instants in a zone.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike, Utc};
use time_zone::Zone;

use super::{
    Problem,
    property::Property,
    recurring::Clock,
    shown,
    zones::{EntryZones, Named},
};

/// Date or time without the zone that its property names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stamp {
    /// A whole day.
    Day(NaiveDate),
    /// A local time.
    Local(NaiveDateTime),
    /// An instant.
    Utc(DateTime<Utc>),
}

impl Stamp {
    /// Reads `20260501`, `20260501T100000` or `20260501T100000Z`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(text) = text.strip_suffix(['Z', 'z']) {
            return date_time(text).map(|utc| Self::Utc(utc.and_utc()));
        }
        day(text).map(Self::Day).or_else(|| date_time(text).map(Self::Local))
    }

    /// The year, in its own clock.
    pub(super) fn year(self) -> i32 {
        match self {
            Self::Day(day) => day.year(),
            Self::Local(local) => local.year(),
            Self::Utc(at) => at.year(),
        }
    }

    /// The day, where whole days are meant. Some products write a day as midnight in UTC.
    pub(super) fn day_in(self, zone: Zone) -> NaiveDate {
        match self {
            Self::Day(day) => day,
            Self::Local(local) => local.date(),
            Self::Utc(at) if at.time() == NaiveTime::MIN => at.date_naive(),
            Self::Utc(at) => zone.wall_clock(at).date(),
        }
    }
}

fn day(text: &str) -> Option<NaiveDate> {
    let is_day = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_day && !text.starts_with("0000"))
        .then(|| NaiveDate::parse_from_str(text, "%Y%m%d").ok())
        .flatten()
}

fn date_time(text: &str) -> Option<NaiveDateTime> {
    let (date, time) = text.split_once(['T', 't'])?;
    let is_time = time.len() == 6 && time.bytes().all(|byte| byte.is_ascii_digit());
    let time = is_time.then(|| NaiveTime::parse_from_str(time, "%H%M%S").ok()).flatten()?;
    // A leap second counts as the second before it.
    Some(day(date)?.and_time(time.with_nanosecond(0)?))
}

/// Difference between the start of a task and the time at which its reminder is due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Shift {
    /// Difference of the wall clocks.
    pub(super) time: TimeDelta,
    /// Difference of the local days.
    pub(super) days: i64,
}

/// Value of a property: a date or time, and the zone that the property names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) stamp: Stamp,
    pub(super) zone: Option<Zone>,
    /// Local time in a zone that the file defines, of an instant.
    written: Option<NaiveDateTime>,
}

impl Moment {
    /// Creates the moment of a stamp that names no zone.
    pub(super) const fn floating(stamp: Stamp) -> Self {
        Self { stamp, zone: None, written: None }
    }

    /// Reads a property with one value.
    pub(super) fn read(property: &Property, zones: &EntryZones<'_>) -> Result<Self, Problem> {
        Self::of(&property.value, property, &zone_of(property, zones), zones)
    }

    /// Reads a value of a property that names its zone in another place.
    pub(super) fn in_zone(
        value: &str,
        zone: Option<&str>,
        property: &Property,
        zones: &EntryZones<'_>,
    ) -> Result<Self, Problem> {
        let zone = zone.map(|name| zones.named(name).ok_or(name)).transpose();
        Self::of(value, property, &zone, zones)
    }

    /// The whole day of a midnight, if no instance of a series is at midnight: Outlook names an
    /// instance of another time by the midnight of its day.
    pub(super) fn on_day(self, clock: Clock) -> Self {
        let written = match self.stamp {
            Stamp::Local(local) => Some(local),
            Stamp::Utc(_) => self.written,
            Stamp::Day(_) => None,
        };
        match written.filter(|local| local.time() == NaiveTime::MIN) {
            Some(midnight) if !clock.has_midnights => {
                Self { stamp: Stamp::Day(midnight.date()), ..self }
            }
            _ => self,
        }
    }

    /// The moment that is later by a difference of wall clocks.
    pub(super) fn later(self, shift: Shift) -> Option<Self> {
        let stamp = match self.stamp {
            Stamp::Day(day) => Stamp::Day(day.checked_add_signed(TimeDelta::days(shift.days))?),
            Stamp::Local(local) => Stamp::Local(local.checked_add_signed(shift.time)?),
            Stamp::Utc(at) => Stamp::Utc(at.checked_add_signed(shift.time)?),
        };
        Some(Self { stamp, ..self })
    }

    /// Reads a property with several values. Malformed values are left out; the first of them is
    /// returned as a problem.
    pub(super) fn read_all(
        property: &Property,
        zones: &EntryZones<'_>,
    ) -> (Vec<Self>, Option<Problem>) {
        let zone = zone_of(property, zones);
        let (mut moments, mut problem) = (Vec::new(), None);
        for value in property.value.split(',').filter(|value| !value.trim().is_empty()) {
            // An instance of a period is its start.
            let value = value.split_once('/').map_or(value, |(start, _)| start);
            match Self::of(value, property, &zone, zones) {
                Ok(moment) => moments.push(moment),
                Err(other) => problem = problem.or(Some(other)),
            }
        }
        (moments, problem)
    }

    fn of(
        value: &str,
        property: &Property,
        zone: &Result<Option<Named>, &str>,
        zones: &EntryZones<'_>,
    ) -> Result<Self, Problem> {
        let name = &property.name;
        let unreadable = || {
            Problem::new(property.line, format!("{name} is not a date or time: {}", shown(value)))
        };
        let stamp = match Stamp::parse(value).ok_or_else(unreadable)? {
            // Some products write a day as midnight. Any other time is read as the time that it is.
            Stamp::Local(local)
                if property.is_of_type("DATE") && local.time() == NaiveTime::MIN =>
            {
                Stamp::Day(local.date())
            }
            stamp => stamp,
        };
        match (zone, stamp) {
            (Ok(Some(Named::Known(zone))), _) => {
                Ok(Self { stamp, zone: Some(*zone), written: None })
            }
            (Ok(Some(Named::Defined(definition))), Stamp::Local(local)) => {
                let too_much = || {
                    let reason = format!(
                        "{name} is in a time zone whose definition takes too much work to follow"
                    );
                    Problem::new(property.line, reason)
                };
                let is_possible = zones.can_convert_by(definition);
                let at = is_possible.then(|| definition.instant(local)).flatten();
                let stamp = Stamp::Utc(at.ok_or_else(too_much)?);
                Ok(Self { stamp, zone: None, written: Some(local) })
            }
            (Err(unknown), Stamp::Day(_) | Stamp::Local(_)) => {
                let reason = format!("{name} is in an unknown time zone: {}", shown(unknown));
                Err(Problem::new(property.line, reason))
            }
            _ => Ok(Self::floating(stamp)),
        }
    }

    /// The instant by RFC 5545 §3.3.5: the first of two equal local times; a local time in a gap is
    /// read with the offset before the gap. Of a whole day, it is midnight. A time without a zone
    /// is in the zone `floating`.
    pub(super) fn instant(self, floating: Zone) -> Option<DateTime<Utc>> {
        let zone = self.zone.unwrap_or(floating);
        match self.stamp {
            Stamp::Day(day) => zone.instant(day.and_time(NaiveTime::MIN)),
            Stamp::Local(local) => zone.instant(local),
            Stamp::Utc(at) => Some(at),
        }
    }
}

/// The zone that a property names; an unknown name is returned as the error.
fn zone_of<'a>(property: &'a Property, zones: &EntryZones<'_>) -> Result<Option<Named>, &'a str> {
    let Some(name) = property.parameter("TZID") else { return Ok(None) };
    zones.named(name).map(Some).ok_or(name)
}

/// A duration (RFC 5545 §3.3.6), such as `-PT15M`, `P1DT12H` or `P2W`; a day has 24 hours. Products
/// write days and weeks behind the `T` (`-PT1D`), hours and seconds without it (`-P2H`), nothing
/// behind it (`-P1DT`), `PT` for zero, and the sign behind the letters (`PT-15M`). Only a number of
/// minutes needs the `T`: without, it could mean months.
pub(super) fn duration(text: &str) -> Option<TimeDelta> {
    let text = text.trim().to_ascii_uppercase();
    let (mut is_negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(&text)),
    };
    let mut rest = text.strip_prefix('P').filter(|rest| !rest.is_empty())?;
    let (mut seconds, mut is_time, mut is_first) = (0_i64, false, true);
    while !rest.is_empty() {
        if let Some(time) = rest.strip_prefix('T').filter(|_| !is_time) {
            (rest, is_time) = (time, true);
            continue;
        }
        if let Some(number) = rest.strip_prefix('-').filter(|_| is_first && !is_negative) {
            (rest, is_negative) = (number, true);
        }
        is_first = false;
        let end = rest.find(|character: char| !character.is_ascii_digit())?;
        let (number, unit) = (rest.get(..end)?, rest.get(end..end + 1)?);
        let length = match (unit, is_time) {
            ("W", _) => 604_800,
            ("D", _) => 86_400,
            ("H", _) => 3_600,
            ("M", true) => 60,
            ("S", _) => 1,
            _ => return None,
        };
        is_time |= unit == "H";
        seconds = seconds.checked_add(number.parse::<i64>().ok()?.checked_mul(length)?)?;
        rest = rest.get(end + 1..)?;
    }
    TimeDelta::try_seconds(if is_negative { -seconds } else { seconds })
}
