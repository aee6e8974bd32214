//! Cursor of a stream, the `id:` of its events: the position, and the low-water mark of the
//! deliveries that can still change.

use std::{fmt, str::FromStr, time::Duration};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::store::change_feed::Position;

/// Longest time between the time in the id of a delivery and its visibility to others: its
/// transaction takes at most 30 s, and the clocks of replicas may differ.
const MAX_COMMIT_DELAY: Duration = Duration::from_secs(5 * 60);
/// Largest age of the deliveries that a stream reads.
const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// State that a stream needs to resume on any replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    /// All changes up to this position were sent.
    pub(super) position: Position,
    /// No delivery with a smaller id changes after the position.
    pub(super) low_water_mark: Uuid,
}

impl Cursor {
    /// Limits how far back the cursor reads, whoever wrote it.
    pub(super) fn limited_to_max_age(self, now: DateTime<Utc>) -> Self {
        Self { low_water_mark: self.low_water_mark.max(oldest_low_water_mark(now)), ..self }
    }
}

/// Returns the lowest low-water mark of a stream.
pub(super) fn oldest_low_water_mark(now: DateTime<Utc>) -> Uuid {
    min_id_at(now - MAX_AGE)
}

/// Returns the low-water mark for the current position, where `oldest_open` is the oldest delivery
/// that can change.
pub(super) fn low_water_mark(oldest_open: Option<Uuid>, now: DateTime<Utc>) -> Uuid {
    let recent = min_id_at(now - MAX_COMMIT_DELAY);
    oldest_open.map_or(recent, |open| open.min(recent))
}

/// Returns the smallest id of deliveries created at a time.
fn min_id_at(at: DateTime<Utc>) -> Uuid {
    Uuid::from_u128(u128::try_from(at.timestamp_millis()).unwrap_or_default() << 80)
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position, low_water_mark } = self;
        write!(f, "{}-{}-{}", position.xid, position.id.simple(), low_water_mark.simple())
    }
}

/// Error for a text that is not a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

impl FromStr for Cursor {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let mut parts = text.splitn(3, '-');
        let mut part = || parts.next().ok_or(Malformed);
        let xid = part()?.parse().map_err(|_| Malformed)?;
        let id = Uuid::try_parse(part()?).map_err(|_| Malformed)?;
        let low_water_mark = Uuid::try_parse(part()?).map_err(|_| Malformed)?;
        Ok(Self { position: Position { xid, id }, low_water_mark })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-05-01T08:00:00Z".parse().expect("a time")
    }

    #[test]
    fn parses_cursor_as_it_is_written() {
        let cursor = Cursor {
            position: Position { xid: 1 << 40, id: Uuid::from_u128(7) },
            low_water_mark: Uuid::from_u128(3 << 90),
        };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "7", "7-7", "x-7-7", "7-00000000000000000000000000000007"] {
            assert_eq!(text.parse::<Cursor>(), Err(Malformed), "{text}");
        }
    }

    #[test]
    fn keeps_low_water_mark_below_open_deliveries() {
        let (old, young) = (min_id_at(now() - chrono::TimeDelta::hours(8)), min_id_at(now()));
        assert_eq!(low_water_mark(Some(old), now()), old, "an open delivery keeps it back");
        assert_eq!(
            low_water_mark(Some(young), now()),
            low_water_mark(None, now()),
            "a delivery that is not visible yet"
        );
        assert!(low_water_mark(None, now()) < young);
    }

    #[test]
    fn limits_forged_cursor_to_max_age() {
        let forged =
            Cursor { position: Position { xid: 1, id: Uuid::nil() }, low_water_mark: Uuid::nil() };
        assert_eq!(forged.limited_to_max_age(now()).low_water_mark, oldest_low_water_mark(now()));
    }
}
