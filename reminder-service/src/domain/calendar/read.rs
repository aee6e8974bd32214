//! Reads a calendar file into entries, refusals and notes.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use time_zone::Zone;

use super::{
    BoundedList, Entry, Import, MAX_ENTRIES, MAX_UID, Note, Problem, Refused,
    component::{Component, Components},
    entry::{Candidate, Rejection, Version},
    recurring::{MAX_LISTED_DATES, add_exclusion, listed_date},
    shown,
    zones::{Work, Zones},
};

/// Reads a calendar file; any bytes are accepted. A time without a zone is in the zone of its
/// calendar, or else in `default_zone`.
#[must_use]
pub fn read(file: &[u8], default_zone: Zone) -> Import {
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
        reading.calendar(calendar, default_zone, &work);
    }
    reading.settle()
}

struct Reading {
    refused: BoundedList<Refused>,
    notes: BoundedList<Note>,
    found: Vec<Found>,
}

struct Found {
    of: Origin,
    candidate: Candidate,
    replaced: Replaced,
}

/// Instances of a series that have components of their own.
#[derive(Default)]
struct Replaced {
    /// Number of the exclusions that the series itself has; `None` if no instance was replaced.
    own_exclusions: Option<usize>,
    /// `true` if an instance became an entry.
    has_entries: bool,
}

impl Replaced {
    /// Rejection of a series without instances left, with the problem if nothing takes its place.
    fn rejection(&self, series: &Entry) -> Option<Option<Problem>> {
        let own = self.own_exclusions?;
        series.details().err()?;
        let mut complete = series.clone();
        complete.recurrence.iter_mut().for_each(|rule| rule.exdates.truncate(own));
        complete.details().ok()?;
        let is_lost = !self.has_entries;
        Some(is_lost.then(|| Problem::new(series.line, "each of its instances is cancelled")))
    }
}

/// Component that a refusal or a note is about.
struct Origin {
    line: usize,
    uid: Option<String>,
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
    fn calendar(&mut self, calendar: &Component, default_zone: Zone, work: &Work) {
        if !calendar.is_ended {
            let text = "the calendar has no END:VCALENDAR; the file may be cut off";
            self.notes.add(|| Note { line: calendar.line, uid: None, text: text.to_owned() });
        }
        let zones = Zones::of(calendar, default_zone, work, &mut self.notes);
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
                    let candidate = Candidate::read(component, &zones);
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

/// Excludes the instances that were changed individually from their series.
fn replace_instances(found: &mut [Found]) {
    let series: HashMap<String, usize> = found
        .iter()
        .enumerate()
        .filter(|(_, one)| one.is_series())
        .filter_map(|(index, one)| Some((one.of.uid.clone()?, index)))
        .collect();
    for index in 0..found.len() {
        let change = found.get(index).filter(|one| one.is_change());
        let of_series = change.and_then(|change| series.get(change.of.uid.as_ref()?)).copied();
        match of_series.map(|series| found.get_disjoint_mut([series, index])) {
            Some(Ok([series, change])) => change.replace_in(series),
            _ => found.get_mut(index).into_iter().for_each(Found::stand_alone),
        }
    }
}

/// UID of an entry, and the instance of the series that it replaces.
type Identifier = (String, Option<DateTime<Utc>>);

impl Found {
    fn is_series(&self) -> bool {
        let recurs =
            self.candidate.outcome.as_ref().is_ok_and(|(entry, _)| entry.recurrence.is_some());
        recurs && self.candidate.replaces.is_none()
    }

    fn is_change(&self) -> bool {
        self.candidate.replaces.is_some()
            && !matches!(self.candidate.outcome, Err(Rejection::Refused(_) | Rejection::Older(_)))
    }

    /// UID and instance, and the version.
    fn version(&self) -> Option<(Identifier, Version)> {
        let (instance, version) = self.candidate.version?;
        Some(((self.of.uid.clone()?, instance), version))
    }

    /// Takes the place of an instance of its series.
    fn replace_in(&mut self, series: &mut Self) {
        let (Some(instance), Ok((Entry { recurrence: Some(recurrence), .. }, clock))) =
            (self.candidate.replaces, &mut series.candidate.outcome)
        else {
            return;
        };
        if recurrence.exdates.len() >= MAX_LISTED_DATES {
            let problem =
                Problem::new(self.of.line, "its series leaves out 1,000 instances already");
            self.candidate.outcome = Err(Rejection::Refused(problem));
            return;
        }
        series.replaced.own_exclusions.get_or_insert(recurrence.exdates.len());
        series.replaced.has_entries |= self.candidate.outcome.is_ok();
        let instance = listed_date(instance, *clock);
        add_exclusion(&mut recurrence.exdates, instance.clone());
        match &mut self.candidate.outcome {
            Ok((entry, _)) => entry.instance = instance,
            outcome => *outcome = Err(Rejection::Excluded),
        }
    }

    /// Takes the place of an instance of a series that is not in the file.
    fn stand_alone(&mut self) {
        if let (Some(instance), Ok((entry, clock))) =
            (self.candidate.replaces, &mut self.candidate.outcome)
        {
            entry.instance = listed_date(instance, *clock);
        }
    }
}
