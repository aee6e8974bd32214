//! Occurrences of a series, computed one at a time.

use std::{cmp::Reverse, collections::BinaryHeap};

use chrono::{DateTime, TimeDelta, Utc};

use super::{Followed, Series};
use crate::{
    calendar::{DAY, local_of},
    search::{Exhausted, Search},
    zone,
};

/// Additional steps for each exclusion, which a search may have to skip.
pub(super) const EXCLUSION_STEPS: u32 = 500;
/// Steps for an instance that is skipped because of a gap, as placing it takes as long as many
/// checks. A search skips up to 2,000 of them, more than the minutes of a day that a zone left out.
const GAP_STEPS: u32 = 25;

/// Occurrences of a [`Series`] in order, each instant once.
pub struct Occurrences {
    pub(super) series: Series,
    /// Start of the search for the next instance, in seconds of floating local time; `None` at the
    /// end.
    pub(super) from: Option<i64>,
    pub(super) end: i64,
    /// Largest number of steps in the search for one occurrence.
    pub(super) steps: u32,
    /// Steps that all searches may still take.
    pub(super) left: u64,
    /// Steps that all searches have taken.
    pub(super) taken: u64,
    pub(super) below_second: TimeDelta,
    pub(super) after: DateTime<Utc>,
    /// Placed occurrences that are not yet returned, as an instance that is placed later may
    /// precede them.
    pub(super) pending: BinaryHeap<Reverse<DateTime<Utc>>>,
    /// Time before which no further instance will be placed.
    pub(super) settled: Option<DateTime<Utc>>,
    /// Position of the next extra date.
    pub(super) next_extra_date: usize,
    /// Next occurrence of the rule, if an extra date was returned before it.
    pub(super) next_of_rule: Option<DateTime<Utc>>,
    /// `true` if the steps were used up.
    pub(super) is_exhausted: bool,
}

impl Occurrences {
    /// Limits the steps of all searches together: the iterator ends when they are used up.
    #[must_use]
    pub fn within(self, steps: u64) -> Self {
        Self { left: steps, ..self }
    }

    /// Steps that all searches have taken so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.taken
    }

    /// Returns `true` if the steps were used up: there may be more occurrences than were returned.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.is_exhausted
    }

    /// Creates a search for the next occurrence, which may have to skip every exclusion.
    fn search(&self) -> Search {
        let steps = self.steps + self.series.rule.exclusions.len() * EXCLUSION_STEPS;
        Search::new(u32::try_from(self.left).map_or(steps, |left| steps.min(left)), self.end)
    }

    /// Next instance in floating local time that is not excluded.
    fn local(&mut self, search: &mut Search) -> Result<Option<i64>, Exhausted> {
        let Some(mut from) = self.from.take() else { return Ok(None) };
        let Followed { expansion, exclusions, .. } = &*self.series.rule;
        loop {
            let found = expansion.at_or_after(from, search)?;
            let Some(local) = found.filter(|local| *local <= self.end) else { return Ok(None) };
            if exclusions.has_day_of(local) {
                from = (local.div_euclid(DAY) + 1) * DAY;
            } else if exclusions.has_time(local) {
                from = local + 1;
            } else {
                self.from = Some(local + 1);
                return Ok(Some(local));
            }
        }
    }

    /// Places one more instance; `from` is `None` afterwards if it was the last.
    fn place_next(&mut self, search: &mut Search) -> Result<(), Exhausted> {
        let Some(local) = self.local(search)? else { return Ok(()) };
        let place = |local| {
            zone::place(self.series.zone, local_of(local)?, self.series.gap, self.series.fold)
        };
        let Some(placed) = place(local) else {
            self.from = None;
            return Ok(());
        };
        if placed.instants == [None, None] {
            search.spend(GAP_STEPS)?;
        }
        self.settled = Some(placed.no_later_before + self.below_second);
        let Followed { exclusions, latest, counts_both_as_one, .. } = &*self.series.rule;
        let counted = placed.instants[0].filter(|_| *counts_both_as_one);
        let instants = placed.instants.into_iter().flatten();
        let kept = instants.filter(|at| {
            latest.is_none_or(|latest| counted.unwrap_or(*at) <= latest)
                && !exclusions.instants.contains(at)
        });
        let (after, below_second) = (self.after, self.below_second);
        self.pending.extend(kept.map(|at| at + below_second).filter(|at| *at > after).map(Reverse));
        Ok(())
    }

    fn next_of_rule(&mut self) -> Option<DateTime<Utc>> {
        let mut search = self.search();
        let steps = search.steps_left();
        let next = self.next_within(&mut search);
        let taken = u64::from(steps - search.steps_left());
        (self.taken, self.left) = (self.taken + taken, self.left.saturating_sub(taken));
        next
    }

    fn next_within(&mut self, search: &mut Search) -> Option<DateTime<Utc>> {
        loop {
            let is_settled = |first: &Reverse<DateTime<Utc>>| {
                self.settled.is_some_and(|settled| first.0 <= settled)
            };
            if self.from.is_none() || self.pending.peek().is_some_and(is_settled) {
                let Reverse(next) = self.pending.pop()?;
                if next > self.after {
                    self.after = next;
                    return Some(next);
                }
            } else if self.place_next(search).is_err() {
                (self.from, self.is_exhausted) = (None, true);
            }
        }
    }
}

impl Iterator for Occurrences {
    type Item = DateTime<Utc>;

    fn next(&mut self) -> Option<DateTime<Utc>> {
        let extra_date = self.series.rule.extra_dates.get(self.next_extra_date).copied();
        let of_rule = self.next_of_rule.take().or_else(|| self.next_of_rule());
        let Some(extra_date) = extra_date else { return of_rule };
        match of_rule {
            Some(of_rule) if of_rule < extra_date => Some(of_rule),
            later => {
                self.next_extra_date += 1;
                self.next_of_rule = later.filter(|of_rule| *of_rule != extra_date);
                Some(extra_date)
            }
        }
    }
}
