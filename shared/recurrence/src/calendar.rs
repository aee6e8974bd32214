//! Days of the proleptic Gregorian calendar as numbers, counted from 1 January 1970.

use chrono::{DateTime, NaiveDateTime};

/// Seconds of a day; floating local time knows no other.
pub(crate) const DAY: i64 = 86_400;
/// 1 January of the year 1.
pub(crate) const FIRST_DAY: i64 = -719_162;
/// 31 December 9999: no rule goes on after it, since RFC 3339 has no years of five digits.
pub(crate) const LAST_DAY: i64 = 2_932_896;
/// 1 January of the year 0.
const EPOCH: i64 = -719_528;

/// Zero-based days of the year on which the months begin, and the length of the year.
const MONTH_STARTS: [[i64; 13]; 2] = [
    [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365],
    [0, 31, 60, 91, 121, 152, 182, 213, 244, 274, 305, 335, 366],
];

/// Seconds of a floating local time since 1 January 1970, without its fraction.
pub(crate) fn seconds_of(local: NaiveDateTime) -> i64 {
    local.and_utc().timestamp()
}

/// Floating local time of a number of seconds.
pub(crate) fn local_of(seconds: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp(seconds, 0).map(|at| at.naive_utc())
}

/// Weekday of a day: 0 is Monday.
pub(crate) fn weekday(day: i64) -> i64 {
    (day + 3).rem_euclid(7)
}

/// A year of 365 or 366 days.
pub(crate) const fn is_leap(year: i64) -> bool {
    year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
}

/// Starts of the months of a year, and after them the length of the year.
pub(crate) fn month_starts(is_leap: bool) -> &'static [i64; 13] {
    let [common, leap] = &MONTH_STARTS;
    if is_leap { leap } else { common }
}

/// First day of a month, counted on from January of the year 0.
pub(crate) fn month_start(month: i64) -> i64 {
    let year = Year::of(month.div_euclid(12));
    let within = usize::try_from(month.rem_euclid(12)).unwrap_or(0);
    year.first + month_starts(is_leap(year.number)).get(within).copied().unwrap_or(0)
}

/// One year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Year {
    pub(crate) number: i64,
    /// 1 January of the year.
    pub(crate) first: i64,
    pub(crate) length: i64,
}

impl Year {
    pub(crate) fn of(number: i64) -> Self {
        let leap_days = (number + 3).div_euclid(4) - (number + 99).div_euclid(100)
            + (number + 399).div_euclid(400);
        Self {
            number,
            first: EPOCH + number * 365 + leap_days,
            length: if is_leap(number) { 366 } else { 365 },
        }
    }

    /// The year of a day.
    #[inline]
    pub(crate) fn containing(day: i64) -> Self {
        let year = Self::of(((day - EPOCH) * 400).div_euclid(146_097));
        if day < year.first {
            Self::of(year.number - 1)
        } else if day >= year.end() {
            Self::of(year.number + 1)
        } else {
            year
        }
    }

    /// The 1 January after it.
    pub(crate) const fn end(self) -> i64 {
        self.first + self.length
    }

    /// The zero-based month of a day of this year.
    pub(crate) fn month_of(self, day: i64) -> usize {
        let starts = month_starts(self.length == 366);
        let within = day - self.first;
        // No month is longer than 31 days, so this is the month or the one before.
        let guess = usize::try_from(within / 31).unwrap_or(0).min(11);
        if starts.get(guess + 1).is_some_and(|next| within >= *next) { guess + 1 } else { guess }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{Datelike, NaiveDate};

    use super::*;

    #[test]
    fn numbers_days_as_chrono_does() {
        let mut day = EPOCH;
        let mut date = NaiveDate::from_ymd_opt(0, 1, 1).expect("a date");
        while day <= LAST_DAY {
            let year = Year::containing(day);
            assert_eq!(
                (year.number, day - year.first, year.month_of(day), weekday(day)),
                (
                    i64::from(date.year()),
                    i64::from(date.ordinal0()),
                    date.month0() as usize,
                    i64::from(date.weekday().num_days_from_monday())
                ),
                "{date}"
            );
            let month = year.number * 12 + i64::from(date.month0());
            assert_eq!(month_start(month), day - i64::from(date.day0()), "{date}");
            (day, date) = (day + 1, date.succ_opt().expect("a date"));
        }
        assert_eq!(date, NaiveDate::from_ymd_opt(10_000, 1, 1).expect("a date"));
    }
}
