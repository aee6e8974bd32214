use contract::Priority;
use uuid::Uuid;

use super::*;
use crate::domain::reminder::{
    Channels, Details, ExpiresAfter, Fold, Gap, Handled, Message, NotifyOffsets, Pairs, Snooze,
    TimeZone, due_date,
};

fn at(text: &str) -> DateTime<Utc> {
    due_date(text).expect("a time")
}

fn rule(rrule: &str) -> Recurrence {
    let (exdates, rdates, gap, fold) = Default::default();
    Recurrence { rrule: rrule.to_owned(), exdates, rdates, gap, fold }
}

/// A reminder with a rule in Berlin.
fn series(date: &str, offsets: &[i32], rule: Recurrence) -> Reminder {
    let offsets =
        NotifyOffsets::from_fields(None, Some(offsets.to_vec())).expect("offsets").expect("given");
    let zone = TimeZone::parse("Europe/Berlin").expect("a zone");
    let details = Details {
        schedule: Schedule::new(at(date), zone, offsets, Some(rule)).expect("a schedule"),
        channels: Channels::default(),
        title: None,
        message: Message::parse("Tablets".to_owned()).expect("a message"),
        url: None,
        data: Pairs::default(),
        expires_after: ExpiresAfter::default(),
        priority: Priority::default(),
        locale: None,
    };
    let [created_at, updated_at, scheduled_at] = [DateTime::UNIX_EPOCH; 3];
    let (handled, late_placements) = Default::default();
    Reminder {
        id: Uuid::nil(),
        version: 1,
        created_at,
        updated_at,
        scheduled_at,
        details,
        handled,
        late_placements,
        changed_occurrences: Vec::new(),
        paused_at: None,
    }
}

fn exdates(reminder: &Reminder) -> &[String] {
    reminder.details.schedule.recurrence.as_ref().map_or(&[], |rule| &rule.exdates)
}

/// Occurrences from a time on.
fn occurrences(reminder: &Reminder, from: &str, count: usize) -> Vec<DateTime<Utc>> {
    let from = at(from) - TimeDelta::seconds(1);
    reminder.details.schedule.schedule().occurrences_after(from).take(count).collect()
}

fn rdates(reminder: &Reminder) -> &[String] {
    reminder.details.schedule.recurrence.as_ref().map_or(&[], |rule| &rule.rdates)
}

/// Move to a time.
fn to(date: &str) -> OccurrenceEdit {
    let date = Some(GivenTime::parse("date", date).expect("a time"));
    OccurrenceEdit::Change { date, texts: TextChange::default() }
}

const NOW: &str = "2096-01-01T00:00:00Z";

fn edited(reminder: &Reminder, occurrence: &str, edit: &OccurrenceEdit) -> Reminder {
    reminder.edit_occurrence(at(occurrence), edit, at(NOW)).expect("an edit")
}

#[test]
fn skips_and_restores_one_occurrence() {
    let daily = series("2096-05-01T07:00:00Z", &[0], rule("FREQ=DAILY;COUNT=3"));
    let skipped = edited(&daily, "2096-05-02T07:00:00Z", &OccurrenceEdit::Skip);
    assert_eq!(exdates(&skipped), ["2096-05-02T09:00:00"], "it follows a change of the zone");
    let left = [at("2096-05-01T07:00:00Z"), at("2096-05-03T07:00:00Z")];
    assert_eq!(occurrences(&skipped, "2096-05-01T00:00:00Z", 9), left, "COUNT still counts it");
    assert_eq!(edited(&skipped, "2096-05-02T07:00:00Z", &OccurrenceEdit::Skip), skipped);
    assert_eq!(edited(&skipped, "2096-05-02T07:00:00Z", &OccurrenceEdit::Restore), daily);
    assert_eq!(edited(&daily, "2096-05-02T07:00:00Z", &OccurrenceEdit::Restore), daily);
}

#[test]
fn skips_only_occurrence_of_repeated_time() {
    let both = Recurrence { fold: Fold::Both, ..rule("FREQ=DAILY") };
    // Berlin puts the clock back from 3:00 to 2:00 on 28 October 2096.
    let nightly = series("2096-10-27T00:30:00Z", &[0], both);
    let [first, second] = ["2096-10-28T00:30:00Z", "2096-10-28T01:30:00Z"];
    let on_day = |reminder: &Reminder| occurrences(reminder, first, 2);
    assert_eq!(on_day(&nightly), [at(first), at(second)]);
    for (skipped, left) in [(first, second), (second, first)] {
        let changed = edited(&nightly, skipped, &OccurrenceEdit::Skip);
        assert_eq!(on_day(&changed)[0], at(left), "{skipped}");
        assert!(!on_day(&changed).contains(&at(skipped)), "{skipped}");
        assert_eq!(edited(&changed, skipped, &OccurrenceEdit::Restore), nightly);
    }
    let local = Recurrence {
        exdates: vec!["2096-10-28T02:30:00".to_owned()],
        ..nightly.details.schedule.recurrence.clone().expect("a rule")
    };
    let restored =
        edited(&series("2096-10-27T00:30:00Z", &[0], local), second, &OccurrenceEdit::Restore);
    assert_eq!(on_day(&restored)[0], at(second), "the other one stays skipped");
}

#[test]
fn skips_occurrence_that_a_gap_shifted() {
    // Berlin puts the clock forward from 2:00 to 3:00 on 25 March 2096.
    let nightly = series("2096-03-24T01:30:00Z", &[0], rule("FREQ=DAILY"));
    let shifted = "2096-03-25T01:30:00Z";
    assert_eq!(occurrences(&nightly, shifted, 1), [at(shifted)]);
    let skipped = edited(&nightly, shifted, &OccurrenceEdit::Skip);
    assert_eq!(occurrences(&skipped, shifted, 1), [at("2096-03-26T00:30:00Z")]);
    assert_eq!(edited(&skipped, shifted, &OccurrenceEdit::Restore), nightly);
    let local = Recurrence {
        exdates: vec!["2096-03-25T02:30:00".to_owned()],
        gap: Gap::Shift,
        ..rule("FREQ=DAILY")
    };
    let by_local = series("2096-03-24T01:30:00Z", &[0], local);
    assert_eq!(edited(&by_local, shifted, &OccurrenceEdit::Restore), nightly);
}

#[test]
fn restores_one_occurrence_of_excluded_day() {
    let day = Recurrence { exdates: vec!["2096-05-02".to_owned()], ..rule("FREQ=HOURLY") };
    let hourly = series("2096-05-01T07:00:00Z", &[0], day);
    let restored = edited(&hourly, "2096-05-02T07:00:00Z", &OccurrenceEdit::Restore);
    assert_eq!(exdates(&restored).len(), 23);
    assert_eq!(
        occurrences(&restored, "2096-05-01T22:00:00Z", 2),
        [at("2096-05-02T07:00:00Z"), at("2096-05-02T22:00:00Z")]
    );
}

#[test]
fn refuses_what_is_no_occurrence_ahead() {
    let daily = series("2095-12-30T07:00:00Z", &[0], rule("FREQ=DAILY"));
    let refused = |reminder: &Reminder, occurrence| {
        let edit = reminder.edit_occurrence(at(occurrence), &OccurrenceEdit::Skip, at(NOW));
        edit.expect_err("refused")
    };
    for other in ["2096-05-02T07:00:01Z", "2096-05-02T08:00:00Z", "2095-12-29T07:00:00Z"] {
        assert!(matches!(refused(&daily, other), EditRefusal::Missing(_)), "{other}");
    }
    assert_eq!(refused(&daily, "2095-12-31T07:00:00Z"), EditRefusal::Passed);
    let mut single = daily.clone();
    single.details.schedule.recurrence = None;
    assert_eq!(refused(&single, "2095-12-30T07:00:00Z"), EditRefusal::Single);
    let full = Recurrence {
        exdates: (0..1_000).map(|day| format!("{}-01-01", 3_000 + day)).collect(),
        ..rule("FREQ=DAILY")
    };
    let full = series("2095-12-30T07:00:00Z", &[0], full);
    assert!(matches!(refused(&full, "2096-01-02T07:00:00Z"), EditRefusal::Recurrence(_)));
}

#[test]
fn drops_snooze_of_skipped_occurrence() {
    let mut daily = series("2095-12-30T07:00:00Z", &[0, 1_440], rule("FREQ=DAILY"));
    let (date, until) = (at("2096-01-01T07:00:00Z"), at("2096-01-01T06:00:00Z"));
    daily.handled = Handled { snooze: Some(Snooze { date, until }), ..Handled::default() };
    let other = edited(&daily, "2096-01-02T07:00:00Z", &OccurrenceEdit::Skip);
    assert_eq!(other.handled, daily.handled);
    let same = edited(&daily, "2096-01-01T07:00:00Z", &OccurrenceEdit::Skip);
    assert_eq!(same.handled, Handled::default());
}

#[test]
fn takes_no_unsent_delivery_for_latest() {
    let daily = series("2095-12-30T07:00:00Z", &[0, 600], rule("FREQ=DAILY"));
    let skipped = edited(&daily, "2096-01-01T07:00:00Z", &OccurrenceEdit::Skip);
    let restored = edited(&skipped, "2096-01-01T07:00:00Z", &OccurrenceEdit::Restore);
    // Its delivery of the evening before was never sent.
    assert_eq!(daily.latest(at(NOW)), Ok(at("2096-01-01T07:00:00Z")));
    assert_eq!(restored.latest(at(NOW)), Ok(at("2095-12-31T07:00:00Z")));
    assert_eq!(restored.latest(at("2096-01-01T07:00:00Z")), Ok(at("2096-01-01T07:00:00Z")));
}

#[test]
fn refuses_too_many_late_placements() {
    let mut hourly = series("2095-12-30T07:00:00Z", &[0, 40_320], rule("FREQ=HOURLY"));
    for hour in 1..=MAX_LATE_PLACEMENTS as i64 + 1 {
        let occurrence = at(NOW) + TimeDelta::hours(hour);
        let edit = |reminder: &Reminder, edit| reminder.edit_occurrence(occurrence, edit, at(NOW));
        let skipped = edit(&hourly, &OccurrenceEdit::Skip).expect("an edit");
        match edit(&skipped, &OccurrenceEdit::Restore) {
            Ok(restored) => hourly = restored,
            Err(refusal) => {
                assert_eq!((hour, refusal), (101, EditRefusal::TooManyLate));
                return;
            }
        }
    }
    panic!("all were accepted");
}

#[test]
fn moves_occurrence_there_and_back() {
    let daily = series("2096-05-01T07:00:00Z", &[0], rule("FREQ=DAILY;COUNT=2"));
    let first = at("2096-05-01T07:00:00Z");
    let moved = edited(&daily, "2096-05-02T07:00:00Z", &to("2096-05-09T20:00:00"));
    assert_eq!(exdates(&moved), ["2096-05-02T09:00:00"]);
    assert_eq!(rdates(&moved), ["2096-05-09T20:00:00"]);
    let from = "2096-05-01T00:00:00Z";
    assert_eq!(occurrences(&moved, from, 9), [first, at("2096-05-09T18:00:00Z")]);
    assert_eq!(edited(&moved, "2096-05-02T07:00:00Z", &to("2096-05-09T18:00:00Z")), moved);

    let again = edited(&moved, "2096-05-09T18:00:00Z", &to("2096-04-30T20:00:00"));
    assert_eq!((exdates(&again).len(), rdates(&again).len()), (1, 1));
    assert_eq!(occurrences(&again, "2096-04-01T00:00:00Z", 9), [at("2096-04-30T18:00:00Z"), first]);
    assert_eq!(edited(&again, "2096-04-30T18:00:00Z", &to("2096-05-02T09:00:00")), daily);
}

#[test]
fn moves_occurrence_onto_excluded_time() {
    let day = Recurrence { exdates: vec!["2096-05-02".to_owned()], ..rule("FREQ=HOURLY") };
    let hourly = series("2096-05-01T07:00:00Z", &[0], day);
    for (target, kind) in
        [("2096-05-02T07:00:00Z", "a time of the rule"), ("2096-05-02T07:30:00Z", "another")]
    {
        let moved = edited(&hourly, "2096-05-03T07:00:00Z", &to(target));
        let around = occurrences(&moved, "2096-05-01T22:00:00Z", 2);
        assert_eq!(around, [at(target), at("2096-05-02T22:00:00Z")], "{kind}");
    }
}

#[test]
fn moves_texts_with_their_occurrence() {
    let daily = series("2096-05-01T07:00:00Z", &[0], rule("FREQ=DAILY"));
    let message = Message::parse("Half".to_owned()).ok();
    let texts = TextChange { message, ..TextChange::default() };
    let date = GivenTime::parse("date", "2096-05-02T20:00:00").ok();
    let both = OccurrenceEdit::Change { date, texts: texts.clone() };
    let moved = edited(&daily, "2096-05-02T07:00:00Z", &both);
    let dates = |reminder: &Reminder| {
        reminder.changed_occurrences.iter().map(|changed| changed.date).collect::<Vec<_>>()
    };
    assert_eq!(dates(&moved), [at("2096-05-02T18:00:00Z")]);
    let again = edited(&moved, "2096-05-02T18:00:00Z", &to("2096-05-02T21:00:00"));
    assert_eq!(dates(&again), [at("2096-05-02T19:00:00Z")]);
    let skipped = edited(&again, "2096-05-02T19:00:00Z", &OccurrenceEdit::Skip);
    assert!(dates(&skipped).is_empty());
    let refused =
        daily.edit_occurrence(at("2096-05-02T07:00:00Z"), &to("2096-05-03T09:00:00"), at(NOW));
    assert_eq!(refused, Err(EditRefusal::Taken));
}

#[test]
fn refuses_move_without_delivery_ahead() {
    let mut daily = series("2095-12-30T07:00:00Z", &[60], rule("FREQ=DAILY"));
    let refused = |daily: &Reminder, date| {
        daily.edit_occurrence(at("2096-01-02T07:00:00Z"), &to(date), at(NOW)).expect_err("refused")
    };
    assert_eq!(refused(&daily, "2096-01-01T00:59:00Z"), EditRefusal::NoDeliveryAhead);
    daily.handled.acknowledged = Some(at("2096-01-01T07:00:00Z"));
    assert_eq!(refused(&daily, "2096-01-01T06:00:00Z"), EditRefusal::Acknowledged);
}
