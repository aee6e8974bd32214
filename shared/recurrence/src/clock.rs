//! Times within a day, an hour or a minute: the hours, minutes and seconds of a rule, each a set.

use crate::bits::nth_bit;

/// Times of a day as the product of three sets, which is never listed:
/// `BYHOUR=0..23;BYMINUTE=0..59` has 1,440.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    hours: u64,
    minutes: u64,
    seconds: u64,
}

/// A set of one number.
pub(crate) fn only(number: u32) -> u64 {
    1_u64.checked_shl(number).unwrap_or(0)
}

fn at_or_after(set: u64, from: i64) -> Option<i64> {
    let left = set & u64::MAX.checked_shl(u32::try_from(from).ok()?)?;
    (left != 0).then(|| i64::from(left.trailing_zeros()))
}

fn below(set: u64, end: i64) -> i64 {
    let kept = u32::try_from(end)
        .ok()
        .and_then(|end| u64::MAX.checked_shl(end))
        .map_or(set, |above| set & !above);
    i64::from(kept.count_ones())
}

fn has(set: u64, number: i64) -> bool {
    u32::try_from(number)
        .ok()
        .and_then(|number| set.checked_shr(number))
        .is_some_and(|set| set & 1 == 1)
}

fn size(set: u64) -> i64 {
    i64::from(set.count_ones())
}

fn nth(set: u64, rank: i64) -> Option<i64> {
    nth_bit(set, u32::try_from(rank).ok()?).map(i64::from)
}

impl Times {
    /// Times of three sets, none of which is empty.
    pub(crate) const fn new(hours: u64, minutes: u64, seconds: u64) -> Self {
        Self { hours, minutes, seconds }
    }

    /// Number of times of day.
    pub(crate) fn count(self) -> i64 {
        size(self.hours) * size(self.minutes) * size(self.seconds)
    }

    /// The first at or after a number of seconds.
    #[inline]
    pub(crate) fn at_or_after(self, offset: i64) -> Option<i64> {
        let (hour, minute, second) = (offset / 3_600, offset / 60 % 60, offset % 60);
        let first = at_or_after(self.seconds, 0)?;
        if has(self.hours, hour) {
            if has(self.minutes, minute)
                && let Some(second) = at_or_after(self.seconds, second)
            {
                return Some(hour * 3_600 + minute * 60 + second);
            }
            if let Some(minute) = at_or_after(self.minutes, minute + 1) {
                return Some(hour * 3_600 + minute * 60 + first);
            }
        }
        let hour = at_or_after(self.hours, hour + 1)?;
        Some(hour * 3_600 + at_or_after(self.minutes, 0)? * 60 + first)
    }

    /// Counts the times that are earlier than a number of seconds.
    pub(crate) fn count_before(self, offset: i64) -> i64 {
        let (hour, minute, second) = (offset / 3_600, offset / 60 % 60, offset % 60);
        let in_hour = size(self.minutes) * size(self.seconds);
        let mut count = below(self.hours, hour) * in_hour;
        if has(self.hours, hour) {
            count += below(self.minutes, minute) * size(self.seconds);
            if has(self.minutes, minute) {
                count += below(self.seconds, second);
            }
        }
        count
    }

    /// The time of a zero-based rank.
    pub(crate) fn nth(self, rank: i64) -> Option<i64> {
        let in_minute = size(self.seconds);
        let in_hour = size(self.minutes) * in_minute;
        let (hour, minute) =
            (nth(self.hours, rank / in_hour)?, nth(self.minutes, rank % in_hour / in_minute)?);
        Some(hour * 3_600 + minute * 60 + nth(self.seconds, rank % in_minute)?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_list_of_times(
            hours in 1..1_u64 << 24,
            minutes in 1..1_u64 << 60,
            seconds in 1..1_u64 << 60,
            offset in 0..86_400i64,
        ) {
            let (minutes, seconds) =
                (minutes & 0x0f00_00f0_0000_f00f | 1, seconds & 0x0400_0010_0000_0001 | 2);
            let times = Times::new(hours, minutes, seconds);
            let has = |offset: &i64| times.at_or_after(*offset) == Some(*offset);
            let all: Vec<i64> = (0..86_400).filter(has).collect();
            prop_assert_eq!(times.count(), i64::try_from(all.len()).expect("few"));
            let next = all.iter().find(|at| **at >= offset).copied();
            prop_assert_eq!(times.at_or_after(offset), next);
            let rank = all.iter().filter(|at| **at < offset).count();
            prop_assert_eq!(times.count_before(offset), i64::try_from(rank).expect("few"));
            prop_assert_eq!(times.nth(i64::try_from(rank).expect("few")), all.get(rank).copied());
        }
    }
}
