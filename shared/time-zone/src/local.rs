//! The instants of a wall-clock time: one, two if the clock was put back over it, or none if the
//! clock was put forward over it.

use chrono::{DateTime, Datelike, NaiveDateTime, Timelike, Utc};
use jiff::{Timestamp, civil, tz::AmbiguousOffset};

use crate::{Zone, zone::length};

/// Instants of a wall-clock time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instants {
    /// It exists once.
    One(DateTime<Utc>),
    /// It does not exist, because the clock was put forward over it.
    Gap {
        /// First instant after the change of the clock.
        change: DateTime<Utc>,
        /// The time read by the offset before the change, and so later by the length of the gap
        /// (RFC 5545 §3.3.5).
        shifted: DateTime<Utc>,
    },
    /// It exists twice, because the clock was put back.
    Fold {
        /// The earlier instant.
        first: DateTime<Utc>,
        /// The later instant.
        second: DateTime<Utc>,
    },
}

impl Instants {
    /// Returns the instant that RFC 5545 §3.3.5 chooses: the first of two, the shifted one in a
    /// gap.
    #[must_use]
    pub const fn first(self) -> DateTime<Utc> {
        match self {
            Self::One(at) | Self::Gap { shifted: at, .. } | Self::Fold { first: at, .. } => at,
        }
    }
}

impl Zone {
    /// Returns the instants of a wall-clock time; `None` outside of the years that have any.
    #[must_use]
    pub fn instants(self, local: NaiveDateTime) -> Option<Instants> {
        let at = |offset| local.checked_sub_signed(length(offset)).map(|instant| instant.and_utc());
        let found = match self.rules().to_ambiguous_timestamp(civil_of(local)?).offset() {
            AmbiguousOffset::Unambiguous { offset } => Instants::One(at(offset)?),
            AmbiguousOffset::Fold { before, after } => {
                Instants::Fold { first: at(before)?, second: at(after)? }
            }
            AmbiguousOffset::Gap { before, .. } => {
                let shifted = at(before)?;
                Instants::Gap { change: self.change_until(shifted)?, shifted }
            }
        };
        Some(found)
    }

    /// Returns the instant of a wall-clock time by RFC 5545 §3.3.5; `None` outside of the years
    /// that have one.
    #[must_use]
    pub fn instant(self, local: NaiveDateTime) -> Option<DateTime<Utc>> {
        self.instants(local).map(Instants::first)
    }

    /// Last change of the clock at or before an instant.
    fn change_until(self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let next = Timestamp::from_second(at.timestamp() + 1).ok()?;
        let change = self.rules().preceding(next).next()?.timestamp();
        DateTime::from_timestamp(change.as_second(), 0)
    }
}

fn civil_of(local: NaiveDateTime) -> Option<civil::DateTime> {
    let part = |value: u32| i8::try_from(value).ok();
    let (year, month, day) =
        (i16::try_from(local.year()).ok()?, part(local.month())?, part(local.day())?);
    let (hour, minute, second) =
        (part(local.hour())?, part(local.minute())?, part(local.second())?);
    civil::DateTime::new(year, month, day, hour, minute, second, 0).ok()
}
