//! Days that a rule allows, as one set of bits for each kind of year.
//!
//! Every part of a rule that chooses days depends only on the position of the day in its year, the
//! weekday of 1 January, and, for the numbers of weeks at either end, which of the years around it
//! is a leap year. That makes 28 kinds of years, so a search looks up days instead of testing each.

use std::sync::OnceLock;

use crate::{
    bits::{Bits, Signed},
    calendar::{Year, is_leap, month_starts, weekday},
    parts::Weekdays,
};

/// Parts of a rule that choose days. A part that is missing allows every day.
#[derive(Debug, Clone, Default)]
pub(crate) struct DayParts {
    pub(crate) months: Option<u64>,
    pub(crate) week_numbers: Option<Signed>,
    pub(crate) year_days: Option<Signed>,
    pub(crate) month_days: Option<Signed>,
    pub(crate) weekdays: Option<Weekdays>,
    /// Scope of numbers before weekdays: the month, else the year.
    pub(crate) counts_in_month: bool,
    /// First day of a week; 0 is Monday.
    pub(crate) week_start: i64,
}

/// Allowed days, computed once for each kind of year.
#[derive(Debug)]
pub(crate) struct Days {
    parts: DayParts,
    kinds: Box<[OnceLock<Bits>; 28]>,
}

impl Days {
    pub(crate) fn new(parts: DayParts) -> Self {
        Self { parts, kinds: Box::new([const { OnceLock::new() }; 28]) }
    }

    /// Returns whether every day is allowed.
    pub(crate) fn is_all(&self) -> bool {
        let DayParts { months, week_numbers, year_days, month_days, weekdays, .. } = &self.parts;
        months.is_none()
            && weekdays.is_none()
            && [week_numbers, year_days, month_days].iter().all(|part| part.is_none())
    }

    /// Allowed days of a year, zero-based.
    #[inline]
    pub(crate) fn of(&self, year: Year) -> Bits {
        let leap = (-1..=1)
            .position(|away| is_leap(year.number + away))
            .map_or(0, |position| position + 1);
        let kind = leap * 7 + usize::try_from(weekday(year.first)).unwrap_or(0);
        self.kinds.get(kind).map_or_else(
            || self.parts.days(year),
            |kind| *kind.get_or_init(|| self.parts.days(year)),
        )
    }

    /// Returns whether the set has a day.
    pub(crate) fn has(&self, day: i64) -> bool {
        let year = Year::containing(day);
        self.of(year).has(day - year.first)
    }

    /// Counts the days from `first` to before `end`.
    pub(crate) fn count(&self, first: i64, end: i64) -> i64 {
        let (mut count, mut day) = (0, first);
        while day < end {
            let year = Year::containing(day);
            let days = self.of(year);
            count += days.count_below(end.min(year.end()) - year.first)
                - days.count_below(day - year.first);
            day = year.end();
        }
        count
    }

    /// Day of a zero-based rank, counted from `first`; it must be in that year or the next.
    pub(crate) fn nth(&self, first: i64, rank: i64) -> Option<i64> {
        let year = Year::containing(first);
        let days = self.of(year);
        let rank = rank + days.count_below(first - year.first);
        let here = days.count_below(year.length);
        if rank < here {
            return days.nth(rank).map(|day| year.first + day);
        }
        let next = Year::of(year.number + 1);
        self.of(next).nth(rank - here).map(|day| next.first + day)
    }
}

impl DayParts {
    fn days(&self, year: Year) -> Bits {
        let mut days = Bits::default();
        let starts = month_starts(year.length == 366);
        let weeks = Weeks::of(year, self.week_start);
        let mut day_of_week = weekday(year.first);
        for (month, bounds) in starts.windows(2).enumerate() {
            let [first, end] = *bounds else { continue };
            for day in first..end {
                let position = Position {
                    day,
                    day_of_month: day - first,
                    month_length: end - first,
                    day_of_week,
                };
                day_of_week = if day_of_week == 6 { 0 } else { day_of_week + 1 };
                if self.months.is_none_or(|months| months >> month & 1 == 1)
                    && self.allows(position, year, &weeks)
                {
                    days.insert(day);
                }
            }
        }
        days
    }

    fn allows(&self, position: Position, year: Year, weeks: &Weeks) -> bool {
        let Position { day, day_of_month, month_length, .. } = position;
        self.month_days.is_none_or(|days| days.has(day_of_month + 1, month_length))
            && self.year_days.is_none_or(|days| days.has(day + 1, year.length))
            && self
                .weekdays
                .as_ref()
                .is_none_or(|weekdays| self.has_weekday(weekdays, position, year))
            && self.week_numbers.is_none_or(|numbers| {
                let (number, total) = weeks.number(day);
                numbers.has(number, total)
            })
    }

    fn has_weekday(&self, weekdays: &Weekdays, position: Position, year: Year) -> bool {
        let Position { day, day_of_month, month_length, day_of_week } = position;
        if weekdays.every >> day_of_week & 1 == 1 {
            return true;
        }
        let day_of_week = usize::try_from(day_of_week).unwrap_or(0);
        let (day, length) =
            if self.counts_in_month { (day_of_month, month_length) } else { (day, year.length) };
        let (number, behind) = (day / 7 + 1, (length - 1 - day) / 7);
        let counted = weekdays.counted.as_ref().and_then(|counted| counted.get(day_of_week));
        counted.is_some_and(|numbers| numbers.has(number, number + behind))
    }
}

/// Position of a day in its month and year, zero-based.
#[derive(Debug, Clone, Copy)]
struct Position {
    day: i64,
    day_of_month: i64,
    month_length: i64,
    day_of_week: i64,
}

/// Numbers of the weeks of a year: its first week is the first with four days in it (RFC 5545
/// §3.3.10, ISO 8601).
struct Weeks {
    /// Zero-based first day of the first week, -3 to 3.
    first: i64,
    count: i64,
    /// Numbers of weeks of the years before and after.
    before: i64,
    after: i64,
}

impl Weeks {
    fn of(year: Year, week_start: i64) -> Self {
        let first = |year: Year| {
            let into_week = (weekday(year.first) - week_start).rem_euclid(7);
            year.first + if into_week <= 3 { -into_week } else { 7 - into_week }
        };
        let count = |number: i64| (first(Year::of(number + 1)) - first(Year::of(number))) / 7;
        // Kept as python-dateutil and the libraries after it number these two days (ADR 8): 53,
        // though it is the week 52.
        let into_week = (weekday(year.first) - week_start).rem_euclid(7);
        let is_odd = into_week == 5 && !is_leap(year.number) && !is_leap(year.number - 1);
        Self {
            first: first(year) - year.first,
            count: count(year.number),
            before: if is_odd { 53 } else { count(year.number - 1) },
            after: count(year.number + 1),
        }
    }

    /// The number of a day's week, and how many weeks that week's year has.
    fn number(&self, day: i64) -> (i64, i64) {
        match (day - self.first).div_euclid(7) {
            -1 => (self.before, self.before),
            week if week >= self.count => (1, self.after),
            week => (week + 1, self.count),
        }
    }
}
