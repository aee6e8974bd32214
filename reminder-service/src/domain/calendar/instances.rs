//! Instances of a series that have components of their own (`RECURRENCE-ID`, RFC 5545 §3.8.4.4):
//! they are left out of their series, or split it (`RANGE=THISANDFUTURE`).

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use contract::Recurrence;

use super::{
    Entry, Problem,
    entry::Rejection,
    read::Found,
    recurring::{MAX_LISTED_DATES, add_exclusion, listed_date},
    split::split,
    times::Shift,
};

/// Largest number of changes of all later instances in one file.
const MAX_SPLITS: usize = 100;

/// Series as it was before its instances were replaced.
#[derive(Debug, Default)]
pub(super) struct Replaced {
    /// `None` if no instance was replaced.
    original: Option<Recurrence>,
    /// `true` if an instance became an entry.
    has_entries: bool,
}

impl Replaced {
    /// Rejection of a series without instances left, with the problem if nothing takes its place.
    pub(super) fn rejection(&self, series: &Entry) -> Option<Option<Problem>> {
        let original = self.original.as_ref()?;
        series.details().err()?;
        let mut complete = series.clone();
        complete.recurrence = Some(original.clone());
        complete.details().ok()?;
        let is_lost = !self.has_entries;
        Some(is_lost.then(|| Problem::new(series.line, "each of its instances is cancelled")))
    }

    /// Adds an instance, or several, that are replaced in a series.
    pub(super) fn add(&mut self, series: &Recurrence, is_entry: bool) {
        self.original.get_or_insert_with(|| series.clone());
        self.has_entries |= is_entry;
    }
}

/// A part of a series: an entry, and the difference of its times to those of the whole.
#[derive(Debug, Clone, Copy)]
struct Part {
    index: usize,
    /// First instance, by the times of the whole.
    since: DateTime<Utc>,
    shift: Shift,
}

/// Splits the series of which all later instances were changed, and excludes the instances that
/// were changed individually.
pub(super) fn replace_instances(found: &mut [Found]) {
    let mut series = HashMap::new();
    for (index, one) in found.iter().enumerate().filter(|(_, one)| one.is_series()) {
        if let Some(uid) = one.of.uid.clone() {
            let since = DateTime::<Utc>::MIN_UTC;
            series.insert(uid, vec![Part { index, since, shift: Shift::default() }]);
        }
    }
    split_all(found, &mut series);
    for index in 0..found.len() {
        let Some(change) = found.get(index).filter(|one| one.is_change() && !one.splits()) else {
            continue;
        };
        let at = change.replaced_at();
        let parts = change.of.uid.as_ref().and_then(|uid| series.get(uid));
        let is_in = |part: &&Part| at.is_none_or(|at| part.since <= at);
        let part = parts.and_then(|parts| parts.iter().rfind(is_in)).copied();
        match part.map(|part| (part, found.get_disjoint_mut([part.index, index]))) {
            Some((part, Ok([series, change]))) => change.replace_in(series, part.shift),
            _ => found.get_mut(index).into_iter().for_each(Found::stand_alone),
        }
    }
}

/// Splits series by the changes of all later instances, in the order of their times.
fn split_all(found: &mut [Found], series: &mut HashMap<String, Vec<Part>>) {
    let changes = found.iter().enumerate().filter(|(_, one)| one.is_change() && one.splits());
    let mut changes: Vec<_> =
        changes.filter_map(|(index, one)| Some((one.replaced_at()?, index))).collect();
    changes.sort_unstable();
    for (place, (since, index)) in changes.into_iter().enumerate() {
        let parts = found.get(index).and_then(|change| series.get_mut(change.of.uid.as_ref()?));
        let Some((last, parts)) = parts.and_then(|parts| Some((*parts.last()?, parts))) else {
            found.get_mut(index).into_iter().for_each(Found::stand_alone);
            continue;
        };
        let Ok([part, change]) = found.get_disjoint_mut([last.index, index]) else { continue };
        if place >= MAX_SPLITS {
            change.refuse("the file changes all later instances of series more than 100 times");
            continue;
        }
        match split(part, change, last.shift) {
            Ok(shift) if change.candidate.outcome.is_ok() => {
                parts.push(Part { index, since, shift });
            }
            Ok(_) => {}
            Err(reason) => change.refuse(reason),
        }
    }
}

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

    /// Returns `true` if it changes all later instances as well.
    fn splits(&self) -> bool {
        self.candidate.splits
    }

    /// Instant of the instance that it replaces.
    fn replaced_at(&self) -> Option<DateTime<Utc>> {
        self.candidate.version?.0
    }

    fn refuse(&mut self, reason: &str) {
        self.candidate.outcome = Err(Rejection::Refused(Problem::new(self.of.line, reason)));
    }

    /// Takes the place of an instance of its series, whose times are later by `shift`.
    fn replace_in(&mut self, series: &mut Self, shift: Shift) {
        let (Some(instance), Ok((Entry { recurrence: Some(recurrence), .. }, clock))) =
            (self.candidate.replaces, &mut series.candidate.outcome)
        else {
            return;
        };
        if recurrence.exdates.len() >= MAX_LISTED_DATES {
            return self.refuse("its series leaves out 1,000 instances already");
        }
        series.replaced.add(recurrence, self.candidate.outcome.is_ok());
        let excluded = instance.later(shift).and_then(|instance| listed_date(instance, *clock));
        add_exclusion(&mut recurrence.exdates, excluded);
        match &mut self.candidate.outcome {
            Ok((entry, _)) => entry.instance = listed_date(instance, *clock),
            outcome => *outcome = Err(Rejection::Excluded),
        }
    }

    /// Takes the place of an instance of a series that is not in the file.
    fn stand_alone(&mut self) {
        let (Some(instance), Ok((entry, clock))) =
            (self.candidate.replaces, &mut self.candidate.outcome)
        else {
            return;
        };
        entry.instance = listed_date(instance, *clock);
        if self.candidate.splits && entry.recurrence.is_none() {
            let text = "its series is not in the file: of the later instances (RANGE), only this \
                        one is imported";
            self.candidate.left_out.push((self.of.line, text.to_owned()));
        }
    }
}
