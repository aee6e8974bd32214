//! A calendar file as what it asks for.

use std::collections::HashMap;

use chrono_tz::Tz;
use shared::contract::Recurrence;

use super::{
    Entry, Import, MAX_ENTRIES, Note, Problem, Refused,
    component::{Component, Components},
    entry::{Candidate, Rejection},
    recurring::{MAX_EXCLUSIONS, add_exclusion, exclusion},
    shown,
    times::Moment,
    zones::Zones,
};

/// Reads a file as it was sent; any bytes will do. Times without a zone are of the wall clock of the calendar's, or else of
/// `default_zone`.
#[must_use]
pub fn read(file: &[u8], default_zone: Tz) -> Import {
    let Components { roots, refused, notes, .. } = Components::read(file);
    let mut reading = Reading { import: Import { entries: Vec::new(), refused, notes }, found: Vec::new() };
    if roots.is_empty() {
        reading.refuse(None, Problem::new(1, "it is no calendar: there is no BEGIN:VCALENDAR in it"));
    }
    let (calendars, strays): (Vec<_>, Vec<_>) = roots.into_iter().partition(|it| it.name == "VCALENDAR");
    let of_none = Component { components: strays, is_ended: true, ..Component::default() };
    for calendar in calendars.iter().chain([&of_none]) {
        reading.calendar(calendar, default_zone);
    }
    reading.settle()
}

struct Reading {
    import: Import,
    found: Vec<Found>,
}

struct Found {
    of: Origin,
    candidate: Candidate,
}

/// Which component something is told of.
struct Origin {
    line: usize,
    uid: Option<String>,
    summary: Option<String>,
}

impl Origin {
    fn of(component: &Component) -> Self {
        let text = |name| component.one(name).map(|it| it.value.trim()).filter(|it| !it.is_empty());
        let (uid, summary) = (text("UID").map(str::to_owned), text("SUMMARY").map(shown));
        Self { line: component.line, uid, summary }
    }
}

impl Reading {
    fn calendar(&mut self, calendar: &Component, default_zone: Tz) {
        if !calendar.is_ended {
            let text = "the calendar has no END:VCALENDAR; the file may be cut off".to_owned();
            self.import.notes.push(Note { line: calendar.line, uid: None, text });
        }
        let zones = Zones::of(calendar, default_zone, &mut self.import.notes);
        let is_cancelled = calendar.one("METHOD").is_some_and(|it| it.value.trim().eq_ignore_ascii_case("CANCEL"));
        for component in &calendar.components {
            let of = Origin::of(component);
            match component.name.as_str() {
                "VTIMEZONE" => {}
                "VEVENT" | "VTODO" if is_cancelled => {
                    self.refuse(Some(&of), Problem::new(of.line, "it is cancelled (METHOD:CANCEL)"));
                }
                "VEVENT" | "VTODO" => self.found.push(Found { candidate: Candidate::read(component, &zones), of }),
                other => {
                    let reason = format!("{} is neither an event nor a task", shown(other));
                    self.refuse(Some(&of), Problem::new(of.line, reason));
                }
            }
        }
    }

    fn refuse(&mut self, of: Option<&Origin>, problem: Problem) {
        let (uid, summary) = of.map_or((None, None), |it| (it.uid.clone(), it.summary.clone()));
        self.import.refused.push(Refused { line: problem.line, uid, summary, reason: problem.reason });
    }

    fn settle(mut self) -> Import {
        replace_instances(&mut self.found);
        for Found { of, candidate } in std::mem::take(&mut self.found) {
            match candidate.outcome {
                Ok(_) if self.import.entries.len() == MAX_ENTRIES => {
                    self.refuse(Some(&of), Problem::new(of.line, "the file has more than 1,000 entries"));
                }
                Ok((entry, _)) => {
                    let notes = candidate.left_out.into_iter();
                    self.import.notes.extend(notes.map(|(line, text)| Note { line, uid: entry.uid.clone(), text }));
                    self.import.entries.push(entry);
                }
                Err(Rejection::Excluded) => {}
                Err(Rejection::Over(problem) | Rejection::Refused(problem)) => self.refuse(Some(&of), problem),
            }
        }
        self.import.refused.sort_by_key(|it| it.line);
        self.import.notes.sort_by_key(|it| it.line);
        self.import
    }
}

/// Leaves the instances that were changed on their own out of their series.
fn replace_instances(found: &mut [Found]) {
    let series: HashMap<String, usize> = found
        .iter()
        .enumerate()
        .filter(|(_, it)| it.candidate.replaces.is_none() && it.recurrence().is_some())
        .filter_map(|(index, it)| Some((it.of.uid.clone()?, index)))
        .collect();
    for index in 0..found.len() {
        let Some(Found { of, candidate }) = found.get(index) else { continue };
        let (Some(replaces), false) = (candidate.replaces, matches!(candidate.outcome, Err(Rejection::Refused(_))))
        else {
            continue;
        };
        let master = of.uid.as_ref().and_then(|uid| series.get(uid)).copied();
        let line = of.line;
        match master.and_then(|master| found.get_mut(master)) {
            Some(master) => {
                let replaced = master.leave_out(replaces, line);
                if let Some(found) = found.get_mut(index) {
                    found.replaces_instance(replaced);
                }
            }
            None => {
                if let Some(Found { candidate: Candidate { outcome: Ok((entry, clock)), .. }, .. }) =
                    found.get_mut(index)
                {
                    entry.instance = exclusion(replaces, *clock);
                }
            }
        }
    }
}

impl Found {
    fn recurrence(&self) -> Option<&Recurrence> {
        self.candidate.outcome.as_ref().ok().and_then(|(entry, _)| entry.recurrence.as_ref())
    }

    /// Leaves an instance out of this series, for the component at `line`; how the instance is written.
    fn leave_out(&mut self, instance: Moment, line: usize) -> Result<Option<String>, Problem> {
        let Ok((Entry { recurrence: Some(recurrence), .. }, clock)) = &mut self.candidate.outcome else {
            return Ok(None);
        };
        if recurrence.exdates.len() >= MAX_EXCLUSIONS {
            return Err(Problem::new(line, "its series leaves out 1,000 instances already"));
        }
        let instance = exclusion(instance, *clock);
        add_exclusion(&mut recurrence.exdates, instance.clone());
        Ok(instance)
    }

    /// Takes note of which instance of its series this replaces.
    fn replaces_instance(&mut self, replaced: Result<Option<String>, Problem>) {
        let outcome = &mut self.candidate.outcome;
        match (replaced, outcome) {
            (Err(problem), outcome) => *outcome = Err(Rejection::Refused(problem)),
            (Ok(instance), Ok((entry, _))) => entry.instance = instance,
            (Ok(_), outcome) => *outcome = Err(Rejection::Excluded),
        }
    }
}
