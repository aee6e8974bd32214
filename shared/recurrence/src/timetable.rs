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
}

impl Timetable {
    /// One that comes once.
    #[must_use]
    pub fn once(date: DateTime<Utc>, offsets: Vec<i32>) -> Self {
        Self { occurrences: Times::Once(date), offsets }
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
    pub fn occurrences_after(&self, after: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> + use<> {
        let (once, series) = match &self.occurrences {
            Times::Once(date) => (Some(*date).filter(|date| *date > after), None),
            Times::Series(series) => (None, Some(series.after(after))),
        };
        once.into_iter().chain(series.into_iter().flatten())
    }

    /// The deliveries strictly after an instant, in order, each instant once.
    #[must_use]
    pub fn after(&self, after: DateTime<Utc>) -> Deliveries {
        match &self.occurrences {
            Times::Once(date) => {
                let mut deliveries: Vec<Delivery> =
                    self.offsets.iter().map(|minutes| before(*date, *minutes)).filter(|it| it.at > after).collect();
                deliveries.sort_unstable();
                deliveries.dedup();
                Deliveries::Once(deliveries.into_iter())
            }
            Times::Series(series) => Deliveries::Merged(Merged::new(series, &self.offsets, after)),
        }
    }

    /// The latest delivery at or before an instant.
    #[must_use]
    pub fn latest(&self, until: DateTime<Utc>) -> Option<Delivery> {
        let latest = self.offsets.iter().filter_map(|minutes| {
            let minutes = *minutes;
            let last = match &self.occurrences {
                Times::Once(date) => Some(*date).filter(|date| before(*date, minutes).at <= until),
                Times::Series(series) => series.last_until(until + TimeDelta::minutes(minutes.into())),
            };
            last.map(|date| before(date, minutes))
        });
        latest.max_by_key(|it| (it.at, Reverse(it.date)))
    }

    /// The last delivery of all; none when there is no end.
    #[must_use]
    pub fn last(&self) -> Option<DateTime<Utc>> {
        let least = self.offsets.iter().min().copied().unwrap_or(0);
        match &self.occurrences {
            Times::Once(date) => Some(before(*date, least).at),
            Times::Series(series) => series.last().map(|date| before(date, least).at),
        }
    }

    /// Whether there is a last delivery.
    #[must_use]
    pub fn ends(&self) -> bool {
        match &self.occurrences {
            Times::Once(_) => true,
            Times::Series(series) => series.ends(),
        }
    }

    /// Whether a delivery at an instant is one of these.
    #[must_use]
    pub fn has(&self, at: DateTime<Utc>) -> bool {
        self.after(at - TimeDelta::milliseconds(1)).next().is_some_and(|next| next.at == at)
    }
}

fn before(date: DateTime<Utc>, minutes: i32) -> Delivery {
    Delivery { at: date - TimeDelta::minutes(minutes.into()), date }
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
    fn new(series: &Series, offsets: &[i32], after: DateTime<Utc>) -> Self {
        let lines = offsets.iter().map(|minutes| {
            let from = after.checked_add_signed(TimeDelta::minutes((*minutes).into())).unwrap_or(after);
            (*minutes, series.after(from).peekable())
        });
        let mut merged = Self { lines: lines.collect(), heads: BinaryHeap::new(), last: None };
        for line in 0..merged.lines.len() {
            merged.advance(line);
        }
        merged
    }

    fn advance(&mut self, line: usize) {
        let next =
            self.lines.get_mut(line).and_then(|(minutes, dates)| dates.next().map(|date| before(date, *minutes)));
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
