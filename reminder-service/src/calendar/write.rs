//! Reminders as a calendar file.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Utc};
use chrono_tz::Tz;
use icalendar::Property;

use super::{Exported, ours, times::wall_clock, vtimezone};

const PRODUCT: &str = concat!("-//Reminders that arrive//reminder-service ", env!("CARGO_PKG_VERSION"), "//EN");
const MAX_SUMMARY: usize = 200;

/// Content lines, each folded and ended by CR LF (RFC 5545 §3.1).
#[derive(Debug, Default)]
pub(super) struct Lines(String);

impl Lines {
    /// A property. A text is given without escapes.
    pub(super) fn property(&mut self, name: &str, parameters: &[(&str, &str)], value: impl Into<String>) {
        let mut property = Property::new(name, value);
        for (name, value) in parameters {
            property.add_parameter(name, value);
        }
        // Writing into a text does not fail.
        let line: Result<String, _> = property.try_into();
        self.0.push_str(&line.unwrap_or_default());
    }

    /// A component.
    pub(super) fn component(&mut self, name: &str, content: impl FnOnce(&mut Self)) {
        self.property("BEGIN", &[], name);
        content(self);
        self.property("END", &[], name);
    }
}

/// A calendar of the reminders, which [`read`](super::read) reads as they were. A zone whose name is not known is written as
/// UTC, and so is a wall clock that has left the years 1 to 9999.
pub fn write(reminders: impl IntoIterator<Item = Exported>) -> String {
    let (mut events, mut earliest, mut latest) = (Lines::default(), BTreeMap::new(), DateTime::<Utc>::MIN_UTC);
    for reminder in reminders {
        let zone = zone_of(&reminder);
        if zone != Tz::UTC {
            let first = earliest.entry(zone.name()).or_insert((zone, reminder.date));
            first.1 = first.1.min(reminder.date);
            // A series goes on after its start: it was still kept when it was last changed.
            latest = latest.max(reminder.date).max(reminder.updated_at);
        }
        events.component("VEVENT", |lines| event(lines, &reminder, zone));
    }
    let mut calendar = Lines::default();
    calendar.component("VCALENDAR", |lines| {
        lines.property("VERSION", &[], "2.0");
        lines.property("PRODID", &[], PRODUCT);
        lines.property("CALSCALE", &[], "GREGORIAN");
        for (zone, first) in earliest.into_values() {
            vtimezone::write(lines, zone, first, latest);
        }
        lines.0.push_str(&events.0);
    });
    calendar.0
}

fn zone_of(reminder: &Exported) -> Tz {
    let zone = reminder.time_zone.parse().unwrap_or(Tz::UTC);
    if (1..=9999).contains(&wall_clock(reminder.date, zone).year()) { zone } else { Tz::UTC }
}

fn event(lines: &mut Lines, reminder: &Exported, zone: Tz) {
    lines.property("UID", &[], format!("{}@reminders", reminder.id));
    lines.property("DTSTAMP", &[], utc(reminder.updated_at));
    lines.property("CREATED", &[], utc(reminder.created_at));
    lines.property("LAST-MODIFIED", &[], utc(reminder.updated_at));
    lines.property("SEQUENCE", &[], (reminder.version - 1).max(0).to_string());
    time(lines, "DTSTART", wall_clock(reminder.date, zone), zone);
    if let Some(recurrence) = &reminder.recurrence {
        let rule = recurrence.rrule.trim();
        lines.property("RRULE", &[], rule.strip_prefix("RRULE:").unwrap_or(rule));
        for exdate in &recurrence.exdates {
            exclusion(lines, exdate, zone);
        }
    }
    let summary = reminder.title.clone().unwrap_or_else(|| heading(&reminder.message));
    lines.property("SUMMARY", &[], summary.as_str());
    lines.property("DESCRIPTION", &[], reminder.message.as_str());
    if let Some(url) = &reminder.url {
        lines.property("URL", &[], url.as_str());
    }
    for (name, value) in ours::properties(reminder) {
        lines.property(name, &[], value);
    }
    for offset in &reminder.notify_offsets {
        lines.component("VALARM", |lines| {
            lines.property("ACTION", &[], "DISPLAY");
            lines.property("DESCRIPTION", &[], summary.as_str());
            lines.property("TRIGGER", &[], if *offset == 0 { "PT0S".to_owned() } else { format!("-PT{offset}M") });
        });
    }
}

/// A heading for a reminder that has none: the first line of its text.
fn heading(message: &str) -> String {
    let line = message.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("Reminder");
    line.chars().filter(|it| !it.is_control()).take(MAX_SUMMARY).collect()
}

/// An exclusion in one of the forms that a reminder has; in another there is none.
fn exclusion(lines: &mut Lines, text: &str, zone: Tz) {
    let local = |form| NaiveDateTime::parse_from_str(text, form).ok();
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        lines.property("EXDATE", &[], utc(at.to_utc()));
    } else if let Ok(day) = text.parse::<NaiveDate>() {
        lines.property("EXDATE", &[("VALUE", "DATE")], day.format("%Y%m%d").to_string());
    } else if let Some(local) = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"].into_iter().find_map(local) {
        time(lines, "EXDATE", local, zone);
    }
}

fn time(lines: &mut Lines, name: &str, local: NaiveDateTime, zone: Tz) {
    if zone == Tz::UTC {
        lines.property(name, &[], format!("{}Z", basic(local)));
    } else {
        lines.property(name, &[("TZID", zone.name())], basic(local));
    }
}

fn utc(at: DateTime<Utc>) -> String {
    format!("{}Z", basic(at.naive_utc()))
}

/// A local time as RFC 5545 §3.3.5 writes it.
pub(super) fn basic(local: NaiveDateTime) -> String {
    local.format("%Y%m%dT%H%M%S").to_string()
}
