//! End of a rule with `COUNT`.
//!
//! `COUNT` counts occurrences that exist, in order of time: a local time that is left out counts
//! nothing, and one that is shifted onto another instance counts once with it. The spans of time
//! between two changes of the clock are counted one after the other. In each, local time runs
//! evenly, so its instances are counted by arithmetic. Only those that a change shifts are merged
//! one by one with those that they may coincide with. A rule whose times of day no change of its
//! zone touches is counted as a whole.

use time_zone::{Change, NEAR, Zone};

use crate::{
    calendar::local_of,
    expansion::{Counted, END, Expansion},
    search::{Exhausted, Search},
    zone::{self, Fold, Gap},
};

/// Steps for a span, as looking up a change of the clock takes as long as a few checks.
const SPAN_STEPS: u32 = 3;
/// Distance from which on the next instance is looked for near itself, and not span by span, in
/// seconds.
const FAR: i64 = 4 * NEAR;

/// Count of the occurrences of a rule in a zone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Count<'a> {
    expansion: &'a Expansion,
    zone: Zone,
    gap: Gap,
    fold: Fold,
}

/// Time of one offset, from one change of the clock to the next, or a part of it.
#[derive(Debug, Clone, Copy)]
struct Span {
    /// First local time, if the span does not begin with a change.
    first: i64,
    begin: Option<Change>,
    offset: i64,
    end: Option<Change>,
}

impl<'a> Count<'a> {
    /// Creates the count. With [`Fold::Both`], the two instants of a repeated local time count as
    /// one occurrence, unless the rule repeats within a day.
    pub(crate) fn new(expansion: &'a Expansion, zone: Zone, gap: Gap, fold: Fold) -> Self {
        let counts_once = fold == Fold::Both && !expansion.repeats_within_day();
        Self { expansion, zone, gap, fold: if counts_once { Fold::First } else { fold } }
    }

    /// Instant of the last counted occurrence, in seconds; `None` if the range of years ends
    /// before.
    ///
    /// # Errors
    /// [`Exhausted`] if the steps are used up.
    pub(crate) fn last(self, count: u32, search: &mut Search) -> Result<Option<i64>, Exhausted> {
        let mut left = i64::from(count);
        let is_untouched = self.is_untouched();
        if is_untouched || self.expansion.is_counted_by_years() {
            // Changes of the clock only leave instances out, or there are none.
            match self.expansion.nth_between(left, self.expansion.start(), END, search)? {
                Counted::Left(_) => return Ok(None),
                Counted::Reached(local) if is_untouched => return Ok(self.instant(local)),
                Counted::Reached(_) => {}
            }
        }
        let mut next_span = self.span_near(self.expansion.start());
        while let Some(span) = next_span {
            search.spend(SPAN_STEPS)?;
            let mut from = self.first_local(span);
            if let Some(change) = span.begin
                && self.shifts_instances(change, search)?
            {
                match self.nth_after_gap(left, change, search)? {
                    Counted::Reached(at) => return Ok(Some(at)),
                    Counted::Left(still) => left = still,
                }
                from += change.after - change.before;
            }
            let end = self.end_local(span);
            match self.expansion.nth_between(left, from, end, search)? {
                Counted::Reached(local) => return Ok(Some(local - span.offset)),
                Counted::Left(still) => left = still,
            }
            let Some(change) = span.end else { return Ok(None) };
            let following =
                Span { first: end, begin: Some(change), offset: change.after, end: None };
            let from = end.min(self.first_local(following));
            search.continue_before(END);
            let Some(next) = self.expansion.at_or_after(from, search)? else { return Ok(None) };
            next_span = if next - from > FAR {
                self.span_near(next)
            } else {
                let end = self.zone.change_after(change.at, change.after);
                Some(Span { end, ..following })
            };
        }
        Ok(None)
    }

    /// Returns whether each instance counts as one occurrence, because no change of the clock from
    /// the start on leaves a time of the rule out or, if that matters, repeats it.
    fn is_untouched(&self) -> bool {
        let mut touched = self.zone.changed_times_after(self.expansion.start() - NEAR);
        !touched.any(|times| {
            (times.are_left_out || self.fold == Fold::Both)
                && self.expansion.may_fire_between(times.first, times.end)
        })
    }

    /// Counted instant of a local time that exists.
    fn instant(&self, local: i64) -> Option<i64> {
        let placed = zone::place(self.zone, local_of(local)?, self.gap, self.fold)?;
        placed.instants[0].map(|at| at.timestamp())
    }

    /// Part of the time of one offset that begins before the instants of a local time, whatever
    /// its offset.
    fn span_near(&self, local: i64) -> Option<Span> {
        let at = local - 2 * NEAR;
        let offset = self.zone.offset_at(at)?;
        let end = self.zone.change_after(at, offset);
        Some(Span { first: at + offset, begin: None, offset, end })
    }

    /// First local time whose instances have their counted instants in a span.
    fn first_local(&self, span: Span) -> i64 {
        match span.begin {
            None => span.first,
            // The repeated local times were counted in the span before.
            Some(change) if !change.is_gap() && self.fold == Fold::First => {
                change.at + change.before
            }
            Some(change) => change.at + change.after,
        }
    }

    /// First local time after those of a span.
    fn end_local(&self, span: Span) -> i64 {
        match span.end {
            None => END,
            // The repeated local times are counted in the span after.
            Some(change) if !change.is_gap() && self.fold == Fold::Second => {
                change.at + change.after
            }
            Some(change) => change.at + change.before,
        }
    }

    /// Returns whether a change of the clock shifts any instance.
    fn shifts_instances(&self, change: Change, search: &mut Search) -> Result<bool, Exhausted> {
        if self.gap == Gap::Skip || !change.is_gap() {
            return Ok(false);
        }
        let end = change.at + change.after;
        search.continue_before(end);
        let first = self.expansion.at_or_after(change.at + change.before, search)?;
        Ok(first.is_some_and(|first| first < end))
    }

    /// Counts the occurrences after a gap for as long as the gap is: those that are shifted, and
    /// those with a local time of their own. Returns the instant that is reached.
    fn nth_after_gap(
        &self,
        nth: i64,
        change: Change,
        search: &mut Search,
    ) -> Result<Counted, Exhausted> {
        let end = change.at + change.after - change.before;
        search.continue_before(end + change.after);
        let (mut left, mut at) = (nth, change.at);
        loop {
            let mut next = None;
            for offset in [change.before, change.after] {
                let found = self.expansion.at_or_after(at + offset, search)?;
                let found = found.map(|local| local - offset).filter(|found| *found < end);
                next = next.into_iter().chain(found).min();
            }
            let Some(next) = next else { return Ok(Counted::Left(left)) };
            left -= 1;
            if left == 0 {
                return Ok(Counted::Reached(next));
            }
            at = next + 1;
        }
    }
}
