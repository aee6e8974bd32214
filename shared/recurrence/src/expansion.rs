//! Instances of a rule in floating local time. No list of them is ever built:
//! [`Expansion::at_or_after`] finds the next one from any time, by arithmetic on the rule's grid of
//! periods and by look-up in its sets of days and times. Each search is bounded ([`Search`]).

mod nth;

pub(crate) use nth::Counted;

use crate::{
    bits::Signed,
    calendar::{DAY, LAST_DAY, Year, month_start},
    clock::{Times, only},
    days::{DayParts, Days},
    parts::{Frequency, Parts, Weekdays},
    search::{Exhausted, Search},
};

/// First day after the range of all rules, in seconds.
pub(crate) const END: i64 = (LAST_DAY + 1) * DAY;

/// Periods of a day that was looked up, each of which takes a part of a step.
const PERIODS_PER_STEP: u32 = 4;
/// Steps for a choice by BYSETPOS, as counting a set takes as long as a few checks.
const CHOICE_STEPS: u32 = 3;

/// Expansion of a rule from its start on.
#[derive(Debug)]
pub(crate) struct Expansion {
    frequency: Frequency,
    interval: i64,
    /// DTSTART, in seconds of floating local time.
    start: i64,
    /// Period of the start, from which on every `interval`-th period belongs to the rule.
    origin: i64,
    week_start: i64,
    days: Days,
    /// For a frequency shorter than a day: periods of a day in which the rule may fire, by the
    /// times at which they begin.
    periods: Times,
    /// Times within a period, or within a day if the frequency is a day or longer.
    times: Times,
    /// Times of day at which the rule may fire.
    clock: Times,
    positions: Option<Signed>,
}

impl Expansion {
    pub(crate) fn new(parts: &Parts, start: i64) -> Self {
        let frequency = parts.frequency;
        let (day, clock) = (start.div_euclid(DAY), start.rem_euclid(DAY));
        let [hour, minute, second] = [clock / 3_600, clock / 60 % 60, clock % 60]
            .map(|own| only(u32::try_from(own).unwrap_or(0)));
        let (all_hours, all_minutes) = ((1 << 24) - 1, (1 << 60) - 1);
        // Parts shorter than the frequency default to those of the start (RFC 5545 §3.3.10), others
        // to all.
        let or_default = |given: Option<u64>, is_shorter, own, all| {
            given.unwrap_or(if is_shorter { own } else { all })
        };
        let hours = or_default(parts.hours, frequency > Frequency::Hourly, hour, all_hours);
        let minutes =
            or_default(parts.minutes, frequency > Frequency::Minutely, minute, all_minutes);
        let seconds =
            or_default(parts.seconds, frequency > Frequency::Secondly, second, all_minutes);
        let zero = only(0);
        let (periods, times) = match frequency {
            Frequency::Secondly => {
                (Times::new(hours, minutes, seconds), Times::new(zero, zero, zero))
            }
            Frequency::Minutely => {
                (Times::new(hours, minutes, zero), Times::new(zero, zero, seconds))
            }
            Frequency::Hourly => {
                (Times::new(hours, zero, zero), Times::new(zero, minutes, seconds))
            }
            _ => (Times::new(zero, zero, zero), Times::new(hours, minutes, seconds)),
        };
        let mut expansion = Self {
            frequency,
            interval: parts.interval,
            start,
            origin: 0,
            week_start: parts.week_start,
            days: Days::new(day_parts(parts, day)),
            periods,
            times,
            clock: Times::new(hours, minutes, seconds),
            positions: parts.positions,
        };
        expansion.origin = match expansion.period_seconds() {
            Some(length) => start.div_euclid(length),
            None => expansion.period_of(day),
        };
        expansion
    }

    /// DTSTART, in seconds of floating local time.
    pub(crate) const fn start(&self) -> i64 {
        self.start
    }

    /// Returns whether the frequency is shorter than a day.
    pub(crate) fn repeats_within_day(&self) -> bool {
        self.frequency < Frequency::Daily
    }

    /// Returns whether the rule may fire at a time of day from `first` on and before `end`, in
    /// seconds.
    pub(crate) fn may_fire_between(&self, first: i64, end: i64) -> bool {
        self.clock.at_or_after(first).is_some_and(|time| time < end)
    }

    /// Returns the first instance at or after a local time, not before the start; `None` if there
    /// is none up to the end of the search.
    ///
    /// # Errors
    /// [`Exhausted`] if the steps are used up.
    pub(crate) fn at_or_after(
        &self,
        from: i64,
        search: &mut Search,
    ) -> Result<Option<i64>, Exhausted> {
        let mut from = from.max(self.start);
        loop {
            let Some(base) = self.base_at_or_after(from, search)? else { return Ok(None) };
            let within = match &self.positions {
                None => self.times.at_or_after((from - base).max(0)).map(|time| base + time),
                Some(positions) => {
                    search.spend(CHOICE_STEPS)?;
                    self.chosen(positions, base, from)
                }
            };
            if within.is_some() {
                return Ok(within.filter(|at| *at < END));
            }
            from = self.end_after(base);
        }
    }

    /// Start of the day or period of the next instance: the first that begins at `from` or contains
    /// it.
    fn base_at_or_after(&self, from: i64, search: &mut Search) -> Result<Option<i64>, Exhausted> {
        match self.period_seconds() {
            None => Ok(self.day_at_or_after(from.div_euclid(DAY), search)?.map(|day| day * DAY)),
            Some(length) => self.period_at_or_after(from, length, search),
        }
    }

    /// Start of the next search after a day or period: its end, or the end of the whole set that
    /// BYSETPOS chooses from.
    fn end_after(&self, base: i64) -> i64 {
        match (self.period_seconds(), &self.positions) {
            (Some(length), _) => base + length,
            (None, None) => base + DAY,
            (None, Some(_)) => self.period_days(base.div_euclid(DAY)).1 * DAY,
        }
    }

    /// First day that the rule allows, in a period of the grid.
    #[inline]
    fn day_at_or_after(&self, day: i64, search: &mut Search) -> Result<Option<i64>, Exhausted> {
        let mut day = day;
        loop {
            search.step()?;
            day = self.in_step(day);
            if day > search.last_day {
                return Ok(None);
            }
            let year = Year::containing(day);
            day = match self.days.of(year).at_or_after(day - year.first) {
                None => year.end(),
                Some(found) => {
                    let found = year.first + found;
                    if self.in_step(found) == found {
                        return Ok(Some(found).filter(|found| *found <= search.last_day));
                    }
                    found
                }
            };
        }
    }

    /// First day at or after another that is in a period of the grid. For a frequency shorter than
    /// a day, every day is in the grid.
    fn in_step(&self, day: i64) -> i64 {
        if self.interval == 1 || self.frequency < Frequency::Daily {
            return day;
        }
        let period = self.period_of(day);
        match (period - self.origin).rem_euclid(self.interval) {
            0 => day,
            past => self.start_of(period + self.interval - past),
        }
    }

    /// First period, of a frequency shorter than a day, that begins at a local time or contains it.
    #[inline]
    fn period_at_or_after(
        &self,
        from: i64,
        length: i64,
        search: &mut Search,
    ) -> Result<Option<i64>, Exhausted> {
        let mut at = from.div_euclid(length) * length;
        let (mut allowed, mut in_day) = (None, 0_u32);
        loop {
            let past = (at.div_euclid(length) - self.origin).rem_euclid(self.interval);
            if past != 0 {
                at += (self.interval - past) * length;
            }
            // Most periods are in the same day as the one before.
            let day = match allowed.filter(|day| *day == at.div_euclid(DAY)) {
                Some(day) => {
                    in_day += 1;
                    if in_day.is_multiple_of(PERIODS_PER_STEP) {
                        search.step()?;
                    }
                    day
                }
                None => match self.day_at_or_after(at.div_euclid(DAY), search)? {
                    Some(day) => day,
                    None => return Ok(None),
                },
            };
            allowed = Some(day);
            at = at.max(day * DAY);
            match self.periods.at_or_after(at - day * DAY) {
                None => at = (day + 1) * DAY,
                Some(period) => {
                    at = day * DAY + period;
                    if (at.div_euclid(length) - self.origin).rem_euclid(self.interval) == 0 {
                        return Ok(Some(at));
                    }
                }
            }
        }
    }

    /// First instance at or after a local time among those that BYSETPOS chooses from one period.
    /// The set is counted, not listed: a number of days with a number of times each.
    fn chosen(&self, positions: &Signed, base: i64, from: i64) -> Option<i64> {
        let in_day = self.times.count();
        if self.frequency <= Frequency::Daily {
            let rank = positions
                .rank_at_or_after(self.times.count_before((from - base).max(0)), in_day)?;
            return self.times.nth(rank).map(|time| base + time);
        }
        let (first, end) = self.period_days(base.div_euclid(DAY));
        let day = from.div_euclid(DAY);
        let mut passed = 0;
        if day >= first {
            passed = self.days.count(first, day.min(end)) * in_day;
            if day < end && self.days.has(day) {
                passed += self.times.count_before(from - day * DAY);
            }
        }
        let rank = positions.rank_at_or_after(passed, self.days.count(first, end) * in_day)?;
        let day = self.days.nth(first, rank / in_day)?;
        self.times.nth(rank % in_day).map(|time| day * DAY + time)
    }

    /// Length of a period that is shorter than a day.
    fn period_seconds(&self) -> Option<i64> {
        match self.frequency {
            Frequency::Secondly => Some(1),
            Frequency::Minutely => Some(60),
            Frequency::Hourly => Some(3_600),
            _ => None,
        }
    }

    /// Number of the period of a day.
    fn period_of(&self, day: i64) -> i64 {
        match self.frequency {
            Frequency::Yearly => Year::containing(day).number,
            Frequency::Monthly => {
                let year = Year::containing(day);
                year.number * 12 + i64::try_from(year.month_of(day)).unwrap_or(0)
            }
            Frequency::Weekly => (day + 3 - self.week_start).div_euclid(7),
            _ => day,
        }
    }

    /// First day of a period.
    fn start_of(&self, period: i64) -> i64 {
        match self.frequency {
            Frequency::Yearly => Year::of(period).first,
            Frequency::Monthly => month_start(period),
            Frequency::Weekly => period * 7 - 3 + self.week_start,
            _ => period,
        }
    }

    /// First day of the period of a day, and first day after it.
    fn period_days(&self, day: i64) -> (i64, i64) {
        let period = self.period_of(day);
        (self.start_of(period), self.start_of(period + 1))
    }

    /// Returns whether every period of the grid has exactly one instance, at the same offset as the
    /// start.
    fn fires_in_every_period(&self) -> bool {
        let all = match self.frequency {
            Frequency::Secondly => 86_400,
            Frequency::Minutely => 1_440,
            Frequency::Hourly => 24,
            _ => return false,
        };
        let within = self.period_seconds().map_or(0, |length| self.start.rem_euclid(length));
        let is_start = self.times.count() == 1 && self.times.nth(0) == Some(within);
        is_start && self.positions.is_none() && self.days.is_all() && self.periods.count() == all
    }

    /// Returns `true` if the form of the rule alone shows that a search for the next instance takes
    /// few steps from any time: a year is one step, and every allowed day is in the grid.
    pub(crate) fn is_plainly_short(&self) -> bool {
        let in_grid = self.interval == 1 || self.frequency == Frequency::Yearly;
        in_grid
            || (self.days.is_all() && self.frequency >= Frequency::Daily)
            || self.fires_in_every_period()
    }
}

/// Parts that choose days; if there are none, the day of the start is chosen (RFC 5545 §3.3.10).
fn day_parts(parts: &Parts, start_day: i64) -> DayParts {
    let year = Year::containing(start_day);
    let month = year.month_of(start_day);
    let mut days = DayParts {
        months: parts.months,
        week_numbers: parts.week_numbers,
        year_days: parts.year_days,
        month_days: parts.month_days,
        weekdays: parts.weekdays.clone(),
        counts_in_month: parts.frequency == Frequency::Monthly || parts.months.is_some(),
        week_start: parts.week_start,
    };
    let chooses_days =
        [days.week_numbers, days.year_days, days.month_days].iter().any(Option::is_some);
    if chooses_days || days.weekdays.is_some() {
        return days;
    }
    if parts.frequency == Frequency::Weekly {
        let weekday = crate::calendar::weekday(start_day);
        days.weekdays = Some(Weekdays { every: 1 << weekday, counted: None });
    }
    if parts.frequency >= Frequency::Monthly {
        let first = month_start(year.number * 12 + i64::try_from(month).unwrap_or(0));
        let mut own = Signed::default();
        own.insert(start_day - first + 1);
        days.month_days = Some(own);
    }
    if parts.frequency == Frequency::Yearly && days.months.is_none() {
        days.months = Some(1 << month);
    }
    days
}
