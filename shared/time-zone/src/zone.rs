//! A time zone, and the wall-clock times of instants in it.

use std::{fmt, str::FromStr, sync::OnceLock};

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use jiff::{
    Timestamp,
    tz::{Offset, TimeZone},
};

use crate::{ChangedTimes, database};

/// An IANA time zone, as small as a reference. Two zones are equal if they have the same name.
///
/// Unlike tables that end in 2100, it keeps its last rule, so that a time of the next century is
/// right as well.
#[derive(Clone, Copy)]
pub struct Zone(&'static Named);

pub(crate) struct Named {
    name: &'static str,
    pub(crate) rules: TimeZone,
    /// Computed at the first use.
    changed_times: OnceLock<Box<[ChangedTimes]>>,
}

static UTC: Named = Named { name: "UTC", rules: TimeZone::UTC, changed_times: OnceLock::new() };

/// A name that no zone has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no time zone has this name")]
pub struct UnknownZone;

impl Zone {
    /// Coordinated Universal Time.
    pub const UTC: Self = Self(&UTC);

    /// Returns the zone of an IANA name, such as `Europe/Berlin`, in the edition that is in use.
    ///
    /// # Errors
    /// If no zone has the name. The case of letters matters.
    pub fn parse(name: &str) -> Result<Self, UnknownZone> {
        database::current().zone(name).ok_or(UnknownZone)
    }

    /// Returns the zone of an IANA name in any case, such as `europe/berlin`.
    ///
    /// # Errors
    /// If no zone has the name.
    pub fn parse_ignoring_case(name: &str) -> Result<Self, UnknownZone> {
        database::current().zone_ignoring_case(name).ok_or(UnknownZone)
    }

    /// Returns all zones in alphabetical order.
    pub fn all() -> impl Iterator<Item = Self> {
        database::current().all()
    }

    /// Returns a zone by its data in the format TZif (RFC 9636), such as that of another edition.
    /// The memory of the zone is never freed.
    ///
    /// # Errors
    /// If the data is malformed.
    pub fn from_data(name: &str, data: &[u8]) -> Result<Self, UnknownZone> {
        let rules = TimeZone::tzif(name, data).map_err(|_| UnknownZone)?;
        Ok(Self::leaked(Box::leak(name.into()), rules))
    }

    pub(crate) fn leaked(name: &'static str, rules: TimeZone) -> Self {
        Self(Box::leak(Box::new(Named { name, rules, changed_times: OnceLock::new() })))
    }

    pub(crate) const fn rules(self) -> &'static TimeZone {
        &self.0.rules
    }

    pub(crate) const fn changed_times(self) -> &'static OnceLock<Box<[ChangedTimes]>> {
        &self.0.changed_times
    }

    /// Returns the IANA name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0.name
    }

    /// Returns the offset from UTC in seconds at a number of seconds since the Unix epoch; `None`
    /// outside of the years that have one.
    #[must_use]
    pub fn offset_at(self, second: i64) -> Option<i64> {
        let at = Timestamp::from_second(second).ok()?;
        Some(self.0.rules.to_offset(at).seconds().into())
    }

    /// Returns the wall-clock time of an instant. The first and last offsets of the years that have
    /// one hold before and after them.
    #[must_use]
    pub fn wall_clock(self, at: DateTime<Utc>) -> NaiveDateTime {
        let (first, last) = (Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
        let offset = self.offset_at(at.timestamp().clamp(first, last));
        let length = TimeDelta::seconds(offset.unwrap_or(0));
        at.naive_utc().checked_add_signed(length).unwrap_or_else(|| at.naive_utc())
    }
}

pub(crate) fn length(offset: Offset) -> TimeDelta {
    TimeDelta::seconds(offset.seconds().into())
}

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0) || self.name() == other.name()
    }
}

impl Eq for Zone {}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Zone").field(&self.name()).finish()
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Zone {
    type Err = UnknownZone;

    fn from_str(name: &str) -> Result<Self, UnknownZone> {
        Self::parse(name)
    }
}
