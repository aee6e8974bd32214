//! Writes reminders as a calendar file.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Utc};
use contract::text::{is_blank, start};
use icalendar::Property;
use time_zone::Zone;

use super::{Exported, OWN_DOMAIN, vtimezone, x_properties};

const PRODUCT: &str =
    concat!("-//Reminders that arrive//reminder-service ", env!("CARGO_PKG_VERSION"), "//EN");
const MAX_SUMMARY: usize = 200;

/// Content lines, each folded and ended by CR LF (RFC 5545 §3.1).
#[derive(Debug, Default)]
pub(super) struct Lines(String);

impl Lines {
    /// Adds a property; the value is given without escapes.
    pub(super) fn property(
        &mut self,
        name: &str,
        parameters: &[(&str, &str)],
        value: impl Into<String>,
    ) {
        let mut property = Property::new(name, value);
        for (name, value) in parameters {
            property.add_parameter(name, value);
        }
        // Writing into a string does not fail.
        let line: Result<String, _> = property.try_into();
        self.0.push_str(&line.unwrap_or_default());
    }

    /// Adds a component.
    pub(super) fn component(&mut self, name: &str, content: impl FnOnce(&mut Self)) {
        self.property("BEGIN", &[], name);
        content(self);
        self.property("END", &[], name);
    }
}

/// A calendar file that is written in parts: a head with the zones that the events name, the
/// events, and a tail. [`read`](super::read) restores the same reminders. Times are written in UTC
/// if the zone is unknown, the local time is outside of the years 1 to 9999, or the head does not
/// cover the date.
#[derive(Debug, Default)]
pub struct Calendar {
    /// By name: the zone, and the first date that its definition covers.
    zones: BTreeMap<&'static str, (Zone, DateTime<Utc>)>,
    last: DateTime<Utc>,
}

impl Calendar {
    /// End of the file.
    pub const TAIL: &'static str = "END:VCALENDAR\r\n";

    /// A calendar whose events name these zones, each with its first and its last time.
    pub fn new(zones: impl IntoIterator<Item = (String, DateTime<Utc>, DateTime<Utc>)>) -> Self {
        let mut calendar = Self { zones: BTreeMap::new(), last: DateTime::<Utc>::MIN_UTC };
        for (name, first, last) in zones {
            let zone = zone_at(&name, first);
            if zone != Zone::UTC {
                let known = calendar.zones.entry(zone.name()).or_insert((zone, first));
                known.1 = known.1.min(first);
                calendar.last = calendar.last.max(last);
            }
        }
        calendar
    }

    /// Beginning of the file.
    #[must_use]
    pub fn head(&self) -> String {
        let mut lines = Lines::default();
        lines.property("BEGIN", &[], "VCALENDAR");
        lines.property("VERSION", &[], "2.0");
        lines.property("PRODID", &[], PRODUCT);
        lines.property("CALSCALE", &[], "GREGORIAN");
        for (zone, first) in self.zones.values() {
            vtimezone::write(&mut lines, *zone, *first, self.last);
        }
        lines.0
    }

    /// One reminder as an event of the file.
    #[must_use]
    pub fn event(&self, reminder: &Exported) -> String {
        let zone = zone_at(&reminder.time_zone, reminder.date);
        let is_covered =
            self.zones.get(zone.name()).is_some_and(|(_, first)| *first <= reminder.date);
        let clock = match reminder.is_floating && zone.name() == reminder.time_zone {
            true => Clock::Floating(zone),
            false => Clock::Fixed(if is_covered { zone } else { Zone::UTC }),
        };
        let mut lines = Lines::default();
        lines.component("VEVENT", |lines| event(lines, reminder, clock));
        lines.0
    }
}

/// Clock of the local times of a reminder.
#[derive(Debug, Clone, Copy)]
enum Clock {
    /// That of a zone, which each time names.
    Fixed(Zone),
    /// That of the user, which is in this zone now: times without a zone (RFC 5545 §3.3.5).
    Floating(Zone),
}

/// Writes a complete calendar of the reminders.
pub fn write(reminders: impl IntoIterator<Item = Exported>) -> String {
    let reminders: Vec<Exported> = reminders.into_iter().collect();
    // A series goes on after its start, at least until it was last changed.
    let fixed = reminders.iter().filter(|reminder| !reminder.is_floating);
    let spans = fixed.map(|reminder| {
        (reminder.time_zone.clone(), reminder.date, reminder.date.max(reminder.updated_at))
    });
    let calendar = Calendar::new(spans);
    let events: String = reminders.iter().map(|reminder| calendar.event(reminder)).collect();
    calendar.head() + &events + Calendar::TAIL
}

fn zone_at(name: &str, date: DateTime<Utc>) -> Zone {
    let zone = name.parse().unwrap_or(Zone::UTC);
    if (1..=9999).contains(&zone.wall_clock(date).year()) { zone } else { Zone::UTC }
}

fn event(lines: &mut Lines, reminder: &Exported, clock: Clock) {
    let (Clock::Fixed(zone) | Clock::Floating(zone)) = clock;
    lines.property("UID", &[], format!("{}{OWN_DOMAIN}", reminder.id));
    lines.property("DTSTAMP", &[], utc(reminder.updated_at));
    lines.property("CREATED", &[], utc(reminder.created_at));
    lines.property("LAST-MODIFIED", &[], utc(reminder.updated_at));
    lines.property("SEQUENCE", &[], (reminder.version - 1).max(0).to_string());
    time(lines, "DTSTART", zone.wall_clock(reminder.date), clock);
    if let Some(recurrence) = &reminder.recurrence {
        let rule = recurrence.rrule.trim();
        lines.property("RRULE", &[], rule.strip_prefix("RRULE:").unwrap_or(rule));
        for exdate in &recurrence.exdates {
            listed_date(lines, "EXDATE", exdate, clock);
        }
        for rdate in &recurrence.rdates {
            listed_date(lines, "RDATE", rdate, clock);
        }
    }
    let summary = reminder.title.clone().unwrap_or_else(|| summary_of(&reminder.message));
    lines.property("SUMMARY", &[], summary.as_str());
    lines.property("DESCRIPTION", &[], reminder.message.as_str());
    if let Some(url) = &reminder.url {
        lines.property("URL", &[], url.as_str());
    }
    for (name, value) in x_properties::properties(reminder) {
        lines.property(name, &[], value);
    }
    for offset in &reminder.notify_offsets {
        lines.component("VALARM", |lines| {
            lines.property("ACTION", &[], "DISPLAY");
            lines.property("DESCRIPTION", &[], summary.as_str());
            lines.property(
                "TRIGGER",
                &[],
                if *offset == 0 { "PT0S".to_owned() } else { format!("-PT{offset}M") },
            );
        });
    }
}

/// Summary of a reminder without a title: the first line of its message.
fn summary_of(message: &str) -> String {
    let line = message.lines().map(str::trim).find(|line| !is_blank(line)).unwrap_or("Reminder");
    let line: String = line.chars().filter(|character| !character.is_control()).collect();
    start(&line, MAX_SUMMARY).to_owned()
}

/// Writes an exclusion; a text in none of the forms of a reminder is left out.
fn listed_date(lines: &mut Lines, name: &str, text: &str, clock: Clock) {
    let local = |form| NaiveDateTime::parse_from_str(text, form).ok();
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        lines.property(name, &[], utc(at.to_utc()));
    } else if let Ok(day) = text.parse::<NaiveDate>() {
        lines.property(name, &[("VALUE", "DATE")], day.format("%Y%m%d").to_string());
    } else if let Some(local) =
        ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"].into_iter().find_map(local)
    {
        time(lines, name, local, clock);
    }
}

fn time(lines: &mut Lines, name: &str, local: NaiveDateTime, clock: Clock) {
    match clock {
        Clock::Floating(_) => lines.property(name, &[], basic(local)),
        Clock::Fixed(zone) if zone == Zone::UTC => {
            lines.property(name, &[], format!("{}Z", basic(local)));
        }
        Clock::Fixed(zone) => lines.property(name, &[("TZID", zone.name())], basic(local)),
    }
}

fn utc(at: DateTime<Utc>) -> String {
    format!("{}Z", basic(at.naive_utc()))
}

/// A local time in the basic format of RFC 5545 §3.3.5.
pub(super) fn basic(local: NaiveDateTime) -> String {
    local.format("%Y%m%dT%H%M%S").to_string()
}
