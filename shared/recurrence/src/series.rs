//! Series: a rule from its start on in a zone, and its occurrences.

mod occurrences;

use std::{collections::BinaryHeap, sync::Arc};

use chrono::{DateTime, TimeDelta, Timelike, Utc};

use occurrences::EXCLUSION_STEPS;
pub use occurrences::Occurrences;
use time_zone::Zone;

use crate::{
    calendar::seconds_of,
    count::Count,
    expansion::{END, Expansion},
    extra,
    rule::{Exclusions, Parsed, Refusal, Rule},
    search::{Exhausted, Search},
    until::Until,
    zone::{Fold, Gap},
};

/// Most steps of one search for the next instance. No accepted rule needs half as many.
pub(crate) const SEARCH_STEPS: u32 = 50_000;
/// Most steps that a rule may need for its next instance from each of the times that the check of a
/// new rule tries; a rule that needs more is refused. From other times it may need more.
pub(crate) const ACCEPTED_STEPS: u32 = 10_000;
/// Most steps for the last occurrence of a new rule with `COUNT`.
const COUNTING_STEPS: u32 = 40_000;
/// Most steps for that of a stored rule, which a version that takes fewer may have accepted.
const STORED_COUNTING_STEPS: u32 = 200_000;
/// Most steps of the check of a new rule.
const CHECK_STEPS: u32 = 30_000;
/// Most steps of reading a new rule.
pub const READING_STEPS: u32 = COUNTING_STEPS + CHECK_STEPS;
/// Number of instances from the start, and of later instants, that the check of a new rule
/// searches.
const TRIALS: (usize, i64) = (256, 32);
/// Number of instances that are checked for their distance.
const SAMPLE: usize = 120;

/// A rule in a zone, from its start on.
#[derive(Debug, Clone)]
pub struct Series {
    start: DateTime<Utc>,
    zone: Zone,
    rule: Arc<Followed>,
    gap: Gap,
    fold: Fold,
    steps: u32,
}

/// A rule with its start.
#[derive(Debug)]
struct Followed {
    expansion: Expansion,
    exclusions: Exclusions,
    /// Extra dates, in order.
    extra_dates: Vec<DateTime<Utc>>,
    /// `true` if the rule has `COUNT` or `UNTIL`.
    ends: bool,
    /// Last floating local time that can be an instance, in seconds.
    end: i64,
    /// Last instant of the rule, without its fraction of a second.
    latest: Option<DateTime<Utc>>,
    /// `true` if a second instant of the same local time may be later than `latest`, as `COUNT`
    /// counts both as one.
    counts_both_as_one: bool,
}

impl Series {
    /// Reads a rule whose DTSTART is `start`, in the wall-clock time of `zone`. The start is an
    /// occurrence only if the rule yields it.
    ///
    /// # Errors
    /// [`Refusal`] if the rule is malformed, has no end and never fires, fires too often, or needs
    /// too many steps.
    pub fn new(start: DateTime<Utc>, zone: Zone, rule: Rule<'_>) -> Result<Self, Refusal> {
        let parsed = Parsed::read(rule)?;
        let may_crowd = parsed.may_crowd();
        let mut counting = Search::new(COUNTING_STEPS, END);
        let mut series = Self::of(start, zone, rule, parsed, &mut counting)?;
        let mut check = Search::new(CHECK_STEPS, END);
        series.refuse_unfit(may_crowd, &mut check)?;
        series.steps = READING_STEPS - counting.steps_left() - check.steps_left();
        Ok(series)
    }

    /// Reads a stored rule, which was checked before, without checking it again.
    ///
    /// # Errors
    /// [`Refusal`] if the rule is malformed, as a version with other limits may have stored it.
    pub fn stored(start: DateTime<Utc>, zone: Zone, rule: Rule<'_>) -> Result<Self, Refusal> {
        let mut counting = Search::new(STORED_COUNTING_STEPS, END);
        let mut series = Self::of(start, zone, rule, Parsed::read(rule)?, &mut counting)?;
        series.steps = STORED_COUNTING_STEPS - counting.steps_left();
        Ok(series)
    }

    fn of(
        start: DateTime<Utc>,
        zone: Zone,
        rule: Rule<'_>,
        parsed: Parsed,
        counting: &mut Search,
    ) -> Result<Self, Refusal> {
        let Parsed { parts, exclusions, extra_dates } = parsed;
        let local_start = seconds_of(zone.wall_clock(start));
        let expansion = Expansion::new(&parts, local_start);
        let (end, latest) = match (parts.count, parts.until) {
            (Some(count), _) => {
                // A rule without an instance is not followed through all years.
                let mut first = Search::new(ACCEPTED_STEPS, END);
                let found = expansion.at_or_after(local_start, &mut first);
                found
                    .and_then(|_| counting.spend(ACCEPTED_STEPS - first.steps_left()))
                    .map_err(|Exhausted| Refusal::TooRare)?;
                let count_of = Count::new(&expansion, zone, rule.gap, rule.fold);
                let last = count_of.last(count, counting);
                let last = last.map_err(|Exhausted| Refusal::TooRare)?;
                (None, last.and_then(|last| DateTime::from_timestamp(last, 0)))
            }
            (None, Some(Until::Local(until))) => (Some(seconds_of(until)), None),
            (None, Some(Until::Instant(until))) => (None, Some(until)),
            (None, None) => (None, None),
        };
        let end = end.or(latest.map(|latest| latest.timestamp() + zone.offsets_near(latest).1));
        let placement = (zone, rule.gap, rule.fold);
        let below_second = TimeDelta::nanoseconds(i64::from(start.nanosecond()));
        let extra_dates =
            extra::placed(&extra_dates, placement, &exclusions, local_start, below_second);
        let followed = Followed {
            ends: parts.count.is_some() || parts.until.is_some(),
            counts_both_as_one: parts.count.is_some() && !expansion.repeats_within_day(),
            expansion,
            exclusions,
            extra_dates,
            end: end.unwrap_or(END).min(END),
            latest,
        };
        let (gap, fold) = (rule.gap, rule.fold);
        Ok(Self { start, zone, rule: Arc::new(followed), gap, fold, steps: 0 })
    }

    fn refuse_unfit(&self, may_crowd: bool, check: &mut Search) -> Result<(), Refusal> {
        let mut occurrences = self.of_rule_after(DateTime::<Utc>::MIN_UTC);
        occurrences.steps = ACCEPTED_STEPS;
        let mut occurrences = occurrences.within(check.steps_left().into());
        let first = occurrences.next();
        if let Some(mut before) = first.filter(|_| may_crowd) {
            for at in occurrences.by_ref().take(SAMPLE) {
                if at - before < TimeDelta::minutes(1) {
                    return Err(Refusal::TooOften);
                }
                before = at;
            }
        }
        if occurrences.is_exhausted() {
            return Err(Refusal::TooRare);
        }
        if first.is_none() {
            return if self.ends() { Ok(()) } else { Err(Refusal::NeverFires) };
        }
        let taken = u32::try_from(occurrences.steps()).unwrap_or(u32::MAX);
        let longest = check.spend(taken).and_then(|()| self.longest_search(check));
        let longest = longest.map_err(|Exhausted| Refusal::TooRare)?;
        // All exclusions may follow one another.
        let exclusions = self.rule.exclusions.len();
        if longest.saturating_mul(exclusions + 1) > SEARCH_STEPS + exclusions * EXCLUSION_STEPS {
            return Err(Refusal::TooRare);
        }
        Ok(())
    }

    /// Steps of the longest search that the rule was found to need: from its start on, and from
    /// instants spread over the years. None are counted of a rule whose form alone makes its
    /// searches short. Ends when the steps of the check are used up, which shows no fault: the
    /// searches so far were short enough.
    fn longest_search(&self, check: &mut Search) -> Result<u32, Exhausted> {
        let Followed { expansion, end, .. } = &*self.rule;
        if expansion.is_plainly_short() {
            return Ok(0);
        }
        let mut longest = 0;
        let mut next_after = |from: i64| {
            let most = ACCEPTED_STEPS.min(check.steps_left());
            let mut search = Search::new(most, *end);
            let found = expansion.at_or_after(from, &mut search);
            let steps = most - search.steps_left();
            check.spend(steps)?;
            longest = longest.max(steps);
            if most < ACCEPTED_STEPS { Ok(found.unwrap_or(None)) } else { found }
        };
        let start = seconds_of(self.zone.wall_clock(self.start));
        let mut from = start;
        for _ in 0..TRIALS.0 {
            match next_after(from)? {
                Some(found) => from = found + 1,
                None => break,
            }
        }
        let span = (*end - start) / TRIALS.1;
        for position in 1..TRIALS.1 {
            if next_after(start + position * span)?.is_none() {
                break;
            }
        }
        Ok(longest)
    }

    /// The occurrences strictly after an instant, in order.
    #[must_use]
    pub fn after(&self, after: DateTime<Utc>) -> Occurrences {
        let mut occurrences = self.of_rule_after(after);
        let extra_dates = &self.rule.extra_dates;
        occurrences.next_extra_date = extra_dates.partition_point(|date| *date <= after);
        occurrences
    }

    /// The occurrences strictly after an instant, without the extra dates.
    fn of_rule_after(&self, after: DateTime<Utc>) -> Occurrences {
        let (least, _) = self.zone.offsets_near(after);
        self.search_from(after.timestamp().saturating_add(least), self.rule.end, after)
    }

    /// Returns whether an instant is an occurrence.
    #[must_use]
    pub fn contains(&self, at: DateTime<Utc>) -> bool {
        self.rule.extra_dates.binary_search(&at).is_ok()
            || self.first_between(at - TimeDelta::nanoseconds(1), at) == Some(at)
    }

    /// The first occurrence strictly after an instant and at or before another; the search goes no
    /// further.
    #[must_use]
    pub fn first_within(
        &self,
        after: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        if until <= after {
            return None;
        }
        let extra_dates = &self.rule.extra_dates;
        let passed = extra_dates.partition_point(|date| *date <= after);
        let extra_date = extra_dates.get(passed).copied().filter(|date| *date <= until);
        extra_date.into_iter().chain(self.first_between(after, until)).min()
    }

    /// The first occurrence of the rule after an instant and at or before another; the search goes
    /// no further.
    fn first_between(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let (least, _) = self.zone.offsets_near(after);
        let (_, greatest) = self.zone.offsets_near(until);
        let end = until.timestamp().saturating_add(greatest).min(self.rule.end);
        self.search_from(after.timestamp().saturating_add(least), end, after)
            .next()
            .filter(|at| *at <= until)
    }

    fn search_from(&self, from: i64, end: i64, after: DateTime<Utc>) -> Occurrences {
        Occurrences {
            series: self.clone(),
            from: Some(from),
            end,
            steps: SEARCH_STEPS,
            left: u64::MAX,
            taken: 0,
            below_second: TimeDelta::nanoseconds(i64::from(self.start.nanosecond())),
            after,
            pending: BinaryHeap::new(),
            settled: None,
            next_extra_date: self.rule.extra_dates.len(),
            next_of_rule: None,
            is_exhausted: false,
        }
    }

    /// The last occurrence at or before an instant.
    #[must_use]
    pub fn last_until(&self, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let extra_dates = &self.rule.extra_dates;
        let passed = extra_dates.partition_point(|date| *date <= until);
        let last_extra_date = passed.checked_sub(1).and_then(|last| extra_dates.get(last).copied());
        last_extra_date.max(self.last_of_rule_until(until))
    }

    /// The last occurrence of the rule at or before an instant. Looks back over a span that grows
    /// until it contains an occurrence, then finds the last one in it by bisection.
    fn last_of_rule_until(&self, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let earliest = self.start - TimeDelta::days(2);
        let (mut span, mut until) = (TimeDelta::minutes(1), until);
        let mut last = loop {
            let from = if until - earliest > span { until - span } else { earliest };
            if let Some(found) = self.first_between(from, until) {
                break found;
            }
            if from <= earliest {
                return None;
            }
            until = from;
            span = span.checked_mul(4).unwrap_or(TimeDelta::MAX);
        };
        while let Some(next) = self.first_between(last, until) {
            let middle = next + (until - next) / 2;
            match self.first_between(middle, until) {
                Some(later) => last = later,
                None => (last, until) = (next, middle),
            }
        }
        Some(last)
    }

    /// The last occurrence of all; none when there is no end.
    #[must_use]
    pub fn last(&self) -> Option<DateTime<Utc>> {
        if !self.ends() {
            return None;
        }
        // A wall clock is never more than a day from UTC.
        let until = DateTime::from_timestamp(self.rule.end, 0)?;
        let last_of_rule = self.last_of_rule_until(until + TimeDelta::days(2));
        last_of_rule.max(self.rule.extra_dates.last().copied())
    }

    /// Steps that reading the rule took.
    #[must_use]
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// Returns whether the series has an end.
    #[must_use]
    pub fn ends(&self) -> bool {
        self.rule.ends
    }

    /// Returns whether the series has any occurrence; one with an end may have none.
    #[must_use]
    pub fn fires(&self) -> bool {
        self.after(DateTime::<Utc>::MIN_UTC).next().is_some()
    }
}
