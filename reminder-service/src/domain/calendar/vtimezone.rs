//! Writes the offsets of a zone as a VTIMEZONE (RFC 5545 §3.6.5), for products that do not know the
//! name of the zone.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, TimeDelta, Utc, Weekday};
use time_zone::Zone;

use super::write::{Lines, basic};

/// In 28 years every date falls on every day of the week, so a rule that fits all of them is the
/// rule of the zone.
const RULE_YEARS: i32 = 28;
/// From then on, the changes of every zone follow its last rule.
const LAST_SINGLE_YEAR: i32 = 2100;

/// A period of one offset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Observance {
    is_summer: bool,
    from_seconds: i32,
    to_seconds: i32,
    /// Abbreviation, if the zone has a usual one; the database has the offset for others.
    name: Option<String>,
}

/// Writes a zone for times from `first` on. Yearly changes are written as rules without an end;
/// others as single dates, up to 28 years after `last` or after the last one.
pub(super) fn write(lines: &mut Lines, zone: Zone, first: DateTime<Utc>, last: DateTime<Utc>) {
    let until = last.year().min(first.year().max(LAST_SINGLE_YEAR)) + RULE_YEARS;
    lines.component("VTIMEZONE", |lines| {
        lines.property("TZID", &[], zone.name());
        lines.property("X-LIC-LOCATION", &[], zone.name());
        let day_before = first.checked_sub_days(Days::new(1));
        let since = day_before.filter(|day| day.year() > 0).unwrap_or(first);
        let at_first = observed(zone, since);
        let local = (since + TimeDelta::seconds(at_first.to_seconds.into())).naive_utc();
        observance(lines, &at_first, &[local], None);
        for (kind, onsets) in changes(zone, since, until) {
            let (single, yearly) = onsets.split_at(yearly_from(&onsets, until));
            if !single.is_empty() {
                observance(lines, &kind, single, None);
            }
            if !yearly.is_empty() {
                observance(lines, &kind, yearly, Rule::of(yearly));
            }
        }
    });
}

fn observance(lines: &mut Lines, kind: &Observance, onsets: &[NaiveDateTime], rule: Option<Rule>) {
    let Some((first, others)) = onsets.split_first() else { return };
    lines.component(if kind.is_summer { "DAYLIGHT" } else { "STANDARD" }, |lines| {
        lines.property("DTSTART", &[], basic(*first));
        lines.property("TZOFFSETFROM", &[], offset(kind.from_seconds));
        lines.property("TZOFFSETTO", &[], offset(kind.to_seconds));
        if let Some(name) = &kind.name {
            lines.property("TZNAME", &[], name.as_str());
        }
        if let Some(rule) = rule {
            lines.property("RRULE", &[], rule.text());
        } else if !others.is_empty() {
            lines.property(
                "RDATE",
                &[],
                others.iter().copied().map(basic).collect::<Vec<_>>().join(","),
            );
        }
    });
}

fn offset(seconds: i32) -> String {
    let (sign, of_day) = (if seconds < 0 { '-' } else { '+' }, seconds.abs());
    let (hours, minutes, seconds) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    let seconds = if seconds == 0 { String::new() } else { format!("{seconds:02}") };
    format!("{sign}{hours:02}{minutes:02}{seconds}")
}

/// The observance at an instant, with the same offset before and after.
fn observed(zone: Zone, at: DateTime<Utc>) -> Observance {
    let observance = zone.observance_at(at);
    let is_word = observance.abbreviation.starts_with(|first: char| first.is_ascii_alphabetic());
    Observance {
        is_summer: observance.is_daylight_saving,
        from_seconds: observance.offset,
        to_seconds: observance.offset,
        name: is_word.then_some(observance.abbreviation),
    }
}

/// The onsets of each observance after `since`, in local time by the offset before the onset
/// (RFC 5545 §3.6.5).
fn changes(
    zone: Zone,
    since: DateTime<Utc>,
    until: i32,
) -> BTreeMap<Observance, Vec<NaiveDateTime>> {
    let mut changes: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut before = observed(zone, since);
    for onset in zone.entries_after(since).take_while(|onset| onset.year() <= until) {
        let after = observed(zone, onset);
        if after != before {
            let local = (onset + TimeDelta::seconds(before.to_seconds.into())).naive_utc();
            let kind = Observance { from_seconds: before.to_seconds, ..after.clone() };
            changes.entry(kind).or_default().push(local);
        }
        before = after;
    }
    changes
}

/// Index of the first of the last onsets that one rule yields; the length if no rule yields them.
fn yearly_from(onsets: &[NaiveDateTime], until: i32) -> usize {
    let goes_on = onsets.last().is_some_and(|last| last.year() >= until - 1);
    let enough = usize::try_from(RULE_YEARS).unwrap_or(usize::MAX);
    if !goes_on {
        return onsets.len();
    }
    // A rule that does not fit some of the onsets does not fit more of them either.
    let fits = |from: &usize| onsets.get(*from..).is_some_and(|last| Rule::of(last).is_some());
    let from = (0..onsets.len()).rev().take_while(fits);
    from.last().filter(|from| onsets.len() - from >= enough).unwrap_or(onsets.len())
}

/// A yearly rule for a change of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rule {
    month: u32,
    weekday: Weekday,
    day: Day,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Day {
    /// The last such day of the week in the month.
    Last,
    /// The first such day of the week from this day of the month on.
    From(u32),
}

impl Rule {
    /// The rule that yields all of these, one in each year.
    fn of(onsets: &[NaiveDateTime]) -> Option<Self> {
        let first = onsets.first()?;
        let parts = |onset: &NaiveDateTime| (onset.month(), onset.weekday(), onset.time());
        let alike = |onset: &NaiveDateTime| parts(onset) == parts(first);
        let is_yearly = onsets
            .windows(2)
            .all(|pair| matches!(pair, [one, next] if next.year() == one.year() + 1));
        if !is_yearly || !onsets.iter().all(alike) {
            return None;
        }
        let (earliest, latest) =
            (onsets.iter().map(Datelike::day).min()?, onsets.iter().map(Datelike::day).max()?);
        let day = if onsets.iter().all(|onset| is_in_last_week(onset.date())) {
            Day::Last
        } else if latest - earliest < 7 {
            // Of the weeks that contain all onsets, prefer the n-th of the month, as rules do.
            Day::From(if latest <= earliest.div_ceil(7) * 7 {
                (earliest - 1) / 7 * 7 + 1
            } else {
                earliest
            })
        } else {
            return None;
        };
        Some(Self { month: first.month(), weekday: first.weekday(), day })
    }

    fn text(self) -> String {
        let weekday = match self.weekday {
            Weekday::Mon => "MO",
            Weekday::Tue => "TU",
            Weekday::Wed => "WE",
            Weekday::Thu => "TH",
            Weekday::Fri => "FR",
            Weekday::Sat => "SA",
            Weekday::Sun => "SU",
        };
        let month = self.month;
        match self.day {
            Day::Last => format!("FREQ=YEARLY;BYMONTH={month};BYDAY=-1{weekday}"),
            Day::From(day) if day % 7 == 1 && day < 28 => {
                format!("FREQ=YEARLY;BYMONTH={month};BYDAY={}{weekday}", day / 7 + 1)
            }
            Day::From(day) => {
                let days: Vec<_> = (day..day + 7).map(|day| day.to_string()).collect();
                format!("FREQ=YEARLY;BYMONTH={month};BYMONTHDAY={};BYDAY={weekday}", days.join(","))
            }
        }
    }
}

fn is_in_last_week(date: NaiveDate) -> bool {
    let next_month = date.with_day(1).and_then(|first| first.checked_add_months(Months::new(1)));
    next_month.is_some_and(|next| (next - date).num_days() <= 7)
}
