//! Recurrence of an entry: its rule and its exclusions.

use std::collections::HashSet;

use chrono::{NaiveDateTime, SecondsFormat};
use contract::{FoldPolicy, GapPolicy, Recurrence};
use time_zone::{Instants, Zone};

use super::{
    Problem,
    component::Component,
    property::Property,
    shown,
    times::{Moment, Shift, Stamp},
    zones::EntryZones,
};

const MAX_RULE: usize = 1_000;
/// Largest number of exclusions of a series, and of dates beside its rule.
pub(super) const MAX_LISTED_DATES: usize = 1_000;
/// Rule of a series of listed dates alone: its start, which iCalendar counts among its instances.
const ONLY_START: &str = "FREQ=DAILY;COUNT=1";
const FREQUENCIES: [&str; 7] =
    ["SECONDLY", "MINUTELY", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY"];

/// The wall clock of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clock {
    pub(super) zone: Zone,
    pub(super) is_all_day: bool,
    /// Difference between DTSTART and the time at which the reminder is due.
    pub(super) shift: Shift,
}

/// Reads the recurrence of an entry; `None` if it has neither a rule nor listed dates. Malformed
/// dates are left out and reported.
///
/// # Errors
/// When it recurs in a way that a reminder cannot.
pub(super) fn read(
    component: &Component,
    clock: Clock,
    zones: &EntryZones<'_>,
    left_out: &mut Vec<(usize, String)>,
) -> Result<Option<Recurrence>, Problem> {
    if let Some(property) = component.one("EXRULE") {
        let reason = "it excludes instances by a rule (EXRULE), which reminders do not support";
        return Err(Problem::new(property.line, reason));
    }
    let mut rules = rules(component);
    let rule = rules.next();
    if let Some(second) = rules.next() {
        return Err(Problem::new(
            second.line,
            "it has several rules (RRULE), and a reminder can have one",
        ));
    }
    let rdates = listed_dates(component, "RDATE", clock, zones, left_out)?;
    let rrule = match rule {
        Some(rule) => {
            checked(&rule.value, clock).map_err(|reason| Problem::new(rule.line, reason))?
        }
        None if rdates.is_empty() => return Ok(None),
        None => ONLY_START.to_owned(),
    };
    let exdates = listed_dates(component, "EXDATE", clock, zones, left_out)?;
    let (gap, fold) = (GapPolicy::default(), FoldPolicy::default());
    Ok(Some(Recurrence { rrule, exdates, rdates, gap, fold }))
}

/// Reads the dates of all properties of a name, each once. Malformed ones are left out and
/// reported.
///
/// # Errors
/// When there are more than a reminder can have.
fn listed_dates(
    component: &Component,
    name: &str,
    clock: Clock,
    zones: &EntryZones<'_>,
    left_out: &mut Vec<(usize, String)>,
) -> Result<Vec<String>, Problem> {
    let (mut dates, mut known) = (Vec::new(), HashSet::new());
    for property in component.all(name) {
        let (moments, problem) = Moment::read_all(property, zones);
        left_out.extend(problem.map(|problem| (problem.line, problem.reason)));
        for moment in moments {
            dates.extend(listed_date(moment, clock).filter(|date| known.insert(date.clone())));
            if dates.len() > MAX_LISTED_DATES {
                let reason = format!("it lists more than 1,000 dates ({name})");
                return Err(Problem::new(property.line, reason));
            }
        }
    }
    Ok(dates)
}

/// The rules of a component without the empty ones that some products write.
pub(super) fn rules(component: &Component) -> impl Iterator<Item = &Property> {
    component.all("RRULE").filter(|rule| !rule.value.trim().is_empty())
}

/// Adds an exclusion unless the list has it.
pub(super) fn add_exclusion(exdates: &mut Vec<String>, exclusion: Option<String>) {
    exdates.extend(exclusion.filter(|exclusion| !exdates.contains(exclusion)));
}

/// Listed date in the form that a reminder uses: a whole day, a local time in its zone, or the
/// instant if the local time occurs twice and the file names one of the two.
pub(super) fn listed_date(moment: Moment, clock: Clock) -> Option<String> {
    let moment = moment.later(clock.shift)?;
    match moment.stamp {
        stamp if clock.is_all_day => Some(stamp.day_in(clock.zone).to_string()),
        Stamp::Day(day) => Some(day.to_string()),
        Stamp::Local(local) if moment.zone.is_none_or(|zone| zone == clock.zone) => {
            Some(local_time(local))
        }
        Stamp::Local(_) | Stamp::Utc(_) => moment.instant(clock.zone).map(|at| {
            let local = clock.zone.wall_clock(at);
            match clock.zone.instants(local) {
                Some(Instants::Fold { .. }) => at.to_rfc3339_opts(SecondsFormat::Secs, true),
                _ => local_time(local),
            }
        }),
    }
}

fn local_time(local: NaiveDateTime) -> String {
    local.format("%Y-%m-%dT%H:%M:%S").to_string()
}

/// Returns the rule in normal form.
///
/// # Errors
/// If the syntax is malformed.
fn checked(text: &str, clock: Clock) -> Result<String, String> {
    let text = text.trim().trim_end_matches(';');
    if text.len() > MAX_RULE {
        return Err("its rule (RRULE) has more than 1,000 characters".to_owned());
    }
    let malformed = || format!("its rule (RRULE) cannot be read: {}", shown(text));
    let (mut parts, mut names) = (Vec::new(), Vec::new());
    for part in text.split(';') {
        let (name, value) = part.split_once('=').ok_or_else(malformed)?;
        let (name, value) = (name.trim().to_ascii_uppercase(), value.trim().to_ascii_uppercase());
        let fits = match name.as_str() {
            "" => false,
            "FREQ" => FREQUENCIES.contains(&value.as_str()),
            _ => !value.is_empty() && !value.contains('='),
        };
        if !fits || names.contains(&name) {
            return Err(malformed());
        }
        let value = if name == "UNTIL" && clock.is_all_day {
            last_day(&value, clock).ok_or_else(malformed)?
        } else if name == "UNTIL" && clock.shift != Shift::default() {
            later(&value, clock.shift).ok_or_else(malformed)?
        } else {
            value
        };
        parts.push(format!("{name}={value}"));
        names.push(name);
    }
    if names.iter().any(|name| name == "FREQ") { Ok(parts.join(";")) } else { Err(malformed()) }
}

/// `UNTIL` of a series of whole days: a day (RFC 5545 §3.3.10). Some products write an instant.
fn last_day(until: &str, clock: Clock) -> Option<String> {
    Stamp::parse(until).map(|stamp| stamp.day_in(clock.zone).format("%Y%m%d").to_string())
}

/// `UNTIL` of a series whose reminder is due later than its start.
fn later(until: &str, shift: Shift) -> Option<String> {
    let until = Moment { stamp: Stamp::parse(until)?, zone: None };
    Some(match until.later(shift)?.stamp {
        Stamp::Day(day) => day.format("%Y%m%d").to_string(),
        Stamp::Local(local) => local.format("%Y%m%dT%H%M%S").to_string(),
        Stamp::Utc(at) => at.format("%Y%m%dT%H%M%SZ").to_string(),
    })
}

/// Returns `true` if the rules of a component yield the same instances, each later by `shift`,
/// when they start later by it.
pub(super) fn can_be_later(component: &Component, shift: Shift) -> bool {
    rules(component).all(|rule| {
        let rule = rule.value.to_ascii_uppercase();
        let mut parts = rule.split(';').filter_map(|part| part.trim().split_once('='));
        let frequency = rule.split(';').find_map(|part| part.trim().strip_prefix("FREQ="));
        let is_of = |names: &[&str]| frequency.is_some_and(|frequency| names.contains(&frequency));
        if shift.days == 0 {
            let of_time = ["BYHOUR", "BYMINUTE", "BYSECOND"];
            is_of(&["DAILY", "WEEKLY", "MONTHLY", "YEARLY"])
                && !parts.any(|(name, _)| of_time.contains(&name))
        } else {
            is_of(&["DAILY", "WEEKLY"]) && !parts.any(|(name, _)| name.starts_with("BY"))
        }
    })
}
