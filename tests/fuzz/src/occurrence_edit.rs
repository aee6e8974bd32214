//! Edits of single occurrences, which are entries of the lists of a rule.

use chrono::{DateTime, Timelike, Utc};
use reminder_service::domain::reminder::{
    Details, Following, GivenTime, Message, NotifyOffsets, OccurrenceEdit, Recurrence, Reminder,
    Schedule, TextChange, TimeZone,
};
use uuid::Uuid;

use crate::schedule_text::ScheduleText;

/// Occurrences that are compared.
const SHOWN: usize = 12;
/// Before all occurrences.
const BEGINNING: DateTime<Utc> = DateTime::<Utc>::MIN_UTC;

/// Fuzz target of edits of one occurrence: to skip, restore and move it, and to split the series
/// at it. The other occurrences stay.
///
/// # Panics
/// If a property does not hold.
pub fn occurrence_edit(data: &[u8]) {
    let text = ScheduleText::read(data);
    let Some(reminder) = reminder(&text) else { return };
    let all = occurrences(&reminder);
    let position = text.position % all.len().max(1);
    let Some(at) = all.get(position).copied() else { return };
    check_skip(&reminder, &all, at);
    check_split(&reminder, &all, position);
    if let Some(to) = text.to {
        check_move(&reminder, &all, at, to);
    }
}

fn reminder(text: &ScheduleText) -> Option<Reminder> {
    let recurrence = Recurrence {
        rrule: text.rrule.clone(),
        exdates: text.exdates.clone(),
        rdates: text.rdates.clone(),
        gap: text.gap,
        fold: text.fold,
    };
    let recurrence = recurrence.parse().ok()?;
    let offsets = NotifyOffsets::from_fields(None, Some(text.offsets.clone())).ok()??;
    let zone = TimeZone::parse(text.zone.name()).ok()?;
    let schedule = Schedule::new(text.start, zone, offsets, Some(recurrence)).ok()?;
    schedule.check_fires().ok()?;
    let details = Details {
        schedule,
        channels: Default::default(),
        title: None,
        message: Message::parse("Tablets".to_owned()).ok()?,
        url: None,
        data: Default::default(),
        expires_after: Default::default(),
        priority: Default::default(),
        locale: None,
    };
    Some(Reminder::new(Uuid::nil(), Following { details, changed_occurrences: Vec::new() }))
}

fn occurrences(reminder: &Reminder) -> Vec<DateTime<Utc>> {
    let upcoming = reminder.details.schedule.upcoming(BEGINNING, BEGINNING, SHOWN);
    upcoming.into_iter().map(|occurrence| occurrence.at).collect()
}

/// Checks the first occurrences of a reminder, or all if there are no more than are compared.
fn check_first(reminder: &Reminder, expected: &[DateTime<Utc>], is_all: bool) {
    let found = occurrences(reminder);
    if is_all {
        assert_eq!(found, expected);
    } else {
        let shown = found.len().min(expected.len());
        assert_eq!(found[..shown], expected[..shown]);
        assert!(shown == expected.len() || shown == SHOWN, "{found:?}, not {expected:?}");
    }
}

fn check_skip(reminder: &Reminder, all: &[DateTime<Utc>], at: DateTime<Utc>) {
    let skipped = reminder.edit_occurrence(at, &OccurrenceEdit::Skip, BEGINNING);
    let Ok(skipped) = skipped else { return };
    let others: Vec<_> = all.iter().copied().filter(|other| *other != at).collect();
    check_first(&skipped, &others, all.len() < SHOWN);
    let restored = skipped.edit_occurrence(at, &OccurrenceEdit::Restore, BEGINNING);
    let restored = restored.expect("a skipped occurrence can be restored");
    assert_eq!(occurrences(&restored), all);
}

fn check_move(reminder: &Reminder, all: &[DateTime<Utc>], at: DateTime<Utc>, date: GivenTime) {
    let edit = OccurrenceEdit::Change { date: Some(date), texts: TextChange::default() };
    let Ok(moved) = reminder.edit_occurrence(at, &edit, BEGINNING) else { return };
    let Schedule { date: start, time_zone, .. } = reminder.details.schedule;
    let to = date.due_date(time_zone, None).expect("an accepted date");
    let to = to.with_nanosecond(start.nanosecond()).expect("the fraction of the start");
    let schedule = moved.details.schedule.schedule();
    assert!(schedule.has_occurrence(to), "{at} was moved to {to}");
    assert!(to == at || !schedule.has_occurrence(at), "{at} was moved to {to}, and stayed");
    let mut others = all.iter().filter(|other| **other != at);
    assert!(others.all(|other| schedule.has_occurrence(*other)), "{at} was moved to {to}");
    let found =
        occurrences(&moved).into_iter().filter(|found| *found != to && !all.contains(found));
    let end = all.last().filter(|_| all.len() == SHOWN);
    for found in found {
        assert!(
            end.is_some_and(|end| found > *end),
            "{at} was moved to {to}, and {found} appeared"
        );
    }
}

fn check_split(reminder: &Reminder, all: &[DateTime<Utc>], position: usize) {
    let edit = OccurrenceEdit::Change { date: None, texts: TextChange::default() };
    let Ok((before, following)) = reminder.split(all[position], &edit, BEGINNING) else { return };
    assert_eq!(occurrences(&before), all[..position]);
    let following = Reminder::new(Uuid::nil(), following.expect("the series goes on"));
    check_first(&following, &all[position..], all.len() < SHOWN);
}
