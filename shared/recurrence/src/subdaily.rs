//! Rules that fire within a day, in floating local time.
//!
//! The library that expands the others loses the step of such a rule where it passes over hours that `BYHOUR` leaves out,
//! so these are ours. Every period is the first one plus a whole number of steps; what cannot match is passed over by
//! whole days and hours, in step.

use std::collections::VecDeque;

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike};
use rrule::{Frequency, NWeekday, RRule, Validated};

/// Periods that are looked at between two instances: four centuries of days.
const MOST_PERIODS: u32 = 150_000;

/// The instances of an hourly, minutely or secondly rule, in order.
pub(crate) struct SubDaily {
    rule: RRule<Validated>,
    start: NaiveDateTime,
    /// The first second of the next period to look at; none when there is no more.
    period: Option<NaiveDateTime>,
    step: TimeDelta,
    left: Option<u32>,
    ready: VecDeque<NaiveDateTime>,
}

impl SubDaily {
    /// The instances of a rule from its start on; none for a rule that fires by the day.
    pub(crate) fn new(rule: &RRule<Validated>, start: NaiveDateTime) -> Option<Self> {
        let (unit, within) = match rule.get_freq() {
            Frequency::Hourly => (3_600, start.time().num_seconds_from_midnight() % 3_600),
            Frequency::Minutely => (60, start.second()),
            Frequency::Secondly => (1, 0),
            _ => return None,
        };
        let step = TimeDelta::seconds(i64::from(rule.get_interval()) * unit);
        let period = start.checked_sub_signed(TimeDelta::seconds(within.into()));
        Some(Self { rule: rule.clone(), start, period, step, left: rule.get_count(), ready: VecDeque::new() })
    }

    /// The instances of one period, less what lies before the start.
    fn instances(&self, period: NaiveDateTime) -> Vec<NaiveDateTime> {
        let freq = self.rule.get_freq();
        let one =
            |by: &[u8], own: u32| if by.is_empty() { vec![own] } else { by.iter().copied().map(u32::from).collect() };
        let minutes = if freq == Frequency::Hourly {
            one(self.rule.get_by_minute(), self.start.minute())
        } else {
            vec![period.minute()]
        };
        let seconds = if freq == Frequency::Secondly {
            vec![period.second()]
        } else {
            one(self.rule.get_by_second(), self.start.second())
        };
        let mut times: Vec<NaiveTime> = minutes
            .iter()
            .flat_map(|minute| seconds.iter().map(move |second| (*minute, *second)))
            .filter_map(|(minute, second)| NaiveTime::from_hms_opt(period.hour(), minute, second))
            .collect();
        times.sort_unstable();
        times.dedup();
        let chosen = self.positions(&times);
        chosen.into_iter().map(|time| period.date().and_time(time)).filter(|at| *at >= self.start).collect()
    }

    /// What BYSETPOS chooses of a period's times; without it, all.
    fn positions(&self, times: &[NaiveTime]) -> Vec<NaiveTime> {
        let positions = self.rule.get_by_set_pos();
        if positions.is_empty() {
            return times.to_vec();
        }
        let count = i32::try_from(times.len()).unwrap_or(i32::MAX);
        let chosen = |position: usize| {
            let forth = i32::try_from(position).unwrap_or(i32::MAX) + 1;
            positions.contains(&forth) || positions.contains(&(forth - count - 1))
        };
        times.iter().enumerate().filter(|(position, _)| chosen(*position)).map(|(_, time)| *time).collect()
    }

    /// Where to go on when a period cannot match; none when it can.
    fn passes_over(&self, period: NaiveDateTime) -> Option<Option<NaiveDateTime>> {
        let unmatched = |by: &[u8], value: u32| !by.is_empty() && !by.iter().any(|it| u32::from(*it) == value);
        let freq = self.rule.get_freq();
        if !fits_day(&self.rule, period.date()) {
            return Some(period.date().checked_add_days(Days::new(1)).map(|day| day.and_time(NaiveTime::MIN)));
        }
        if unmatched(self.rule.get_by_hour(), period.hour()) {
            let within = TimeDelta::seconds(i64::from(period.time().num_seconds_from_midnight() % 3_600));
            return Some(period.checked_add_signed(TimeDelta::hours(1) - within));
        }
        if freq != Frequency::Hourly && unmatched(self.rule.get_by_minute(), period.minute()) {
            return Some(period.checked_add_signed(TimeDelta::seconds(60 - i64::from(period.second()))));
        }
        let misses_second = freq == Frequency::Secondly && unmatched(self.rule.get_by_second(), period.second());
        misses_second.then(|| period.checked_add_signed(TimeDelta::seconds(1)))
    }

    /// The first period in step at or after a time.
    fn in_step(&self, period: NaiveDateTime, not_before: NaiveDateTime) -> Option<NaiveDateTime> {
        let (step, ahead) = (self.step.num_seconds(), (not_before - period).num_seconds());
        let steps = ahead.div_euclid(step) + i64::from(ahead.rem_euclid(step) != 0);
        period.checked_add_signed(TimeDelta::seconds(steps.checked_mul(step)?))
    }
}

impl Iterator for SubDaily {
    type Item = NaiveDateTime;

    fn next(&mut self) -> Option<NaiveDateTime> {
        if self.left == Some(0) {
            return None;
        }
        let mut looked_at = 0;
        while self.ready.is_empty() {
            looked_at += 1;
            let period = self.period.filter(|_| looked_at < MOST_PERIODS)?;
            self.period = match self.passes_over(period) {
                Some(not_before) => not_before.and_then(|not_before| self.in_step(period, not_before)),
                None => {
                    self.ready.extend(self.instances(period));
                    period.checked_add_signed(self.step)
                }
            };
        }
        self.left = self.left.map(|left| left - 1);
        self.ready.pop_front()
    }
}

/// Whether a rule's parts of the date let a day through.
fn fits_day(rule: &RRule<Validated>, day: NaiveDate) -> bool {
    let month = rule.get_by_month();
    let (days, of_year) = (rule.get_by_month_day(), rule.get_by_year_day());
    let (in_month, in_year) = (i32::from(day.num_days_in_month()), if day.leap_year() { 366 } else { 365 });
    let (month_day, year_day) = (i32::try_from(day.day()).unwrap_or(0), i32::try_from(day.ordinal()).unwrap_or(0));
    let weekday = |it: &NWeekday| matches!(it, NWeekday::Every(weekday) if *weekday == day.weekday());
    (month.is_empty() || month.iter().any(|it| u32::from(*it) == day.month()))
        && (days.is_empty()
            || days.iter().any(|it| i32::from(*it) == month_day || i32::from(*it) == month_day - in_month - 1))
        && (of_year.is_empty()
            || of_year.iter().any(|it| i32::from(*it) == year_day || i32::from(*it) == year_day - in_year - 1))
        && (rule.get_by_weekday().is_empty() || rule.get_by_weekday().iter().any(weekday))
}
