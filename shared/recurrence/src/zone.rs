//! Places local times in a zone by the policies of a reminder.

use chrono::{DateTime, NaiveDateTime, Utc};
use time_zone::{Instants, Zone};

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

/// Instants of a local time.
pub(crate) struct Placed {
    /// Instants by the policies: none, one or two.
    pub(crate) instants: [Option<DateTime<Utc>>; 2],
    /// No later local time lies before this, whatever its policy.
    pub(crate) no_later_before: DateTime<Utc>,
}

/// Returns the instants of a local time by the policies; `None` outside of the years that have any.
pub(crate) fn place(zone: Zone, local: NaiveDateTime, gap: Gap, fold: Fold) -> Option<Placed> {
    Some(match zone.instants(local)? {
        Instants::One(at) => Placed { instants: [Some(at), None], no_later_before: at },
        Instants::Fold { first, second } => {
            let instants = match fold {
                Fold::First => [Some(first), None],
                Fold::Second => [Some(second), None],
                Fold::Both => [Some(first), Some(second)],
            };
            Placed { instants, no_later_before: first }
        }
        Instants::Gap { change, shifted } => {
            let instants = [(gap == Gap::Shift).then_some(shifted), None];
            Placed { instants, no_later_before: change }
        }
    })
}
