//! The first of many reminders, and of their occurrences, by time.

use chrono::Duration;
use proptest::prelude::*;
use uuid::Uuid;

use super::{at, details, offsets};
use crate::domain::reminder::*;

const NOW: &str = "2026-05-01T08:00:00Z";

fn reminder(number: u128, date: DateTime<Utc>, rrule: Option<&str>) -> Reminder {
    let recurrence = rrule.map(|rrule| Recurrence {
        rrule: rrule.to_owned(),
        exdates: Vec::new(),
        rdates: Vec::new(),
        gap: Default::default(),
        fold: Default::default(),
    });
    let schedule = Schedule::new(date, TimeZone::default(), offsets(&[0]), recurrence);
    let [created_at, updated_at, scheduled_at] = [DateTime::UNIX_EPOCH; 3];
    Reminder {
        id: Uuid::from_u128(number),
        version: 1,
        created_at,
        updated_at,
        scheduled_at,
        details: Details { schedule: schedule.expect("a schedule"), ..details() },
        handled: Handled::default(),
        late_placements: Vec::new(),
        changed_occurrences: Vec::new(),
        paused_at: None,
    }
}

fn hours(hours: i64) -> DateTime<Utc> {
    at(NOW) + Duration::hours(hours)
}

fn from_now() -> Range {
    Range { from: at(NOW), to: None, after: None }
}

fn agenda(range: Range, limit: usize, reminders: &[Reminder]) -> Vec<(i64, u128)> {
    let mut agenda = Agenda::new(range, limit);
    reminders.iter().for_each(|reminder| agenda.add(reminder, at(NOW)));
    let place = |entry: &Entry| {
        let Position { at: time, reminder_id, .. } = entry.position;
        ((time - at(NOW)).num_hours(), reminder_id.as_u128())
    };
    agenda.into_entries().iter().map(place).collect()
}

#[test]
fn merges_series_and_single_reminders_in_order() {
    let reminders = [
        reminder(1, hours(0), Some("FREQ=DAILY")),
        reminder(2, hours(24), None),
        reminder(3, hours(-1), None),
        reminder(4, hours(30), Some("FREQ=HOURLY;COUNT=2")),
    ];
    let first = [(0, 1), (24, 1), (24, 2), (30, 4), (31, 4), (48, 1)];
    assert_eq!(agenda(from_now(), 6, &reminders), first);
    let until = Range { to: Some(hours(30)), ..from_now() };
    assert_eq!(agenda(until, 6, &reminders), first[..3]);
}

#[test]
fn continues_after_entry_at_the_same_time() {
    let reminders = [1, 2, 3].map(|number| reminder(number, hours(1), None));
    let after = Position { at: hours(1), reminder_id: Uuid::from_u128(2), is_snoozed: false };
    assert_eq!(agenda(Range { after: Some(after), ..from_now() }, 5, &reminders), [(1, 3)]);
    let before = Position::before(hours(1));
    assert_eq!(agenda(Range { after: Some(before), ..from_now() }, 5, &reminders).len(), 3);
}

#[test]
fn shows_snooze_and_no_acknowledged_occurrence() {
    let mut series = reminder(1, hours(-24), Some("FREQ=DAILY"));
    let snooze = Snooze { date: hours(-24), until: hours(2) };
    series.handled =
        Handled { acknowledged: Some(hours(24)), snooze: Some(snooze), ..Handled::default() };
    assert_eq!(agenda(from_now(), 2, &[series.clone()]), [(2, 1), (48, 1)]);
    // A snooze that is over has been delivered.
    series.handled.snooze = Some(Snooze { date: hours(-24), until: at(NOW) });
    assert_eq!(agenda(from_now(), 1, &[series]), [(48, 1)]);
}

#[test]
fn needs_no_later_reminder_once_agenda_is_full() {
    let mut agenda = Agenda::new(from_now(), 2);
    agenda.add(&reminder(1, hours(1), None), at(NOW));
    assert!(agenda.may_have_from(hours(9_000)));
    agenda.add(&reminder(2, hours(3), None), at(NOW));
    // An entry at the time of the last one may come before it.
    assert!(agenda.may_have_from(hours(3)) && !agenda.may_have_from(hours(4)));
    agenda.add(&reminder(3, hours(2), None), at(NOW));
    let kept = [1, 2, 3].map(|number| agenda.contains(Uuid::from_u128(number)));
    assert_eq!(kept, [true, false, true]);
}

fn by_next_at(after: Option<NextAt>, limit: usize, reminders: &[Reminder]) -> Vec<NextAt> {
    let mut ranking = ByNextAt::new(after, limit);
    reminders.iter().for_each(|reminder| ranking.add(reminder, at(NOW)));
    ranking.into_places()
}

#[test]
fn ranks_reminders_without_delivery_last() {
    let reminders = [
        reminder(1, hours(-5), None),
        reminder(2, hours(7), None),
        reminder(3, hours(-5), Some("FREQ=DAILY")),
    ];
    let numbers = |places: Vec<NextAt>| -> Vec<_> {
        places.iter().map(|place| place.reminder_id.as_u128()).collect()
    };
    assert_eq!(numbers(by_next_at(None, 9, &reminders)), [2, 3, 1]);
    assert_eq!(numbers(by_next_at(None, 2, &reminders)), [2, 3]);
    let after = NextAt { at: hours(7), reminder_id: Uuid::from_u128(2) };
    assert_eq!(numbers(by_next_at(Some(after), 9, &reminders)), [3, 1]);
    assert_eq!(numbers(by_next_at(Some(NextAt::before(hours(19))), 9, &reminders)), [3, 1]);
}

#[test]
fn needs_no_later_reminder_once_ranking_is_full() {
    let mut ranking = ByNextAt::new(None, 1);
    assert!(ranking.may_have_from(NO_DELIVERY));
    ranking.add(&reminder(1, hours(2), None), at(NOW));
    assert!(ranking.may_have_from(hours(2)) && !ranking.may_have_from(hours(3)));
    ranking.add(&reminder(2, hours(1), None), at(NOW));
    assert!(ranking.contains(Uuid::from_u128(2)) && !ranking.contains(Uuid::from_u128(1)));
}

proptest! {
    /// Pages by the last entry show the same as one large page, in whichever order the reminders
    /// are added.
    #[test]
    fn pages_agenda_without_gaps_or_repeats(
        starts in proptest::collection::vec((0_i64..40, proptest::bool::ANY), 1..12),
        limit in 1_usize..5,
    ) {
        let mut reminders: Vec<_> = starts.iter().zip(1_u128..).map(|((start, recurs), number)| {
            let rrule = recurs.then_some("FREQ=HOURLY;INTERVAL=7;COUNT=5");
            reminder(number, hours(*start), rrule)
        }).collect();
        let all = agenda(from_now(), 1_000, &reminders);
        reminders.reverse();
        let (mut pages, mut range) = (Vec::new(), from_now());
        loop {
            let mut agenda = Agenda::new(range, limit);
            reminders.iter().for_each(|reminder| agenda.add(reminder, at(NOW)));
            let entries = agenda.into_entries();
            let Some(last) = entries.last() else { break };
            range.after = Some(last.position);
            pages.extend(entries.iter().map(|entry| {
                ((entry.position.at - at(NOW)).num_hours(), entry.position.reminder_id.as_u128())
            }));
        }
        prop_assert_eq!(pages, all);
    }
}
