//! A time zone: from wall-clock times to instants and back.
//!
//! Unlike tables that end in 2100, the zones of `jiff` keep their last rule, so that a reminder of
//! the next century is right as well. Which edition of their data is used: [`crate::database`].

use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, Timelike, Utc};
use jiff::{
    Timestamp, civil,
    tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase},
};

use crate::tz_database;

/// Treatment of a local time that does not exist because the clock was put forward.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Gap {
    /// It is read by the offset from before the gap, and so comes later by the gap's length (RFC
    /// 5545 §3.3.5).
    #[default]
    Shift,
    /// It is left out.
    Skip,
}

/// Treatment of a local time that exists twice because the clock was put back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fold {
    /// The earlier instant (RFC 5545 §3.3.5).
    #[default]
    First,
    /// The later instant.
    Second,
    /// Both instants.
    Both,
}

/// The farthest that a change of the clock can be from an instant and matter to it, in seconds: no
/// change is longer than a day.
pub(crate) const NEAR: i64 = 26 * 3_600;

/// The most consecutive entries of the database without a change of the offset.
const UNCHANGED: usize = 100;

/// A change of the clock. All numbers are seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    /// First instant with the new offset.
    pub(crate) at: i64,
    /// Offset before the change.
    pub(crate) before: i64,
    /// Offset from the change on.
    pub(crate) after: i64,
}

impl Change {
    /// Returns whether local times are left out.
    pub(crate) const fn is_gap(&self) -> bool {
        self.after > self.before
    }
}

/// An IANA time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// A name that no zone has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no time zone has this name")]
pub struct UnknownZone;

/// Instants of a local time.
pub(crate) struct Placed {
    /// Instants by the policies: none, one or two.
    pub(crate) instants: [Option<DateTime<Utc>>; 2],
    /// No later local time lies before this, whatever its policy.
    pub(crate) no_later_before: DateTime<Utc>,
}

impl Zone {
    /// The zone of a name, such as `Europe/Berlin`.
    ///
    /// # Errors
    /// When no zone has it.
    pub fn parse(name: &str) -> Result<Self, UnknownZone> {
        tz_database::current().get(name).map(Self).map_err(|_| UnknownZone)
    }

    /// The zone of a name in the edition that is compiled in, whatever the machine has.
    ///
    /// # Errors
    /// When no zone has it.
    pub fn compiled_in(name: &str) -> Result<Self, UnknownZone> {
        TimeZoneDatabase::bundled().get(name).map(Self).map_err(|_| UnknownZone)
    }

    /// The wall-clock time of an instant; of one outside the years that have any, its time in UTC.
    #[must_use]
    pub fn wall_clock(&self, at: DateTime<Utc>) -> NaiveDateTime {
        let offset = Timestamp::from_second(at.timestamp()).map(|at| self.0.to_offset(at));
        let local =
            offset.ok().and_then(|offset| at.naive_utc().checked_add_signed(length(offset)));
        local.unwrap_or_else(|| at.naive_utc())
    }

    /// The instant of a wall-clock time by the default policies; none outside the years that have
    /// one.
    #[must_use]
    pub fn instant(&self, local: NaiveDateTime) -> Option<DateTime<Utc>> {
        self.place(local, Gap::Shift, Fold::First).and_then(|placed| placed.instants[0])
    }

    pub(crate) fn place(&self, local: NaiveDateTime, gap: Gap, fold: Fold) -> Option<Placed> {
        let at = |offset| local.checked_sub_signed(length(offset)).map(|instant| instant.and_utc());
        let placed = match self.0.to_ambiguous_timestamp(civil_of(local)?).offset() {
            AmbiguousOffset::Unambiguous { offset } => {
                let at = at(offset)?;
                Placed { instants: [Some(at), None], no_later_before: at }
            }
            AmbiguousOffset::Fold { before, after } => {
                let (first, second) = (at(before)?, at(after)?);
                let instants = match fold {
                    Fold::First => [Some(first), None],
                    Fold::Second => [Some(second), None],
                    Fold::Both => [Some(first), Some(second)],
                };
                Placed { instants, no_later_before: first }
            }
            AmbiguousOffset::Gap { before, .. } => {
                let shifted = at(before)?;
                let instants = [(gap == Gap::Shift).then_some(shifted), None];
                Placed { instants, no_later_before: self.change_until(shifted)? }
            }
        };
        Some(placed)
    }

    /// Smallest and largest offset that is in effect near an instant, in seconds: a local time at
    /// the instant has one of them. Outside of the years with offsets, bounds that no offset
    /// exceeds.
    pub(crate) fn offsets_near(&self, at: DateTime<Utc>) -> (i64, i64) {
        let at = at.timestamp();
        let offset_at = |second| {
            Timestamp::from_second(second).map(|at| i64::from(self.0.to_offset(at).seconds()))
        };
        let end = at.saturating_add(NEAR);
        // The changes before the next second: one that is at the end itself matters as well.
        let (Ok(later), Ok(end)) = (offset_at(end), Timestamp::from_second(end.saturating_add(1)))
        else {
            return (-NEAR, NEAR);
        };
        let (mut least, mut greatest) = (later, later);
        for change in self.0.preceding(end) {
            let changed_at = change.timestamp().as_second();
            if changed_at < at - NEAR {
                break;
            }
            let before = offset_at(changed_at - 1).unwrap_or(later);
            (least, greatest) = (least.min(before), greatest.max(before));
        }
        (least, greatest)
    }

    /// Offset at an instant; `None` outside of the years that have one.
    pub(crate) fn offset_at(&self, second: i64) -> Option<i64> {
        let at = Timestamp::from_second(second).ok()?;
        Some(self.0.to_offset(at).seconds().into())
    }

    /// First change of the clock after an instant, whose offset is `before`.
    pub(crate) fn change_after(&self, second: i64, before: i64) -> Option<Change> {
        let changes = self.0.following(Timestamp::from_second(second).ok()?);
        // The database also lists changes of the abbreviation only. For zones with permanent
        // daylight saving time, jiff lists two in each year that do not exist.
        let mut offsets = changes.take(UNCHANGED).filter_map(|change| {
            let at = change.timestamp().as_second();
            Some((at, self.offset_at(at)?))
        });
        let (at, after) = offsets.find(|(_, after)| *after != before)?;
        Some(Change { at, before, after })
    }

    /// Last change of the clock at or before an instant.
    fn change_until(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let next = Timestamp::from_second(at.timestamp() + 1).ok()?;
        let change = self.0.preceding(next).next()?.timestamp();
        DateTime::from_timestamp(change.as_second(), 0)
    }
}

fn length(offset: Offset) -> TimeDelta {
    TimeDelta::seconds(offset.seconds().into())
}

fn civil_of(local: NaiveDateTime) -> Option<civil::DateTime> {
    let part = |value: u32| i8::try_from(value).ok();
    let (year, month, day) =
        (i16::try_from(local.year()).ok()?, part(local.month())?, part(local.day())?);
    let (hour, minute, second) =
        (part(local.hour())?, part(local.minute())?, part(local.second())?);
    civil::DateTime::new(year, month, day, hour, minute, second, 0).ok()
}
