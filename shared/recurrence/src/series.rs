//! A rule from its start on, and its occurrences.

use std::{collections::BTreeSet, sync::Arc};

use chrono::{DateTime, Datelike, Days, Months, NaiveDateTime, TimeDelta, Timelike, Utc};
use rrule::{Frequency, RRuleSet, RRuleSetIter};

use crate::{
    rule::{Parsed, Refusal, Rule, floating, malformed},
    subdaily::SubDaily,
    until::Until,
    zone::{Fold, Gap, Zone},
};

/// Instances that are looked at to see whether they crowd.
const SAMPLE: usize = 120;

/// A recurring time: a rule in a zone, from its start on.
#[derive(Debug, Clone)]
pub struct Series {
    start: DateTime<Utc>,
    zone: Zone,
    parsed: Arc<Parsed>,
    gap: Gap,
    fold: Fold,
}

impl Series {
    /// Reads a rule whose DTSTART is `start`, in the wall-clock time of `zone`. The start is an occurrence only if the rule
    /// yields it.
    ///
    /// # Errors
    /// [`Refusal`]: the rule is malformed, has no end and never fires, or fires too often.
    pub fn new(start: DateTime<Utc>, zone: Zone, rule: Rule<'_>) -> Result<Self, Refusal> {
        let parsed = Arc::new(Parsed::read(rule)?);
        let series = Self { start, zone, parsed, gap: rule.gap, fold: rule.fold };
        series.parsed.rule.clone().validate(as_utc(series.floating_start())).map_err(|error| malformed(&error))?;
        series.refuse_unfit()?;
        Ok(series)
    }

    fn refuse_unfit(&self) -> Result<(), Refusal> {
        let mut occurrences = self.occurrences_from(self.floating_start(), DateTime::<Utc>::MIN_UTC);
        let Some(first) = occurrences.next() else {
            return if self.ends() { Ok(()) } else { Err(Refusal::NeverFires) };
        };
        if self.parsed.may_crowd() {
            let mut before = first;
            for at in occurrences.take(SAMPLE) {
                if at - before < TimeDelta::minutes(1) {
                    return Err(Refusal::TooOften);
                }
                before = at;
            }
        }
        Ok(())
    }

    /// The occurrences strictly after an instant, in order.
    #[must_use]
    pub fn after(&self, after: DateTime<Utc>) -> Occurrences {
        self.occurrences_from(self.start_near(after), after)
    }

    /// The last occurrence at or before an instant.
    #[must_use]
    pub fn last_until(&self, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let earliest = self.start - TimeDelta::days(2);
        let mut window = self.period() * 2 + TimeDelta::days(2);
        loop {
            let from = if until - earliest > window { until - window } else { earliest };
            if let Some(last) = self.after(from).take_while(|at| *at <= until).last() {
                return Some(last);
            }
            if from <= earliest {
                return None;
            }
            window = window.checked_mul(4).unwrap_or(TimeDelta::MAX);
        }
    }

    /// The last occurrence of all; none when there is no end.
    #[must_use]
    pub fn last(&self) -> Option<DateTime<Utc>> {
        match self.parsed.until {
            Some(Until::Instant(until)) => self.last_until(until),
            // A wall clock is never more than a day from UTC.
            Some(Until::Local(until)) => self.last_until(until.and_utc() + TimeDelta::days(2)),
            None => self.parsed.rule.get_count().and_then(|_| self.after(DateTime::<Utc>::MIN_UTC).last()),
        }
    }

    /// Whether it ends some day.
    #[must_use]
    pub fn ends(&self) -> bool {
        self.parsed.until.is_some() || self.parsed.rule.get_count().is_some()
    }

    /// Whether it ever fires: one that ends may do so before its first occurrence.
    #[must_use]
    pub fn fires(&self) -> bool {
        self.after(DateTime::<Utc>::MIN_UTC).next().is_some()
    }

    fn floating_start(&self) -> NaiveDateTime {
        floating(self.zone.wall_clock(self.start))
    }

    fn occurrences_from(&self, start: NaiveDateTime, after: DateTime<Utc>) -> Occurrences {
        // Validated with the first start already; a later one in step with it changes nothing of the rule.
        let rule = self.parsed.rule.clone().validate(as_utc(start)).ok();
        let floating = match rule.as_ref().and_then(|rule| SubDaily::new(rule, start)) {
            Some(sub_daily) => Floating::SubDaily(Box::new(sub_daily)),
            None => {
                let set = RRuleSet::new(as_utc(start)).set_rrules(rule.into_iter().collect()).limit();
                Floating::Daily(Box::new(set.into_iter()))
            }
        };
        let below_second = TimeDelta::nanoseconds(i64::from(self.start.nanosecond()));
        Occurrences {
            series: self.clone(),
            floating,
            below_second,
            after,
            waiting: BTreeSet::new(),
            settled: None,
            ended: false,
        }
    }

    /// The longest time between two periods of the rule.
    fn period(&self) -> TimeDelta {
        let interval = i32::from(self.parsed.rule.get_interval());
        let one = match self.parsed.rule.get_freq() {
            Frequency::Yearly => TimeDelta::days(366),
            Frequency::Monthly => TimeDelta::days(31),
            Frequency::Weekly => TimeDelta::days(7),
            Frequency::Daily => TimeDelta::days(1),
            Frequency::Hourly => TimeDelta::hours(1),
            Frequency::Minutely => TimeDelta::minutes(1),
            Frequency::Secondly => TimeDelta::seconds(1),
        };
        one * interval
    }

    /// A start in step with the rule's, as late as it can be for every occurrence after `after` to be found: without it,
    /// what a minutely rule costs would grow with its age. A counted rule has to be counted from its start.
    fn start_near(&self, after: DateTime<Utc>) -> NaiveDateTime {
        let start = self.floating_start();
        // A gap can shift an instance by a day (a zone that changed sides of the date line).
        let Some(target) = after.checked_sub_signed(TimeDelta::days(3)) else { return start };
        if target <= self.start || self.parsed.rule.get_count().is_some() {
            return start;
        }
        let target = self.zone.wall_clock(target);
        let interval = i64::from(self.parsed.rule.get_interval());
        let near = match self.parsed.rule.get_freq() {
            Frequency::Yearly => months_near(start, target, interval * 12),
            Frequency::Monthly => months_near(start, target, interval),
            Frequency::Weekly => days_near(start, target, interval * 7),
            Frequency::Daily => days_near(start, target, interval),
            Frequency::Hourly => seconds_near(start, target, interval * 3_600),
            Frequency::Minutely => seconds_near(start, target, interval * 60),
            Frequency::Secondly => seconds_near(start, target, interval),
        };
        near.unwrap_or(start)
    }
}

fn as_utc(floating: NaiveDateTime) -> DateTime<rrule::Tz> {
    floating.and_utc().with_timezone(&rrule::Tz::UTC)
}

fn seconds_near(start: NaiveDateTime, target: NaiveDateTime, step: i64) -> Option<NaiveDateTime> {
    let steps = (target - start).num_seconds() / step;
    start.checked_add_signed(TimeDelta::seconds(steps * step))
}

fn days_near(start: NaiveDateTime, target: NaiveDateTime, step: i64) -> Option<NaiveDateTime> {
    let steps = (target - start).num_days() / step;
    start.checked_add_days(Days::new(u64::try_from(steps * step).ok()?))
}

/// The latest month in step that has the start's day: a rule without BYMONTHDAY takes the day from its start.
fn months_near(start: NaiveDateTime, target: NaiveDateTime, step: i64) -> Option<NaiveDateTime> {
    let months = i64::from(target.year() - start.year()) * 12 + i64::from(target.month()) - i64::from(start.month());
    let latest = (months / step).saturating_sub(1).max(0);
    (0..=latest).rev().find_map(|steps| {
        let near = start.checked_add_months(Months::new(u32::try_from(steps * step).ok()?))?;
        (near.day() == start.day()).then_some(near)
    })
}

/// The instances of a rule in floating local time.
enum Floating {
    SubDaily(Box<SubDaily>),
    Daily(Box<RRuleSetIter>),
}

impl Iterator for Floating {
    type Item = NaiveDateTime;

    fn next(&mut self) -> Option<NaiveDateTime> {
        match self {
            Self::SubDaily(instances) => instances.next(),
            Self::Daily(instances) => instances.next().map(|it| it.naive_utc()),
        }
    }
}

/// The occurrences of a [`Series`] in order, each instant once.
pub struct Occurrences {
    series: Series,
    floating: Floating,
    below_second: TimeDelta,
    after: DateTime<Utc>,
    waiting: BTreeSet<DateTime<Utc>>,
    /// Nothing that is still to be placed lies before this.
    settled: Option<DateTime<Utc>>,
    ended: bool,
}

impl Occurrences {
    /// Places one instance more; whether there was one.
    fn pull(&mut self) -> bool {
        let Some(local) = self.floating.next() else { return false };
        if matches!(self.series.parsed.until, Some(Until::Local(until)) if local > until) {
            return false;
        }
        let Some(placed) = self.series.zone.place(local, self.series.gap, self.series.fold) else { return false };
        self.settled = Some(placed.no_later_before);
        if !self.series.parsed.exclusions.has(local) {
            let exclusions = &self.series.parsed.exclusions.instants;
            let instants = placed.instants.into_iter().flatten().filter(|at| !exclusions.contains(at));
            let (until, after, below_second) = (self.series.parsed.until, self.after, self.below_second);
            let kept = instants.filter(|at| !matches!(until, Some(Until::Instant(until)) if *at > until));
            self.waiting.extend(kept.map(|at| at + below_second).filter(|at| *at > after));
        }
        !matches!(self.series.parsed.until, Some(Until::Instant(until)) if placed.no_later_before > until)
    }
}

impl Iterator for Occurrences {
    type Item = DateTime<Utc>;

    fn next(&mut self) -> Option<DateTime<Utc>> {
        while !self.ended {
            let first = self.waiting.first().copied();
            if first.is_some_and(|first| self.settled.is_some_and(|settled| first <= settled + self.below_second)) {
                break;
            }
            self.ended = !self.pull();
        }
        self.waiting.pop_first()
    }
}
