//! The deliveries of a reminder: each occurrence, less each offset.

use std::{cmp::Reverse, collections::BinaryHeap, iter::Peekable};

use chrono::{DateTime, TimeDelta, Utc};

use crate::series::{Occurrences, Series};

/// One time of delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delivery {
    /// When it is made.
    pub at: DateTime<Utc>,
    /// The occurrence that it tells of. Where two fall together, the earlier one.
    pub date: DateTime<Utc>,
}

/// When a reminder is delivered: its occurrences, and the minutes before each.
#[derive(Debug, Clone)]
pub struct Timetable {
    occurrences: Times,
    offsets: Vec<i32>,
}

#[derive(Debug, Clone)]
enum Times {
    Once(DateTime<Utc>),
    Series(Box<Series>),
    Never,
}

impl Timetable {
    /// One that comes once.
    #[must_use]
    pub fn once(date: DateTime<Utc>, offsets: Vec<i32>) -> Self {
        Self { occurrences: Times::Once(date), offsets }
    }

    /// One that has no occurrences: its rule can no longer be followed.
    #[must_use]
    pub fn never() -> Self {
        Self { occurrences: Times::Never, offsets: Vec::new() }
    }

    /// One that recurs.
    #[must_use]
    pub fn recurring(series: Series, offsets: Vec<i32>) -> Self {
        Self { occurrences: Times::Series(Box::new(series)), offsets }
    }

    /// Minutes before each occurrence.
    #[must_use]
    pub fn offsets(&self) -> &[i32] {
        &self.offsets
    }

    /// The occurrences strictly after an instant, in order.
    pub fn occurrences_after(
        &self,
        after: DateTime<Utc>,
    ) -> impl Iterator<Item = DateTime<Utc>> + use<> {
        let (once, series) = match &self.occurrences {
            Times::Once(date) => (Some(*date).filter(|date| *date > after), None),
            Times::Series(series) => (None, Some(series.after(after))),
            Times::Never => (None, None),
        };
        once.into_iter().chain(series.into_iter().flatten())
    }

    /// The deliveries strictly after an instant, in order, each instant once.
    #[must_use]
    pub fn after(&self, after: DateTime<Utc>) -> Deliveries {
        self.unacknowledged_after(after, None)
    }

    /// The deliveries strictly after an instant, less those of occurrences up to the one that was
    /// acknowledged. Those are not walked over: a minutely rule with an offset of four weeks has
    /// 40,320 of them.
    #[must_use]
    pub fn unacknowledged_after(
        &self,
        after: DateTime<Utc>,
        acknowledged: Option<DateTime<Utc>>,
    ) -> Deliveries {
        match &self.occurrences {
            Times::Once(date) => {
                let is_acknowledged =
                    acknowledged.is_some_and(|acknowledged| *date <= acknowledged);
                let offsets = self.offsets.iter().filter(|_| !is_acknowledged);
                let mut deliveries: Vec<Delivery> = offsets
                    .map(|minutes| before(*date, *minutes))
                    .filter(|delivery| delivery.at > after)
                    .collect();
                deliveries.sort_unstable();
                deliveries.dedup();
                Deliveries::Once(deliveries.into_iter())
            }
            Times::Series(series) => {
                Deliveries::Merged(Merged::new(series, &self.offsets, after, acknowledged))
            }
            Times::Never => Deliveries::Once(Vec::new().into_iter()),
        }
    }

    /// The delivery at an instant, if there is one; of two that fall together, that of the earlier
    /// occurrence.
    #[must_use]
    pub fn delivery_at(&self, at: DateTime<Utc>) -> Option<Delivery> {
        let dates =
            self.offsets.iter().filter_map(|minutes| at.checked_add_signed(before_by(*minutes)));
        dates.filter(|date| self.has_occurrence(*date)).min().map(|date| Delivery { at, date })
    }

    /// Returns whether the delivery of an occurrence, so many minutes before it, is also one of an
    /// earlier occurrence, which is then the one that it tells of.
    #[must_use]
    pub fn is_of_earlier(&self, date: DateTime<Utc>, minutes: i32) -> bool {
        let mut smaller = self.offsets.iter().filter(|other| **other < minutes);
        smaller.any(|other| self.has_occurrence(date - before_by(minutes - other)))
    }

    /// Returns whether an instant is an occurrence.
    #[must_use]
    pub fn has_occurrence(&self, at: DateTime<Utc>) -> bool {
        match &self.occurrences {
            Times::Once(date) => *date == at,
            Times::Series(series) => series.contains(at),
            Times::Never => false,
        }
    }

    /// The latest delivery at or before an instant.
    #[must_use]
    pub fn latest(&self, until: DateTime<Utc>) -> Option<Delivery> {
        let latest = self.offsets.iter().filter_map(|minutes| {
            let minutes = *minutes;
            let last = match &self.occurrences {
                Times::Once(date) => Some(*date).filter(|date| before(*date, minutes).at <= until),
                Times::Series(series) => {
                    series.last_until(until + TimeDelta::minutes(minutes.into()))
                }
                Times::Never => None,
            };
            last.map(|date| before(date, minutes))
        });
        latest.max_by_key(|delivery| (delivery.at, Reverse(delivery.date)))
    }

    /// The last delivery of all; none when there is no end.
    #[must_use]
    pub fn last(&self) -> Option<DateTime<Utc>> {
        let least = self.offsets.iter().min().copied().unwrap_or(0);
        match &self.occurrences {
            Times::Once(date) => Some(before(*date, least).at),
            Times::Series(series) => series.last().map(|date| before(date, least).at),
            Times::Never => None,
        }
    }

    /// Whether there is a last delivery.
    #[must_use]
    pub fn ends(&self) -> bool {
        match &self.occurrences {
            Times::Once(_) | Times::Never => true,
            Times::Series(series) => series.ends(),
        }
    }
}

fn before_by(minutes: i32) -> TimeDelta {
    TimeDelta::minutes(minutes.into())
}

fn before(date: DateTime<Utc>, minutes: i32) -> Delivery {
    Delivery { at: date - before_by(minutes), date }
}

/// The deliveries of a [`Timetable`], in order.
pub enum Deliveries {
    /// Of one that comes once.
    Once(std::vec::IntoIter<Delivery>),
    /// Of one that recurs.
    Merged(Merged),
}

impl Iterator for Deliveries {
    type Item = Delivery;

    fn next(&mut self) -> Option<Delivery> {
        match self {
            Self::Once(deliveries) => deliveries.next(),
            Self::Merged(merged) => merged.next(),
        }
    }
}

/// The occurrences of a series, once for each offset, merged.
pub struct Merged {
    lines: Vec<(i32, Peekable<Occurrences>)>,
    heads: BinaryHeap<Reverse<(Delivery, usize)>>,
    last: Option<DateTime<Utc>>,
}

impl Merged {
    fn new(
        series: &Series,
        offsets: &[i32],
        after: DateTime<Utc>,
        acknowledged: Option<DateTime<Utc>>,
    ) -> Self {
        let lines = offsets.iter().map(|minutes| {
            let from =
                after.checked_add_signed(TimeDelta::minutes((*minutes).into())).unwrap_or(after);
            let from = acknowledged.map_or(from, |acknowledged| acknowledged.max(from));
            (*minutes, series.after(from).peekable())
        });
        let mut merged = Self { lines: lines.collect(), heads: BinaryHeap::new(), last: None };
        for line in 0..merged.lines.len() {
            merged.advance(line);
        }
        merged
    }

    fn advance(&mut self, line: usize) {
        let next = self
            .lines
            .get_mut(line)
            .and_then(|(minutes, dates)| dates.next().map(|date| before(date, *minutes)));
        self.heads.extend(next.map(|delivery| Reverse((delivery, line))));
    }

    fn next(&mut self) -> Option<Delivery> {
        loop {
            let Reverse((delivery, line)) = self.heads.pop()?;
            self.advance(line);
            if self.last != Some(delivery.at) {
                self.last = Some(delivery.at);
                return Some(delivery);
            }
        }
    }
}
