//! Counting of instances in a range of floating local time: by arithmetic if the rule fires in
//! every period of its grid, by whole days and years if days have equally many times, else one by
//! one.

use super::{END, Expansion};
use crate::{
    calendar::{DAY, Year},
    parts::Frequency,
    search::{Exhausted, Search},
};

/// Result of a search for the n-th instance of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    /// The n-th instance.
    Reached(i64),
    /// The range has fewer: as many are still to be counted after it.
    Left(i64),
}

impl Expansion {
    /// Returns the `nth` instance, counted from 1, of those from `from` on and before `end`.
    ///
    /// # Errors
    /// [`Exhausted`] if the steps are used up.
    pub(crate) fn nth_between(
        &self,
        nth: i64,
        from: i64,
        end: i64,
        search: &mut Search,
    ) -> Result<Counted, Exhausted> {
        let (from, end) = (from.max(self.start), end.min(END));
        if from >= end {
            return Ok(Counted::Left(nth));
        }
        search.continue_before(end);
        if let Some(length) = self.period_seconds()
            && self.fires_in_every_period()
        {
            return Ok(self.nth_of_grid(nth, from, end, self.interval * length));
        }
        // Each day that is allowed has an instance at each time of day that is allowed.
        let has_equal_days = !self.repeats_within_day() || self.interval == 1;
        if has_equal_days && self.positions.is_none() {
            return self.nth_by_days(nth, from, end, search);
        }
        let (mut left, mut from) = (nth, from);
        while let Some(found) = self.at_or_after(from, search)?.filter(|found| *found < end) {
            left -= 1;
            if left == 0 {
                return Ok(Counted::Reached(found));
            }
            from = found + 1;
        }
        Ok(Counted::Left(left))
    }

    /// Returns `true` if each local time of the rule is one occurrence at most, and a year of them
    /// is counted at once.
    pub(crate) fn is_counted_by_years(&self) -> bool {
        !self.repeats_within_day() && self.positions.is_none() && self.allows_whole_years()
    }

    /// Returns `true` if every allowed day of a year is in the grid.
    fn allows_whole_years(&self) -> bool {
        self.interval == 1 || self.frequency == Frequency::Yearly
    }

    /// Counts instances that are `step` seconds apart.
    fn nth_of_grid(&self, nth: i64, from: i64, end: i64, step: i64) -> Counted {
        let first = from + (self.start - from).rem_euclid(step);
        let found = first + (nth - 1) * step;
        if found < end {
            return Counted::Reached(found);
        }
        let passed = if first < end { (end - 1 - first) / step + 1 } else { 0 };
        Counted::Left(nth - passed)
    }

    /// Counts by whole days, and by whole years if every allowed day of a year is in the grid.
    fn nth_by_days(
        &self,
        nth: i64,
        from: i64,
        end: i64,
        search: &mut Search,
    ) -> Result<Counted, Exhausted> {
        let in_day = self.clock.count();
        let by_year = self.allows_whole_years();
        let (mut left, mut day) = (nth, from.div_euclid(DAY));
        while let Some(found) = self.day_at_or_after(day, search)? {
            let year = Year::containing(found);
            day = if by_year { year.end() } else { found + 1 };
            let days = self.days.of(year);
            let rank = |local: i64| {
                let day = local.div_euclid(DAY) - year.first;
                let in_part = if days.has(day) { local.rem_euclid(DAY) } else { 0 };
                days.count_below(day) * in_day + self.clock.count_before(in_part)
            };
            let passed = rank(from.max(found * DAY));
            let counted = rank(end.min(day * DAY)) - passed;
            if counted >= left {
                let rank = passed + left - 1;
                let place = days.nth(rank / in_day).zip(self.clock.nth(rank % in_day));
                let local = place.map(|(day, time)| (year.first + day) * DAY + time);
                return Ok(local.map_or(Counted::Left(left), Counted::Reached));
            }
            left -= counted;
        }
        Ok(Counted::Left(left))
    }
}
