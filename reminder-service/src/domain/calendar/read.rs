//! Reads a calendar file into entries, refusals and notes.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use time_zone::Zone;

use super::{
    BoundedList, Import, MAX_ENTRIES, MAX_UID, Note, Problem, Refused,
    component::{Component, Components},
    default_title::Languages,
    entry::{Candidate, Rejection, Version},
    instances::{Replaced, replace_instances},
    shown,
    zones::{Work, Zones},
};

/// Facts about the reader of a calendar file for parts that the file leaves open.
#[derive(Debug, Clone, Default)]
pub struct Defaults {
    /// Zone of times without a zone, if their calendar names none.
    pub zone: Zone,
    /// Zone of the user, in which floating reminders are; `None` if it is not known.
    pub user: Option<Zone>,
    /// `true` if `zone` is that of the user, so that entries in it become floating reminders.
    pub is_floating: bool,
    /// Languages for the title of an entry that has none, if the entry names none.
    pub languages: Languages,
}

impl From<Zone> for Defaults {
    fn from(zone: Zone) -> Self {
        Self { zone, user: Some(zone), ..Self::default() }
    }
}

/// Reads a calendar file; any bytes are accepted.
#[must_use]
pub fn read(file: &[u8], defaults: impl Into<Defaults>) -> Import {
    let defaults = defaults.into();
    let Components { roots, refused, notes, .. } = Components::read(file);
    let mut reading =
        Reading { refused: BoundedList { list: refused, omitted: 0 }, notes, found: Vec::new() };
    let work = Work::of_file();
    if roots.is_empty() {
        reading.refuse(None, Problem::new(1, "it is not a calendar: it has no BEGIN:VCALENDAR"));
    }
    let (calendars, strays): (Vec<_>, Vec<_>) =
        roots.into_iter().partition(|root| root.name == "VCALENDAR");
    let of_none = Component { components: strays, is_ended: true, ..Component::default() };
    for calendar in calendars.iter().chain([&of_none]) {
        reading.calendar(calendar, &defaults, &work);
    }
    reading.settle()
}

/// Returns `true` if a file has a time whose zone neither the time nor its calendar names, or that
/// is in the zone of the user: with another default zone it means something else. `import` is the
/// file as read with `defaults`.
#[must_use]
pub fn needs_zone(file: &[u8], import: &Import, defaults: Defaults) -> bool {
    // No time of day and no day is that of UTC.
    let other_zone = "Pacific/Kiritimati".parse();
    other_zone.is_ok_and(|zone| {
        let others = Defaults { zone, user: Some(zone), ..defaults };
        read(file, others).entries != import.entries
    })
}

struct Reading {
    refused: BoundedList<Refused>,
    notes: BoundedList<Note>,
    found: Vec<Found>,
}

/// An event or a task of the file.
pub(super) struct Found {
    pub(super) of: Origin,
    pub(super) candidate: Candidate,
    pub(super) replaced: Replaced,
}

/// Component that a refusal or a note is about.
pub(super) struct Origin {
    pub(super) line: usize,
    pub(super) uid: Option<String>,
    summary: Option<String>,
}

impl Origin {
    fn of(component: &Component) -> Self {
        let uid = component.uid().map(|uid| uid.chars().take(MAX_UID).collect());
        let summary = component.one("SUMMARY").map(|property| property.value.trim());
        let summary = summary.filter(|summary| !summary.is_empty()).map(shown);
        Self { line: component.line, uid, summary }
    }
}

impl Reading {
    fn calendar(&mut self, calendar: &Component, defaults: &Defaults, work: &Work) {
        if !calendar.is_ended {
            let text = "the calendar has no END:VCALENDAR; the file may be cut off";
            self.notes.add(|| Note { line: calendar.line, uid: None, text: text.to_owned() });
        }
        let zones = Zones::of(calendar, defaults, work, &mut self.notes);
        let is_cancelled = calendar
            .one("METHOD")
            .is_some_and(|method| method.value.trim().eq_ignore_ascii_case("CANCEL"));
        for component in &calendar.components {
            let of = Origin::of(component);
            match component.name.as_str() {
                "VTIMEZONE" => {}
                "VEVENT" | "VTODO" if is_cancelled => {
                    self.refuse(
                        Some(&of),
                        Problem::new(of.line, "it is cancelled (METHOD:CANCEL)"),
                    );
                }
                "VEVENT" | "VTODO" => {
                    let zones = zones.of_entry(component, &mut self.notes);
                    let candidate = Candidate::read(component, &zones, &defaults.languages);
                    self.found.push(Found { of, candidate, replaced: Replaced::default() });
                }
                other => {
                    let reason = format!("{} is neither an event nor a task", shown(other));
                    self.refuse(Some(&of), Problem::new(of.line, reason));
                }
            }
        }
    }

    fn refuse(&mut self, of: Option<&Origin>, problem: Problem) {
        let named =
            || of.map_or((None, None), |origin| (origin.uid.clone(), origin.summary.clone()));
        self.refused.add(|| {
            let (uid, summary) = named();
            Refused { line: problem.line, uid, summary, reason: problem.reason }
        });
    }

    fn settle(mut self) -> Import {
        reject_older_versions(&mut self.found);
        replace_instances(&mut self.found);
        let mut entries = Vec::new();
        for Found { of, candidate, replaced } in std::mem::take(&mut self.found) {
            match candidate.outcome {
                Ok(_) if entries.len() == MAX_ENTRIES => {
                    self.refuse(
                        Some(&of),
                        Problem::new(of.line, "the file has more than 1,000 entries"),
                    );
                }
                Ok((entry, _)) => {
                    if let Some(problem) = replaced.rejection(&entry) {
                        problem.into_iter().for_each(|problem| self.refuse(Some(&of), problem));
                        continue;
                    }
                    for (line, text) in candidate.left_out {
                        self.notes.add(|| Note { line, uid: entry.uid.clone(), text });
                    }
                    entries.push(entry);
                }
                Err(Rejection::Excluded) => {}
                Err(Rejection::Older(newer)) => {
                    let text =
                        format!("an older version of the entry of line {newer} was left out");
                    self.notes.add(|| Note { line: of.line, uid: of.uid, text });
                }
                Err(Rejection::Over(problem) | Rejection::Refused(problem)) => {
                    self.refuse(Some(&of), problem)
                }
            }
        }
        Import { entries, refused: self.refused.into_list(), notes: self.notes.into_list() }
    }
}

impl BoundedList<Refused> {
    /// The refusals in the order of their lines, and one more that counts the omitted ones.
    fn into_list(mut self) -> Vec<Refused> {
        self.list.sort_by_key(|refused| refused.line);
        let last_line = self.list.last().map(|last| last.line);
        if let Some((line, reason)) = last_line.zip(self.omitted_text()) {
            self.list.push(Refused { line, uid: None, summary: None, reason });
        }
        self.list
    }
}

impl BoundedList<Note> {
    /// The notes in the order of their lines, and one more that counts the omitted ones.
    fn into_list(mut self) -> Vec<Note> {
        self.list.sort_by_key(|note| note.line);
        let last_line = self.list.last().map(|last| last.line);
        if let Some((line, text)) = last_line.zip(self.omitted_text()) {
            self.list.push(Note { line, uid: None, text });
        }
        self.list
    }
}

/// Rejects the entries of which the file has a newer version: another of the same UID, and of the
/// same instance. Of equal versions, each is kept.
fn reject_older_versions(found: &mut [Found]) {
    let mut newest = HashMap::new();
    for one in found.iter() {
        let Some((key, version)) = one.version() else { continue };
        let known = newest.entry(key).or_insert((version, one.of.line));
        if known.0 < version {
            *known = (version, one.of.line);
        }
    }
    let newer = |one: &Found| {
        let (key, version) = one.version()?;
        newest.get(&key).filter(|(newest, _)| *newest > version).map(|(_, line)| *line)
    };
    let newer: Vec<_> = found.iter().map(newer).collect();
    for (one, line) in found.iter_mut().zip(newer) {
        if let Some(line) = line {
            one.candidate.outcome = Err(Rejection::Older(line));
        }
    }
}

/// UID of an entry, and the instance of the series that it replaces.
type Identifier = (String, Option<DateTime<Utc>>);

impl Found {
    /// UID and instance, and the version.
    fn version(&self) -> Option<(Identifier, Version)> {
        let (instance, version) = self.candidate.version?;
        Some(((self.of.uid.clone()?, instance), version))
    }
}
