//! The `id:` of an event: where the stream is, and below which of its user's deliveries it need not
//! look any more.

use std::{fmt, str::FromStr, time::Duration};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::store::change_feed::Position;

/// A delivery is seen by others at the latest so long after the time in its id: its transaction
/// takes 30 s at most, and the clocks of replicas may differ.
const MAX_COMMIT_DELAY: Duration = Duration::from_secs(5 * 60);
/// How far a stream goes back.
const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What a stream needs to go on, in any replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Everything up to here was shown.
    pub(super) position: Position,
    /// No delivery below this one changes after the position.
    pub(super) low_water_mark: Uuid,
}

impl Cursor {
    /// The same, looking no further back than streams do: whoever wrote the cursor.
    pub(super) fn limited_to_max_age(self, now: DateTime<Utc>) -> Self {
        Self { low_water_mark: self.low_water_mark.max(oldest_low_water_mark(now)), ..self }
    }
}

/// The floor of a stream that knows nothing yet.
pub(super) fn oldest_low_water_mark(now: DateTime<Utc>) -> Uuid {
    min_id_at(now - MAX_AGE)
}

/// The floor of a position that was taken now, while `oldest_open` was the oldest delivery that may
/// change.
pub(super) fn low_water_mark(oldest_open: Option<Uuid>, now: DateTime<Utc>) -> Uuid {
    let recent = min_id_at(now - MAX_COMMIT_DELAY);
    oldest_open.map_or(recent, |open| open.min(recent))
}

/// The least id of those that are made at a time.
fn min_id_at(at: DateTime<Utc>) -> Uuid {
    Uuid::from_u128(u128::try_from(at.timestamp_millis()).unwrap_or_default() << 80)
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position, low_water_mark } = self;
        write!(f, "{}-{}-{}", position.xid, position.id.simple(), low_water_mark.simple())
    }
}

/// The text is no cursor of ours.
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
    fn it_is_read_as_it_is_written() {
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
    fn the_floor_is_below_whatever_may_still_change() {
        let (old, young) = (min_id_at(now() - chrono::TimeDelta::hours(8)), min_id_at(now()));
        assert_eq!(low_water_mark(Some(old), now()), old, "what waits since then");
        assert_eq!(
            low_water_mark(Some(young), now()),
            low_water_mark(None, now()),
            "what was made now and is not seen yet"
        );
        assert!(low_water_mark(None, now()) < young);
    }

    #[test]
    fn nobody_makes_it_read_more_than_the_reach() {
        let forged =
            Cursor { position: Position { xid: 1, id: Uuid::nil() }, low_water_mark: Uuid::nil() };
        assert_eq!(forged.limited_to_max_age(now()).low_water_mark, oldest_low_water_mark(now()));
    }
}
