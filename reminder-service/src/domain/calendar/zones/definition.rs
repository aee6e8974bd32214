//! Definition of a time zone in a file (VTIMEZONE, RFC 5545 §3.6.5): its offsets, and the instants
//! at which they change.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use recurrence::{Rule, Series};
use time_zone::Zone;

use super::work::Work;
use crate::domain::calendar::{component::Component, property::Property, times::Stamp};

/// Observances of one definition that are read. Definitions with the whole history of a zone have
/// up to 170.
const MAX_OBSERVANCES: usize = 200;
/// Single onsets (`RDATE`) of one observance that are read.
const MAX_ONSETS: usize = 1_000;
/// The largest offset, in seconds.
const MAX_OFFSET: i64 = 24 * 3_600;
/// Parts that rules of observances have. Their searches are short.
const RULE_PARTS: [&str; 8] =
    ["FREQ", "INTERVAL", "COUNT", "UNTIL", "BYMONTH", "BYMONTHDAY", "BYDAY", "WKST"];

/// Time zone as a file defines it.
#[derive(Debug)]
pub(in crate::domain::calendar) struct Definition {
    observances: Vec<Observance>,
}

/// Offset that begins at certain local times.
#[derive(Debug)]
struct Observance {
    /// Offset before an onset, in seconds.
    from: i64,
    /// Offset from an onset on, in seconds.
    to: i64,
    /// Single onsets in order, in local time by the offset before; never empty.
    onsets: Vec<NaiveDateTime>,
    /// Onsets of the rules, with the local times as if they were UTC.
    rules: Vec<Series>,
}

/// A change of the offset: the first instant with the new offset, in seconds.
pub(super) type Change = (DateTime<Utc>, i64);

impl Definition {
    /// Zone that always has one offset.
    pub(super) fn fixed(offset: i64) -> Self {
        let onsets = vec![NaiveDateTime::MIN];
        let (from, to, rules) = (offset, offset, Vec::new());
        Self { observances: vec![Observance { from, to, onsets, rules }] }
    }

    /// Reads a VTIMEZONE; `None` if one of its observances cannot be read, or there are none.
    pub(super) fn read(component: &Component, work: &Work) -> Option<Self> {
        let is_observance =
            |child: &&Component| ["STANDARD", "DAYLIGHT"].contains(&child.name.as_str());
        let observances = component.components.iter().filter(is_observance);
        let observances: Vec<_> = observances.take(MAX_OBSERVANCES + 1).collect();
        let is_only = observances.len() == 1;
        let observances: Option<Vec<_>> =
            observances.into_iter().map(|child| Observance::read(child, is_only, work)).collect();
        let observances =
            observances.filter(|observances| (1..=MAX_OBSERVANCES).contains(&observances.len()))?;
        Some(Self { observances })
    }

    /// The only offset, if there is no other.
    pub(super) fn only_offset(&self) -> Option<i64> {
        let first = self.observances.first()?.to;
        self.observances.iter().all(|observance| observance.to == first).then_some(first)
    }

    /// Number of observances, which each conversion goes through.
    pub(super) fn len(&self) -> usize {
        self.observances.len()
    }

    /// The first onset.
    pub(super) fn first_onset(&self) -> Option<DateTime<Utc>> {
        self.observances.iter().filter_map(Observance::first).min()
    }

    /// Offset at an instant, in seconds. Before the first onset, it is the one before that.
    pub(super) fn offset_at(&self, at: DateTime<Utc>) -> i64 {
        let last = self.observances.iter().filter_map(|one| Some((one.last_until(at)?, one.to)));
        if let Some((_, offset)) = last.max_by_key(|(onset, _)| *onset) {
            return offset;
        }
        let first = self.observances.iter().min_by_key(|one| one.first());
        first.map_or(0, |first| first.from)
    }

    /// Local time of an instant.
    pub(in crate::domain::calendar) fn local(&self, at: DateTime<Utc>) -> Option<NaiveDateTime> {
        at.naive_utc().checked_add_signed(TimeDelta::try_seconds(self.offset_at(at))?)
    }

    /// Changes of the offset after an instant, up to another; `None` if there are more than `most`.
    pub(super) fn changes(
        &self,
        after: DateTime<Utc>,
        until: DateTime<Utc>,
        most: usize,
    ) -> Option<Vec<Change>> {
        let mut onsets = Vec::new();
        for observance in &self.observances {
            let found = observance.onsets_between(after, until);
            onsets.extend(found.take(most + 1).map(|onset| (onset, observance.to)));
            if onsets.len() > 2 * most {
                return None;
            }
        }
        onsets.sort_unstable();
        let mut offset = self.offset_at(after);
        onsets.retain(|(_, to)| std::mem::replace(&mut offset, *to) != *to);
        Some(onsets)
    }

    /// Instant of a local time by RFC 5545 §3.3.5: the first of two; in a gap, the one by the
    /// offset before. Two changes are more than two days apart.
    pub(in crate::domain::calendar) fn instant(
        &self,
        local: NaiveDateTime,
    ) -> Option<DateTime<Utc>> {
        let by = |offset: i64| {
            Some(local.checked_sub_signed(TimeDelta::try_seconds(offset)?)?.and_utc())
        };
        let near = TimeDelta::hours(26);
        let before = self.offset_at(local.and_utc().checked_sub_signed(near)?);
        let after = self.offset_at(local.and_utc().checked_add_signed(near)?);
        let (earlier, later) = (by(before)?, by(after)?);
        let is_later = self.offset_at(earlier) != before && self.offset_at(later) == after;
        Some(if is_later { later } else { earlier })
    }
}

impl Observance {
    /// Reads a STANDARD or a DAYLIGHT. Some products leave out the offset before, or the start.
    /// Without a start, the onset of one among several observances is not known.
    fn read(component: &Component, is_only: bool, work: &Work) -> Option<Self> {
        let to = offset(&component.one("TZOFFSETTO")?.value)?;
        let from = component.one("TZOFFSETFROM").map_or(Some(to), |from| offset(&from.value))?;
        let has_rule = component.all("RRULE").any(|rule| !rule.value.trim().is_empty());
        let start = match component.one("DTSTART") {
            Some(start) => local(Stamp::parse(&start.value)?, from)?,
            None if is_only || has_rule => NaiveDate::from_ymd_opt(1970, 1, 1)?.into(),
            None => return None,
        };
        let mut onsets = vec![start];
        for property in component.all("RDATE") {
            for value in property.value.split(',').filter(|value| !value.trim().is_empty()) {
                // Of a period, the start counts.
                let value = value.split('/').next()?;
                onsets.push(local(Stamp::parse(value)?, from)?);
                if onsets.len() > MAX_ONSETS {
                    return None;
                }
            }
        }
        onsets.sort_unstable();
        let rules = component.all("RRULE").filter(|rule| !rule.value.trim().is_empty());
        let rules: Option<Vec<_>> = rules.map(|rule| series(rule, start, from, work)).collect();
        Some(Self { from, to, onsets, rules: rules? })
    }

    /// The onset of a local time.
    fn onset(&self, local: NaiveDateTime) -> Option<DateTime<Utc>> {
        Some(local.checked_sub_signed(TimeDelta::seconds(self.from))?.and_utc())
    }

    /// The local time of an instant by the offset before, as if it were UTC.
    fn before(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        at.checked_add_signed(TimeDelta::seconds(self.from)).unwrap_or(at)
    }

    fn first(&self) -> Option<DateTime<Utc>> {
        let first = self.onsets.first()?;
        Some(self.onset(*first).unwrap_or(DateTime::<Utc>::MIN_UTC))
    }

    fn last_until(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let until = self.before(at);
        let passed = self.onsets.partition_point(|onset| onset.and_utc() <= until);
        let single = passed.checked_sub(1).and_then(|last| self.onsets.get(last));
        let ruled = self.rules.iter().filter_map(|rule| rule.last_until(until)).max();
        let last = single.copied().max(ruled.map(|last| last.naive_utc()))?;
        Some(self.onset(last).unwrap_or(DateTime::<Utc>::MIN_UTC))
    }

    fn onsets_between(
        &self,
        after: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> impl Iterator<Item = DateTime<Utc>> {
        let (after, until) = (self.before(after), self.before(until));
        let single = self.onsets.iter().map(NaiveDateTime::and_utc);
        let single = single.filter(move |onset| *onset > after && *onset <= until);
        let ruled = self
            .rules
            .iter()
            .flat_map(move |rule| rule.after(after).take_while(move |onset| *onset <= until));
        single.chain(ruled).filter_map(|onset| self.onset(onset.naive_utc()))
    }
}

/// Local time of a stamp, which is in UTC only against the standard.
fn local(stamp: Stamp, offset: i64) -> Option<NaiveDateTime> {
    match stamp {
        Stamp::Day(day) => Some(day.and_time(NaiveTime::MIN)),
        Stamp::Local(local) => Some(local),
        Stamp::Utc(at) => at.naive_utc().checked_add_signed(TimeDelta::seconds(offset)),
    }
}

/// Onsets of a rule from `start` on. Its `UNTIL` is in UTC (RFC 5545 §3.6.5).
fn series(property: &Property, start: NaiveDateTime, offset: i64, work: &Work) -> Option<Series> {
    if !work.spend(Work::RULE) {
        return None;
    }
    let text = property.value.trim().trim_end_matches(';').to_ascii_uppercase();
    let mut parts = Vec::new();
    for part in text.split(';') {
        let (name, value) = part.split_once('=')?;
        if !RULE_PARTS.contains(&name) || (name == "FREQ" && value != "YEARLY") {
            return None;
        }
        parts.push(match (name, Stamp::parse(value)) {
            ("UNTIL", Some(stamp @ Stamp::Utc(_))) => {
                let until = local(stamp, offset).filter(|until| until.year() <= 9_999)?;
                format!("UNTIL={}", until.format("%Y%m%dT%H%M%S"))
            }
            _ => part.to_owned(),
        });
    }
    let rrule = parts.join(";");
    let rule = Rule { rrule: &rrule, ..Rule::default() };
    Series::new(start.and_utc(), Zone::UTC, rule).ok()
}

/// Seconds of an offset: `+0100`, `-033000`; some products write `+01:00`, `+1:00` or `+01`.
pub(super) fn offset(text: &str) -> Option<i64> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = digits.replace([':', '.'], "");
    // Only the hours may have one digit.
    let digits = if digits.len() % 2 == 1 { format!("0{digits}") } else { digits };
    let is_offset = (2..=6).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_digit());
    let part = |at: usize| digits.get(at..at + 2).map_or(Some(0), |part| part.parse::<i64>().ok());
    let (hours, minutes, seconds) = (part(0)?, part(2)?, part(4)?);
    let total = hours * 3_600 + minutes * 60 + seconds;
    (is_offset && minutes < 60 && seconds < 60 && total <= MAX_OFFSET).then_some(sign * total)
}
