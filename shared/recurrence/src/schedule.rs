//! Schedule of a reminder: its instances, and its deliveries, which are each instance minus each
//! offset.

use std::{cmp::Reverse, collections::BinaryHeap, iter::Peekable};

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    rule::Refusal,
    series::{Occurrences, Series},
};

/// Most steps for the dates of a page.
pub const PAGE_STEPS: u64 = 20_000;

/// One time of delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delivery {
    /// Time of the delivery.
    pub at: DateTime<Utc>,
    /// Date of its instance; of two instances with the same delivery, the earlier one.
    pub date: DateTime<Utc>,
}

/// Schedule of a reminder: its dates, and the offsets in minutes before each.
#[derive(Debug, Clone)]
pub struct DeliverySchedule {
    occurrences: Times,
    offsets: Vec<i32>,
}

#[derive(Debug, Clone)]
enum Times {
    Once(DateTime<Utc>),
    Series(Box<Series>),
    Never,
}

impl DeliverySchedule {
    /// Creates a schedule with one date.
    #[must_use]
    pub fn once(date: DateTime<Utc>, offsets: Vec<i32>) -> Self {
        Self { occurrences: Times::Once(date), offsets }
    }

    /// Creates a schedule without dates, for a rule that is no longer accepted.
    #[must_use]
    pub fn never() -> Self {
        Self { occurrences: Times::Never, offsets: Vec::new() }
    }

    /// Creates a recurring schedule.
    #[must_use]
    pub fn recurring(series: Series, offsets: Vec<i32>) -> Self {
        Self { occurrences: Times::Series(Box::new(series)), offsets }
    }

    /// Offsets in minutes before each date.
    #[must_use]
    pub fn offsets(&self) -> &[i32] {
        &self.offsets
    }

    /// Dates strictly after an instant, in order.
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

    /// The first `limit` dates strictly after an instant, in order; fewer if there are no more.
    ///
    /// # Errors
    /// [`Refusal::TooRare`] if finding them takes too many steps.
    pub fn page_after(
        &self,
        after: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<DateTime<Utc>>, Refusal> {
        let Times::Series(series) = &self.occurrences else {
            return Ok(self.occurrences_after(after).take(limit).collect());
        };
        let mut occurrences = series.after(after).within(PAGE_STEPS);
        let page: Vec<_> = occurrences.by_ref().take(limit).collect();
        if page.len() < limit && occurrences.is_exhausted() {
            return Err(Refusal::TooRare);
        }
        Ok(page)
    }

    /// Deliveries strictly after an instant, in order, each time once.
    #[must_use]
    pub fn after(&self, after: DateTime<Utc>) -> Deliveries {
        self.unacknowledged_after(after, None)
    }

    /// Deliveries strictly after an instant, without those of dates up to the acknowledged one.
    /// These are skipped without iterating: a minutely rule with an offset of four weeks has 40,320
    /// of them.
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

    /// Delivery at an instant, if there is one; of two at the same time, that of the earlier date.
    #[must_use]
    pub fn delivery_at(&self, at: DateTime<Utc>) -> Option<Delivery> {
        let dates =
            self.offsets.iter().filter_map(|minutes| at.checked_add_signed(before_by(*minutes)));
        dates.filter(|date| self.has_occurrence(*date)).min().map(|date| Delivery { at, date })
    }

    /// Returns whether the delivery of a date, `minutes` before it, is also a delivery of an
    /// earlier date, to which it then belongs.
    #[must_use]
    pub fn is_of_earlier(&self, date: DateTime<Utc>, minutes: i32) -> bool {
        let mut smaller = self.offsets.iter().filter(|other| **other < minutes);
        smaller.any(|other| self.has_occurrence(date - before_by(minutes - other)))
    }

    /// Returns whether an instant is a date of the schedule.
    #[must_use]
    pub fn has_occurrence(&self, at: DateTime<Utc>) -> bool {
        match &self.occurrences {
            Times::Once(date) => *date == at,
            Times::Series(series) => series.contains(at),
            Times::Never => false,
        }
    }

    /// First date strictly after an instant and at or before another one; the search goes no
    /// further than that.
    #[must_use]
    pub fn first_within(
        &self,
        after: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        match &self.occurrences {
            Times::Once(date) => Some(*date).filter(|date| *date > after && *date <= until),
            Times::Series(series) => series.first_within(after, until),
            Times::Never => None,
        }
    }

    /// Latest delivery at or before an instant.
    #[must_use]
    pub fn latest(&self, until: DateTime<Utc>) -> Option<Delivery> {
        self.latest_unacknowledged(until, None)
    }

    /// Latest delivery at or before an instant, without those of dates up to the acknowledged one.
    #[must_use]
    pub fn latest_unacknowledged(
        &self,
        until: DateTime<Utc>,
        acknowledged: Option<DateTime<Utc>>,
    ) -> Option<Delivery> {
        let latest = self.offsets.iter().filter_map(|minutes| {
            let minutes = *minutes;
            let last = match &self.occurrences {
                Times::Once(date) => Some(*date).filter(|date| before(*date, minutes).at <= until),
                Times::Series(series) => {
                    series.last_until(until + TimeDelta::minutes(minutes.into()))
                }
                Times::Never => None,
            };
            last.filter(|date| acknowledged.is_none_or(|acknowledged| *date > acknowledged))
                .map(|date| before(date, minutes))
        });
        latest.max_by_key(|delivery| (delivery.at, Reverse(delivery.date)))
    }

    /// Last delivery of all; `None` if the schedule never ends.
    #[must_use]
    pub fn last(&self) -> Option<DateTime<Utc>> {
        let least = self.offsets.iter().min().copied().unwrap_or(0);
        match &self.occurrences {
            Times::Once(date) => Some(before(*date, least).at),
            Times::Series(series) => series.last().map(|date| before(date, least).at),
            Times::Never => None,
        }
    }

    /// Returns whether there is a last delivery.
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

/// Deliveries of a [`DeliverySchedule`], in order.
pub enum Deliveries {
    /// Of a schedule with one date.
    Once(std::vec::IntoIter<Delivery>),
    /// Of a recurring schedule.
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

/// Deliveries of a series for each offset, merged in order.
pub struct Merged {
    by_offset: Vec<(i32, Peekable<Occurrences>)>,
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
        let by_offset = offsets.iter().map(|minutes| {
            let from =
                after.checked_add_signed(TimeDelta::minutes((*minutes).into())).unwrap_or(after);
            let from = acknowledged.map_or(from, |acknowledged| acknowledged.max(from));
            (*minutes, series.after(from).peekable())
        });
        let mut merged =
            Self { by_offset: by_offset.collect(), heads: BinaryHeap::new(), last: None };
        for index in 0..merged.by_offset.len() {
            merged.advance(index);
        }
        merged
    }

    fn advance(&mut self, index: usize) {
        let next = self
            .by_offset
            .get_mut(index)
            .and_then(|(minutes, dates)| dates.next().map(|date| before(date, *minutes)));
        self.heads.extend(next.map(|delivery| Reverse((delivery, index))));
    }

    fn next(&mut self) -> Option<Delivery> {
        loop {
            let Reverse((delivery, index)) = self.heads.pop()?;
            self.advance(index);
            if self.last != Some(delivery.at) {
                self.last = Some(delivery.at);
                return Some(delivery);
            }
        }
    }
}
