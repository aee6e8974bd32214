//! Extra dates of a rule (`RDATE`, RFC 5545 §3.8.5.2), as instants.

use chrono::{DateTime, TimeDelta, Utc};
use time_zone::Zone;

use crate::{
    calendar::{DAY, local_of, seconds_of},
    rule::{Exclusions, ListedDate},
    zone::{self, Fold, Gap},
};

/// Places extra dates in a zone and removes those that are excluded or listed twice. `start` is
/// the local time of the start, and `below_second` its fraction of a second, which all occurrences
/// have.
pub(crate) fn placed(
    dates: &[ListedDate],
    (zone, gap, fold): (Zone, Gap, Fold),
    exclusions: &Exclusions,
    start: i64,
    below_second: TimeDelta,
) -> Vec<DateTime<Utc>> {
    let mut instants = Vec::with_capacity(dates.len());
    for date in dates {
        let (local, placed) = match *date {
            ListedDate::Instant(at) => (seconds_of(zone.wall_clock(at)), [Some(at), None]),
            ListedDate::Time(local) => (local, place(local, zone, gap, fold)),
            ListedDate::Day(day) => {
                let local = day * DAY + start.rem_euclid(DAY);
                (local, place(local, zone, gap, fold))
            }
        };
        if !exclusions.has_day_of(local) && !exclusions.has_time(local) {
            let kept = placed.into_iter().flatten().filter(|at| !exclusions.instants.contains(at));
            instants.extend(kept.map(|at| at + below_second));
        }
    }
    instants.sort_unstable();
    instants.dedup();
    instants
}

fn place(local: i64, zone: Zone, gap: Gap, fold: Fold) -> [Option<DateTime<Utc>>; 2] {
    let placed = local_of(local).and_then(|local| zone::place(zone, local, gap, fold));
    placed.map_or([None, None], |placed| placed.instants)
}
