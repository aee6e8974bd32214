mod alarms;
mod definition_limits;
mod definitions;
mod exports;
mod named_days;
mod products;
mod properties;
mod report_cases;
mod reports;
mod round_trip;
mod rules;
mod series;
mod zones;

use chrono::{DateTime, Utc};
use contract::{FoldPolicy, GapPolicy};
use time_zone::Zone;

use super::*;

/// Default time zone of the tests.
fn default_zone() -> Zone {
    "Europe/Madrid".parse().expect("a zone")
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

/// An entry that says its title only, notified at its date.
fn entry(line: usize, uid: &str, date: &str, zone: &str, title: &str) -> Entry {
    Entry {
        line,
        uid: Some(uid.to_owned()),
        instance: None,
        version: Version::default(),
        date: at(date),
        time_zone: zone.to_owned(),
        is_floating: false,
        recurrence: None,
        notify_offsets: vec![0],
        title: Some(title.to_owned()),
        message: title.to_owned(),
        url: None,
        channels: None,
        email_alarm: None,
        data: BTreeMap::new(),
        expires_after_minutes: None,
        priority: None,
        locale: None,
    }
}

fn every(rrule: &str, exdates: &[&str]) -> Option<Recurrence> {
    let exdates = exdates.iter().map(|exdate| (*exdate).to_owned()).collect();
    Some(Recurrence {
        rrule: rrule.to_owned(),
        exdates,
        rdates: Vec::new(),
        gap: GapPolicy::Shift,
        fold: FoldPolicy::First,
    })
}

/// A series of its start and of listed dates.
fn on(rdates: &[&str]) -> Option<Recurrence> {
    let rdates = rdates.iter().map(|date| (*date).to_owned()).collect();
    every("FREQ=DAILY;COUNT=1", &[]).map(|recurrence| Recurrence { rdates, ..recurrence })
}

/// An import stores up to 1,000 entries in one transaction, which must not wait for rules.
#[test]
fn computes_last_date_with_details() {
    let recurrence = every("FREQ=DAILY;COUNT=10000", &[]);
    let single = entry(1, "1", "2026-05-01T08:00:00Z", "UTC", "Tablets");
    let details = Entry { recurrence, ..single }.details().expect("a reminder");
    assert!(details.schedule.has_computed_last());
}

fn refused(line: usize, uid: &str, summary: &str, reason: &str) -> Refused {
    let (uid, summary) = (Some(uid.to_owned()), Some(summary.to_owned()));
    Refused { line, uid, summary, reason: reason.to_owned() }
}

fn note(line: usize, uid: &str, text: &str) -> Note {
    Note { line, uid: Some(uid.to_owned()), text: text.to_owned() }
}

/// A calendar with one event whose summary is `Something`.
fn event(lines: &[&str]) -> String {
    calendar(&["BEGIN:VEVENT", "UID:1", "SUMMARY:Something", &lines.join("\r\n"), "END:VEVENT"])
}

fn calendar(lines: &[&str]) -> String {
    format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{}\r\nEND:VCALENDAR\r\n", lines.join("\r\n"))
}

fn read_text(text: &str) -> Import {
    without_versions(read(text.as_bytes(), default_zone()))
}

/// The entries without their versions, which few tests are about.
fn without_versions(mut import: Import) -> Import {
    import.entries.iter_mut().for_each(|entry| entry.version = Version::default());
    import
}

/// The only entry of a file.
fn only(text: &str) -> Entry {
    let import = read_text(text);
    assert_eq!(import.refused, []);
    assert_eq!(import.entries.len(), 1, "{import:?}");
    import.entries.into_iter().next().expect("an entry")
}

/// Line and reason of the only refusal of a file.
fn refusal(text: &str) -> (usize, String) {
    let import = read_text(text);
    assert_eq!(import.entries, []);
    assert_eq!(import.refused.len(), 1, "{import:?}");
    let refused = import.refused.into_iter().next().expect("a refusal");
    (refused.line, refused.reason)
}
