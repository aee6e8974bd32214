//! Times of day that the changes of a zone's clock leave out or repeat.

use jiff::Timestamp;

use crate::{Change, Zone};

/// Length of a day in seconds.
const DAY: i64 = 86_400;
/// 1 January 2150: later changes are by the last rule of a zone, and so come in every year.
const LAST_RULE: i64 = 5_680_281_600;
/// 1 January 2200.
const END: i64 = 7_258_118_400;

/// Times of day that a change of the clock leaves out or repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangedTimes {
    /// First of them, in seconds since midnight.
    pub first: i64,
    /// First time after them, in seconds since midnight.
    pub end: i64,
    /// `true` if they are left out, `false` if they are repeated.
    pub are_left_out: bool,
    /// Instant of the last such change, in seconds since the Unix epoch.
    last: i64,
}

impl Zone {
    /// Returns the times of day that changes of the clock after an instant leave out or repeat,
    /// each range once. A change at midnight has two ranges.
    pub fn changed_times_after(self, second: i64) -> impl Iterator<Item = ChangedTimes> {
        let all = self.changed_times().get_or_init(|| changed_times(self).into_boxed_slice());
        all.iter().copied().filter(move |times| times.last > second)
    }
}

fn changed_times(zone: Zone) -> Vec<ChangedTimes> {
    let mut all: Vec<ChangedTimes> = Vec::new();
    let mut at = Timestamp::MIN.as_second();
    while let Some(change) = zone
        .offset_at(at)
        .and_then(|before| zone.change_after(at, before))
        .filter(|change| change.at < END)
    {
        at = change.at;
        let last = if at >= LAST_RULE { i64::MAX } else { at };
        for (first, end) in times_of(change) {
            let are_left_out = change.is_gap();
            let times = ChangedTimes { first, end, are_left_out, last };
            match all.iter_mut().find(|known| ChangedTimes { last, ..**known } == times) {
                Some(known) => *known = times,
                None => all.push(times),
            }
        }
    }
    all
}

/// Ranges of times of day, before and after midnight.
fn times_of(change: Change) -> impl Iterator<Item = (i64, i64)> {
    let length = (change.after - change.before).abs().min(DAY);
    let first = (change.at + change.before.min(change.after)).rem_euclid(DAY);
    let first = if length == DAY { 0 } else { first };
    let end = first + length;
    [(first, end.min(DAY)), (0, end - DAY)].into_iter().filter(|(first, end)| first < end)
}
