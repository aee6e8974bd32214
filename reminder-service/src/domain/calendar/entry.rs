//! One event or task of a calendar, as an entry.

use chrono::{DateTime, Datelike, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use time_zone::Zone;

use super::{
    Entry, MAX_UID, Problem,
    alarms::{self, Span},
    component::Component,
    default_title::Languages,
    defined,
    property::Property,
    recurring::{self, Clock},
    texts,
    times::{Moment, Shift, Stamp, duration},
    x_properties,
    zones::EntryZones,
};
use crate::domain::gap_start::leave_gap;

/// An event or a task before instances are merged into their series.
#[derive(Debug)]
pub(super) struct Candidate {
    /// The entry with its wall clock, or the reason for which it is rejected.
    pub(super) outcome: Result<(Entry, Clock), Rejection>,
    /// Instance of a series that it replaces.
    pub(super) replaces: Option<Moment>,
    /// Instance that it replaces as an instant, and its version; `None` if they cannot be read.
    pub(super) version: Option<(Option<DateTime<Utc>>, Version)>,
    /// `true` if it replaces all later instances of the series as well.
    pub(super) splits: bool,
    /// Parts that were left out: the line and the reason.
    pub(super) left_out: Vec<(usize, String)>,
}

/// Version of an entry: `SEQUENCE`, then `DTSTAMP` (RFC 5545 §3.8.7.4, §3.8.7.2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Number of the revision; the first is 0.
    pub sequence: i64,
    /// Time of the revision, or of the export if the product knows no other.
    pub stamp: Option<DateTime<Utc>>,
}

impl Version {
    fn of(component: &Component, zones: &EntryZones<'_>) -> Self {
        let sequence = component.one("SEQUENCE").and_then(|found| found.value.trim().parse().ok());
        let sequence = sequence.map(|sequence: u64| i64::try_from(sequence).unwrap_or(i64::MAX));
        let stamp = component.one("DTSTAMP").and_then(|found| Moment::read(found, zones).ok());
        let stamp = stamp.and_then(|stamp| stamp.instant(zones.floating()));
        Self { sequence: sequence.unwrap_or_default(), stamp }
    }

    /// Returns whether another version is newer. Without both times, equal numbers do not say so.
    #[must_use]
    pub fn is_older_than(self, other: Self) -> bool {
        let is_stamped_before =
            self.stamp.zip(other.stamp).is_some_and(|(stamp, other)| stamp < other);
        self.sequence < other.sequence || (self.sequence == other.sequence && is_stamped_before)
    }
}

/// Reason for which a component becomes no entry.
#[derive(Debug)]
pub(super) enum Rejection {
    /// It is completed or cancelled: an instance that it replaces does not take place.
    Over(Problem),
    /// It is completed or cancelled, and was excluded from its series; or it is a series of which
    /// each instance has an entry of its own.
    Excluded,
    /// A newer version of it is in the file, at the line.
    Older(usize),
    /// It cannot be imported.
    Refused(Problem),
}

impl Candidate {
    /// Reads a VEVENT or a VTODO.
    pub(super) fn read(
        component: &Component,
        zones: &EntryZones<'_>,
        languages: &Languages,
    ) -> Self {
        let mut left_out = component.parts_left_out().collect();
        let splits = splits(component);
        let (replaces, version, outcome) = match replaced(component, zones) {
            Err(problem) => (None, None, Err(Rejection::Refused(problem))),
            Ok(replaces) => {
                let outcome = match over(component) {
                    Some(problem) => Err(Rejection::Over(problem)),
                    None => {
                        let is_instance = replaces.is_some();
                        entry(component, zones, is_instance, languages, &mut left_out)
                            .map_err(Rejection::Refused)
                    }
                };
                let instance = replaces.map(|moment| moment.instant(zones.floating()));
                let version = match instance {
                    Some(None) => None,
                    instance => Some((instance.flatten(), Version::of(component, zones))),
                };
                (replaces, version, outcome)
            }
        };
        Self { outcome, replaces, version, splits, left_out }
    }
}

fn replaced(component: &Component, zones: &EntryZones<'_>) -> Result<Option<Moment>, Problem> {
    if !component.is_ended {
        let reason = format!("it has no END:{}; the file may be cut off", component.name);
        return Err(Problem::new(component.line, reason));
    }
    if component.uid().is_some_and(|uid| uid.chars().count() > MAX_UID) {
        return Err(Problem::new(component.line, "its UID has more than 1,000 characters"));
    }
    let Some(property) = component.one("RECURRENCE-ID") else { return Ok(None) };
    if property.parameter("RANGE").is_some() && !splits(component) {
        let reason = "it changes other instances of a series (RANGE) than all later ones";
        return Err(Problem::new(property.line, reason));
    }
    Moment::read(property, zones).map(Some)
}

/// Returns `true` if an instance stands for all later ones as well (`RANGE`, RFC 5545 §3.2.13).
fn splits(component: &Component) -> bool {
    component
        .one("RECURRENCE-ID")
        .and_then(|property| property.parameter("RANGE"))
        .is_some_and(|range| range.eq_ignore_ascii_case("THISANDFUTURE"))
}

fn over(component: &Component) -> Option<Problem> {
    let status = component.one("STATUS");
    let is = |word: &str| {
        status.is_some_and(|property| property.value.trim().eq_ignore_ascii_case(word))
    };
    let line = |found: Option<&Property>| found.map_or(component.line, |property| property.line);
    if is("CANCELLED") {
        return Some(Problem::new(line(status), "it is cancelled"));
    }
    let completed = component.one("COMPLETED");
    let is_completed = completed.is_some() || is("COMPLETED");
    is_completed.then(|| Problem::new(line(completed.or(status)), "it is completed"))
}

fn entry(
    component: &Component,
    zones: &EntryZones<'_>,
    is_instance: bool,
    languages: &Languages,
    left_out: &mut Vec<(usize, String)>,
) -> Result<(Entry, Clock), Problem> {
    let property = start_property(component)?;
    let start = Moment::read(property, zones)?;
    let rule = recurring::rules(component).next();
    // A change of all later instances may have a rule of its own.
    let is_instance = is_instance && !(splits(component) && rule.is_some());
    // A rule in a zone that no known zone follows.
    let definition = rule.filter(|_| !is_instance).and_then(|_| zones.definition_of(property));
    let repeats = rule.or_else(|| component.one("RDATE"));
    let recurs = repeats.is_some() && !is_instance;
    let zone = zone_of(start, zones, recurs);
    let is_all_day = matches!(start.stamp, Stamp::Day(_));
    let has_zone = start.zone.is_some() || matches!(start.stamp, Stamp::Utc(_));
    let is_floating = zones.is_floating && !has_zone;
    if is_floating && !zones.is_known {
        let reason = "it is in the time zone of your preferences, which is not known";
        return Err(Problem::new(component.line, reason));
    }
    let mut clock = Clock { zone, is_all_day, shift: Shift::default(), has_midnights: true };
    let out_of_range = || {
        Problem::new(property.line, format!("{} is outside of the years 1 to 9999", property.name))
    };
    let begins = start.instant(zone).ok_or_else(out_of_range)?;
    let end = end_of(component, begins, clock, zones);
    let mut span = Span { date: begins, start: begins, end, clock, recurs };
    let mut alarms = alarms::read(component, span, zones);
    // Alarms of a task may be relative to its end, which is when it is due.
    if alarms.has_later
        && definition.is_none()
        && let Some((end, shift)) = due_of_task(component, span)
    {
        clock.shift = shift;
        span = Span { date: end, clock, ..span };
        alarms = alarms::read(component, span, zones);
    }
    let date = date_of(start, span.date, alarms.after_midnight, zone)
        .filter(|date| (1..=9999).contains(&date.year()));
    let written =
        local_date(start, alarms.after_midnight).filter(|_| clock.shift == Shift::default());
    let recurrence = if is_instance {
        left_out.extend(rules_left_out(component));
        None
    } else {
        let start = written.unwrap_or_else(|| zone.wall_clock(date.unwrap_or(span.date)));
        match definition {
            Some(definition) => {
                Some(defined::read(component, property, &definition, clock, zones, left_out)?)
            }
            None => recurring::read(component, clock, start, zones, left_out)?,
        }
    };
    let (mut recurrence, clock) = match recurrence {
        Some((recurrence, clock)) => (Some(recurrence), clock),
        None => (None, clock),
    };
    let moved = written.zip(recurrence.as_mut());
    let moved = moved.and_then(|(written, recurrence)| leave_gap(written, zone, recurrence));
    let date = moved.or(date);
    let texts = texts::read(component, languages, left_out);
    left_out.extend(alarms.left_out);
    let mut entry = Entry {
        line: component.line,
        uid: component.uid().map(str::to_owned),
        instance: None,
        version: Version::of(component, zones),
        date: date.ok_or_else(out_of_range)?,
        time_zone: zone.name().to_owned(),
        is_floating,
        recurrence,
        notify_offsets: alarms.offsets,
        title: texts.title,
        message: texts.message,
        url: texts.url,
        channels: alarms.channels,
        email_alarm: alarms.email_line,
        data: Default::default(),
        expires_after_minutes: None,
        priority: None,
        locale: None,
    };
    x_properties::restore(&mut entry, component, left_out);
    Ok((entry, clock))
}

/// Notes of the rules of an instance, which has none.
fn rules_left_out(component: &Component) -> impl Iterator<Item = (usize, String)> {
    let names = ["RRULE", "RDATE", "EXDATE", "EXRULE"].into_iter();
    let rules = names.flat_map(|name| component.properties.iter().filter(move |p| p.name == name));
    let rules = rules.filter(|rule| !rule.value.trim().is_empty());
    rules.map(|rule| {
        let name = &rule.name;
        let kind = if name == "RRULE" { "the rule (RRULE)" } else { name.as_str() };
        (rule.line, format!("{kind} of a single instance was left out"))
    })
}

fn start_property(component: &Component) -> Result<&Property, Problem> {
    let start = component.one("DTSTART");
    if component.name == "VTODO" {
        let due = || component.one("DUE");
        return start
            .or_else(due)
            .ok_or_else(|| Problem::new(component.line, "it has neither a DTSTART nor a DUE"));
    }
    start.ok_or_else(|| Problem::new(component.line, "it has no DTSTART"))
}

fn zone_of(start: Moment, zones: &EntryZones<'_>, recurs: bool) -> Zone {
    match start.stamp {
        Stamp::Utc(_) => start.zone.or(zones.calendar.filter(|_| !recurs)).unwrap_or(Zone::UTC),
        Stamp::Day(_) | Stamp::Local(_) => start.zone.unwrap_or_else(|| zones.floating()),
    }
}

/// End of the entry (RFC 5545 §3.6.1, §3.6.2); `None` if it cannot be read.
fn end_of(
    component: &Component,
    begins: DateTime<Utc>,
    clock: Clock,
    zones: &EntryZones<'_>,
) -> Option<DateTime<Utc>> {
    let name = if component.name == "VTODO" { "DUE" } else { "DTEND" };
    if let Some(property) = component.one(name) {
        return Moment::read(property, zones).ok()?.instant(clock.zone);
    }
    if let Some(property) = component.one("DURATION") {
        return begins.checked_add_signed(duration(&property.value)?);
    }
    let is_day = clock.is_all_day && component.name == "VEVENT";
    begins.checked_add_signed(if is_day { TimeDelta::days(1) } else { TimeDelta::zero() })
}

/// End of a task that begins before it and has no whole days, and its difference to the start;
/// `None` if the rule of the task would mean other instances.
fn due_of_task(component: &Component, span: Span) -> Option<(DateTime<Utc>, Shift)> {
    let end = span.end.filter(|end| component.name == "VTODO" && *end > span.start)?;
    let zone = span.clock.zone;
    let (begins, ends) = (zone.wall_clock(span.start), zone.wall_clock(end));
    let days = ends.date().signed_duration_since(begins.date()).num_days();
    let shift = Shift { time: ends.signed_duration_since(begins), days };
    let is_shiftable = !span.recurs || recurring::can_be_later(component, span.clock, shift);
    (!span.clock.is_all_day && is_shiftable).then_some((end, shift))
}

fn date_of(
    start: Moment,
    begins: DateTime<Utc>,
    after_midnight: i64,
    zone: Zone,
) -> Option<DateTime<Utc>> {
    match start.stamp {
        Stamp::Day(_) => zone.instant(local_date(start, after_midnight)?),
        Stamp::Local(_) | Stamp::Utc(_) => Some(begins),
    }
}

/// The due date as a local time; `None` if the file has an instant.
fn local_date(start: Moment, after_midnight: i64) -> Option<NaiveDateTime> {
    match start.stamp {
        Stamp::Day(day) => {
            day.and_time(NaiveTime::MIN).checked_add_signed(TimeDelta::minutes(after_midnight))
        }
        Stamp::Local(local) => Some(local),
        Stamp::Utc(_) => None,
    }
}
