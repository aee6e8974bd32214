//! Offsets of a zone, and the instants at which they change.

use chrono::{DateTime, Utc};
use jiff::{Timestamp, tz::Dst};

use crate::Zone;

/// The farthest that a change of the clock can be from an instant and matter to it, in seconds: no
/// change is longer than a day.
pub const NEAR: i64 = 26 * 3_600;

/// The most consecutive entries of the database without a change of the offset.
const UNCHANGED: usize = 100;

/// A change of the clock. All numbers are seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// First instant with the new offset, since the Unix epoch.
    pub at: i64,
    /// Offset before the change.
    pub before: i64,
    /// Offset from the change on.
    pub after: i64,
}

impl Change {
    /// Returns `true` if local times are left out.
    #[must_use]
    pub const fn is_gap(&self) -> bool {
        self.after > self.before
    }
}

/// Offset of a zone during a period, and the words for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observance {
    /// The database calls it daylight saving time.
    pub is_daylight_saving: bool,
    /// Offset from UTC in seconds.
    pub offset: i32,
    /// Abbreviation, such as `CEST`; the offset as digits if there is no usual one.
    pub abbreviation: String,
}

impl Zone {
    /// Returns the smallest and the largest offset that is in effect near an instant, in seconds: a
    /// local time at the instant has one of them. Outside of the years with offsets, it returns
    /// bounds that no offset exceeds.
    #[must_use]
    pub fn offsets_near(self, at: DateTime<Utc>) -> (i64, i64) {
        let at = at.timestamp();
        let end = at.saturating_add(NEAR);
        // The changes before the next second: one that is at the end itself matters as well.
        let (Some(later), Ok(end)) =
            (self.offset_at(end), Timestamp::from_second(end.saturating_add(1)))
        else {
            return (-NEAR, NEAR);
        };
        let (mut least, mut greatest) = (later, later);
        for change in self.rules().preceding(end) {
            let changed_at = change.timestamp().as_second();
            if changed_at < at - NEAR {
                break;
            }
            let before = self.offset_at(changed_at - 1).unwrap_or(later);
            (least, greatest) = (least.min(before), greatest.max(before));
        }
        (least, greatest)
    }

    /// Returns the first change of the clock after an instant, whose offset is `before`.
    #[must_use]
    pub fn change_after(self, second: i64, before: i64) -> Option<Change> {
        let changes = self.rules().following(Timestamp::from_second(second).ok()?);
        // The database also lists changes of the abbreviation only. For zones with permanent
        // daylight saving time, jiff lists two in each year that do not exist.
        let mut offsets = changes.take(UNCHANGED).filter_map(|change| {
            let at = change.timestamp().as_second();
            Some((at, self.offset_at(at)?))
        });
        let (at, after) = offsets.find(|(_, after)| *after != before)?;
        Some(Change { at, before, after })
    }

    /// Returns the observance at an instant; that of UTC outside of the years that have one.
    #[must_use]
    pub fn observance_at(self, at: DateTime<Utc>) -> Observance {
        let at = Timestamp::from_second(at.timestamp());
        at.map_or_else(
            |_| Self::UTC.observance_at(DateTime::UNIX_EPOCH),
            |at| {
                let info = self.rules().to_offset_info(at);
                Observance {
                    is_daylight_saving: info.dst() == Dst::Yes,
                    offset: info.offset().seconds(),
                    abbreviation: info.abbreviation().to_owned(),
                }
            },
        )
    }

    /// Returns the entries of the database after an instant, in order of time: the first instants
    /// of observances, which may be equal to the ones before. A zone whose last rule changes the
    /// clock has two in each year up to 9999.
    pub fn entries_after(self, at: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
        let changes = Timestamp::from_second(at.timestamp()).ok();
        let changes = changes.into_iter().flat_map(move |at| self.rules().following(at));
        changes.filter_map(|change| DateTime::from_timestamp(change.timestamp().as_second(), 0))
    }
}
