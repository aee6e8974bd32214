//! Recurrence of an entry: its rules, single dates and exclusions as one rule with lists of dates.

use std::collections::HashSet;

use chrono::{Datelike, NaiveDateTime, SecondsFormat};
use contract::{FoldPolicy, GapPolicy, Recurrence};
use time_zone::{Instants, Zone};

use super::{
    Problem,
    component::Component,
    property::Property,
    rule::RuleText,
    times::{Moment, Shift, Stamp},
    x_properties,
    zones::EntryZones,
};

/// Largest number of exclusions of a series, and of dates beside its rule.
pub(super) const MAX_LISTED_DATES: usize = 1_000;
/// Rules of one entry that are read.
const MAX_RULES: usize = 20;
/// Rule of a series of listed dates alone: its start, which iCalendar counts among its instances.
pub(super) const ONLY_START: &str = "FREQ=DAILY;COUNT=1";

/// The wall clock of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clock {
    pub(super) zone: Zone,
    pub(super) is_all_day: bool,
    /// Difference between DTSTART and the time at which the reminder is due.
    pub(super) shift: Shift,
    /// `false` if no instance is at midnight.
    pub(super) has_midnights: bool,
}

/// Reads the recurrence of an entry whose reminder is first due at a local time, with its clock;
/// `None` if it has neither a rule nor listed dates. Malformed dates are left out and reported.
///
/// # Errors
/// When it recurs in a way that a reminder cannot.
pub(super) fn read(
    component: &Component,
    clock: Clock,
    start: NaiveDateTime,
    zones: &EntryZones<'_>,
    left_out: &mut Vec<(usize, String)>,
) -> Result<Option<(Recurrence, Clock)>, Problem> {
    let mut rdates = Dates::read("RDATE", component, clock, zones, left_out)?;
    let rule = rules(component).next();
    if rule.is_none() && rdates.texts.is_empty() {
        for property in ["EXDATE", "EXRULE"].into_iter().flat_map(|name| component.all(name)) {
            let text = format!("{} was left out: the entry has no rule (RRULE)", property.name);
            left_out.push((property.line, text));
        }
        return Ok(None);
    }
    let series = Series { clock, start, zones };
    let rule = match rule {
        None => series.rule_of(ONLY_START, component.line)?,
        Some(first) => series.united(first, rules(component).skip(1), &mut rdates)?,
    };
    let begins = start.checked_sub_signed(clock.shift.time).unwrap_or(start).time();
    // A file that this service wrote names each time as it is.
    let has_midnights = rule.may_yield_midnight(begins)
        || component.one(x_properties::DATE).is_some()
        || rdates.texts.iter().any(|date| date.ends_with("T00:00:00"));
    let clock = Clock { has_midnights, ..clock };
    let mut exdates = Dates::read("EXDATE", component, clock, zones, left_out)?;
    let excluding = component.all("EXRULE").filter(|rule| !rule.value.trim().is_empty());
    let rule = series.without(rule, excluding, !rdates.texts.is_empty(), &mut exdates)?;
    let (rrule, exdates, rdates) = (rule.text(), exdates.texts, rdates.texts);
    let (gap, fold) = (GapPolicy::default(), FoldPolicy::default());
    Ok(Some((Recurrence { rrule, exdates, rdates, gap, fold }, clock)))
}

/// The rules of a component without the empty ones that some products write.
pub(super) fn rules(component: &Component) -> impl Iterator<Item = &Property> {
    component.all("RRULE").filter(|rule| !rule.value.trim().is_empty())
}

/// The local times at which a reminder recurs.
struct Series<'a> {
    clock: Clock,
    start: NaiveDateTime,
    zones: &'a EntryZones<'a>,
}

impl Series<'_> {
    fn rule_of(&self, text: &str, line: usize) -> Result<RuleText, Problem> {
        RuleText::read(text, self.clock).map_err(|reason| Problem::new(line, reason))
    }

    /// One rule for the instances of several. Those of a rule that ends can be single dates.
    fn united<'a>(
        &self,
        first: &Property,
        others: impl Iterator<Item = &'a Property>,
        rdates: &mut Dates,
    ) -> Result<RuleText, Problem> {
        let mut united = self.rule_of(&first.value, first.line)?;
        for (place, other) in others.enumerate() {
            let rule = self.rule_of(&other.value, other.line)?;
            if place + 2 > MAX_RULES {
                return Err(Problem::new(other.line, "it has more than 20 rules (RRULE)"));
            }
            if let Some(one) = united.union(&rule, self.start) {
                united = one;
                continue;
            }
            // A rule without an end stays a rule.
            let (ending, kept) = if rule.ends() { (rule, united) } else { (united, rule) };
            let instances = ending.ends().then(|| self.instances(&ending, None)).flatten();
            let is_added = instances.is_some_and(|instances| {
                rdates.add_all(instances.into_iter().map(|local| self.text(local)))
            });
            if !is_added {
                let reason = "it has several rules (RRULE) that one rule cannot express";
                return Err(Problem::new(other.line, reason));
            }
            united = kept;
        }
        Ok(united)
    }

    /// A rule without the instances of others (`EXRULE`, RFC 2445 §4.8.5.2). Those of a rule that
    /// ends can be exclusions, which also exclude dates beside the rule.
    fn without<'a>(
        &self,
        rule: RuleText,
        excluding: impl Iterator<Item = &'a Property>,
        has_rdates: bool,
        exdates: &mut Dates,
    ) -> Result<RuleText, Problem> {
        let mut left = rule;
        for (place, property) in excluding.enumerate() {
            let excluded = self.rule_of(&property.value, property.line)?;
            if place + 1 > MAX_RULES {
                return Err(Problem::new(property.line, "it has more than 20 rules (EXRULE)"));
            }
            let difference = left.difference(&excluded, self.start).filter(|_| !has_rdates);
            if let Some(difference) = difference {
                left = difference;
                continue;
            }
            let is_last_known = left.ends() && !has_rdates;
            let last =
                is_last_known.then(|| self.instances(&left, None)?.last().copied()).flatten();
            let end = last.and_then(|last| last.checked_add_signed(chrono::TimeDelta::seconds(1)));
            let is_bounded = end.is_some() || excluded.ends();
            let instances = is_bounded.then(|| self.instances(&excluded, end)).flatten();
            let is_added = instances.is_some_and(|instances| {
                let texts = instances.into_iter().map(|local| self.text(local));
                exdates.add_all(texts)
            });
            if !is_added {
                let reason = "it excludes instances by a rule (EXRULE) in a way that one rule \
                              cannot express";
                return Err(Problem::new(property.line, reason));
            }
        }
        Ok(left)
    }

    fn instances(&self, rule: &RuleText, end: Option<NaiveDateTime>) -> Option<Vec<NaiveDateTime>> {
        let can_expand = self.zones.can_expand_rule();
        can_expand
            .then(|| rule.instances(self.start, self.clock.zone, end, MAX_LISTED_DATES))
            .flatten()
    }

    fn text(&self, local: NaiveDateTime) -> String {
        if self.clock.is_all_day { local.date().to_string() } else { local_time(local) }
    }
}

/// Dates of a series, each in the form of an exclusion.
#[derive(Default)]
pub(super) struct Dates {
    texts: Vec<String>,
    known: HashSet<String>,
}

impl Dates {
    /// Reads the dates of all properties of a name. Malformed ones are left out and reported.
    ///
    /// # Errors
    /// If there are too many.
    pub(super) fn read(
        name: &'static str,
        component: &Component,
        clock: Clock,
        zones: &EntryZones<'_>,
        left_out: &mut Vec<(usize, String)>,
    ) -> Result<Self, Problem> {
        let mut dates = Self::default();
        for property in component.all(name) {
            let (moments, problem) = Moment::read_all(property, zones);
            left_out.extend(problem.map(|problem| (problem.line, problem.reason)));
            let texts = moments.into_iter().filter_map(|moment| listed_date(moment, clock));
            if !dates.add_all(texts) {
                let reason = format!("it lists more than 1,000 dates ({name})");
                return Err(Problem::new(property.line, reason));
            }
        }
        Ok(dates)
    }

    /// The dates, each once, in the order in which they were added.
    pub(super) fn into_texts(self) -> Vec<String> {
        self.texts
    }

    /// Adds dates that the list does not have; returns `false` if there are too many.
    pub(super) fn add_all(&mut self, texts: impl Iterator<Item = String>) -> bool {
        for text in texts {
            if self.known.insert(text.clone()) {
                self.texts.push(text);
            }
            if self.texts.len() > MAX_LISTED_DATES {
                return false;
            }
        }
        true
    }
}

/// Adds an exclusion unless the list has it.
pub(super) fn add_exclusion(exdates: &mut Vec<String>, exclusion: Option<String>) {
    exdates.extend(exclusion.filter(|exclusion| !exdates.contains(exclusion)));
}

/// Exclusion in the form that a reminder uses: a whole day, a local time in its zone, or the
/// instant if the local time occurs twice and the file names one of the two.
pub(super) fn listed_date(moment: Moment, clock: Clock) -> Option<String> {
    let moment = moment.on_day(clock).later(clock.shift)?;
    match moment.stamp {
        stamp if clock.is_all_day => Some(stamp.day_in(clock.zone).to_string()),
        Stamp::Day(day) => Some(day.to_string()),
        Stamp::Local(local) if moment.zone.is_none_or(|zone| zone == clock.zone) => {
            Some(local_time(local))
        }
        Stamp::Local(_) | Stamp::Utc(_) => {
            let at = moment.instant(clock.zone)?;
            let local = clock.zone.wall_clock(at);
            let is_in_range = (1..=9999).contains(&local.year());
            is_in_range.then(|| match clock.zone.instants(local) {
                Some(Instants::Fold { .. }) => at.to_rfc3339_opts(SecondsFormat::Secs, true),
                _ => local_time(local),
            })
        }
    }
}

pub(super) fn local_time(local: NaiveDateTime) -> String {
    local.format("%Y-%m-%dT%H:%M:%S").to_string()
}

/// Returns `true` if the rules of a component yield the same instances, each later by `shift`,
/// when they start later by it.
pub(super) fn can_be_later(component: &Component, clock: Clock, shift: Shift) -> bool {
    let rules = rules(component).chain(component.all("EXRULE"));
    rules
        .map(|rule| RuleText::read(&rule.value, clock))
        .all(|rule| rule.is_ok_and(|rule| rule.later(shift).is_some_and(|later| later == rule)))
}
