use contract::Priority;
use uuid::Uuid;

use super::*;
use crate::domain::reminder::{
    ChangedOccurrence, Channels, Details, ExpiresAfter, Following, Gap, Message, NotifyOffsets,
    Pairs, Status, due_date,
};

const TOKYO: &str = "Asia/Tokyo";
const BERLIN: &str = "Europe/Berlin";
const LOS_ANGELES: &str = "America/Los_Angeles";

fn at(text: &str) -> DateTime<Utc> {
    due_date(text).expect("a time")
}

fn zone(name: &str) -> TimeZone {
    TimeZone::parse(name).expect("a zone").with_floating(true)
}

fn rule(rrule: &str) -> Recurrence {
    let (exdates, rdates, gap, fold) = Default::default();
    Recurrence { rrule: rrule.to_owned(), exdates, rdates, gap, fold }
}

/// A floating reminder at a local time of a zone.
fn reminder(local: &str, name: &str, offsets: &[i32], recurrence: Option<Recurrence>) -> Reminder {
    let date = GivenTime::parse("date", local).expect("a time");
    let date = date.due_date(zone(name), recurrence.as_ref()).expect("an instant");
    let offsets =
        NotifyOffsets::from_fields(None, Some(offsets.to_vec())).expect("offsets").expect("given");
    let details = Details {
        schedule: Schedule::new(date, zone(name), offsets, recurrence).expect("a schedule"),
        channels: Channels::default(),
        title: None,
        message: Message::parse("Tablets".to_owned()).expect("a message"),
        url: None,
        data: Pairs::default(),
        expires_after: ExpiresAfter::default(),
        priority: Priority::default(),
        locale: None,
    };
    Reminder::new(Uuid::nil(), Following { details, changed_occurrences: Vec::new() })
}

fn moved(reminder: &Reminder, name: &str, now: &str) -> Moved {
    reminder.moved_to(zone(name), at(now)).expect("a move")
}

/// The next delivery and the time from which on deliveries are made, after a move.
fn next(moved: &Moved, now: &str) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
    (moved.reminder.next_at(at(now)), moved.effective_at)
}

fn before(text: &str) -> Option<DateTime<Utc>> {
    Some(at(text) - STEP)
}

#[test]
fn keeps_wall_clock_of_single_reminder() {
    let (single, now) = (reminder("2096-07-01T09:00", TOKYO, &[0], None), "2096-06-01T00:00:00Z");
    for (name, date) in [(BERLIN, "2096-07-01T07:00:00Z"), (LOS_ANGELES, "2096-07-01T16:00:00Z")] {
        let moved = moved(&single, name, now);
        let schedule = &moved.reminder.details.schedule;
        assert_eq!(
            (schedule.date, schedule.local_date()),
            (at(date), single.details.schedule.local_date())
        );
        assert_eq!((schedule.time_zone.shown(), schedule.time_zone.name()), ("user", name));
        assert_eq!(next(&moved, now), (Some(at(date)), None));
    }
}

#[test]
fn delivers_at_once_when_time_is_skipped() {
    // 08:00 in Berlin, before the reminder; in Tokyo it is 15:00.
    let now = "2096-07-01T06:00:00Z";
    let moved = moved(&reminder("2096-07-01T09:00", BERLIN, &[0, 30], None), TOKYO, now);
    // Of the two deliveries that have passed by the new clock, only the later one.
    assert_eq!(next(&moved, now), (None, before("2096-07-01T00:00:00Z")));
    assert_eq!(moved.reminder.status(at(now)), Status::Completed);
}

#[test]
fn delivers_skipped_notice_and_keeps_later_one() {
    // 07:30 in Berlin; in Helsinki it is 08:30.
    let now = "2096-07-01T05:30:00Z";
    let moved =
        moved(&reminder("2096-07-01T09:00", BERLIN, &[0, 60], None), "Europe/Helsinki", now);
    let notice = before("2096-07-01T05:00:00Z");
    assert_eq!(next(&moved, now), (Some(at("2096-07-01T06:00:00Z")), notice));
}

#[test]
fn makes_no_delivery_again_that_had_passed() {
    // 08:30 in Berlin: the notice of 08:00 was sent. In Tokyo both have passed.
    let now = "2096-07-01T06:30:00Z";
    let partly = moved(&reminder("2096-07-01T09:00", BERLIN, &[0, 60], None), TOKYO, now);
    assert_eq!(next(&partly, now), (None, before("2096-07-01T00:00:00Z")));
    // 09:30 in Berlin: everything was sent.
    let now = "2096-07-01T07:30:00Z";
    let over = moved(&reminder("2096-07-01T09:00", BERLIN, &[0, 60], None), TOKYO, now);
    assert_eq!(next(&over, now), (None, None));
}

#[test]
fn stays_completed_when_time_comes_again() {
    // 10:00 in Tokyo, after the reminder; in Los Angeles it is the evening before.
    let now = "2096-07-01T01:00:00Z";
    let single = reminder("2096-07-01T09:00", TOKYO, &[0], None);
    let series =
        reminder("2096-06-01T09:00", TOKYO, &[0], Some(rule("FREQ=DAILY;UNTIL=20960701T000000Z")));
    for over in [single, series] {
        let moved = moved(&over, LOS_ANGELES, now).reminder;
        assert_eq!(moved.details.schedule.local_date(), over.details.schedule.local_date());
        assert_eq!((moved.status(at(now)), moved.next_at(at(now))), (Status::Completed, None));
        assert_eq!(moved.acknowledged_at(at(now)), None, "nobody acknowledged it");
        let back = moved.moved_to(zone(TOKYO), at("2096-07-01T02:00:00Z")).expect("a move");
        assert_eq!(back.reminder.details.schedule.date, over.details.schedule.date);
        assert_eq!((back.reminder.next_at(at(now)), back.effective_at), (None, None));
    }
}

#[test]
fn keeps_acknowledgement_of_completed_reminder() {
    let mut single = reminder("2096-07-01T09:00", TOKYO, &[0], None);
    let acknowledged_at = at("2096-07-01T00:30:00Z");
    single.handled = single.acknowledge(acknowledged_at).expect("delivered");
    let now = "2096-07-01T01:00:00Z";
    let moved = moved(&single, LOS_ANGELES, now).reminder;
    assert_eq!(moved.acknowledged_at(at(now)), Some(acknowledged_at));
    assert_eq!(moved.next_at(at(now)), None);
}

#[test]
fn goes_on_by_new_clock_when_it_recurs() {
    let daily = reminder("2096-06-01T09:00", TOKYO, &[0], Some(rule("FREQ=DAILY")));
    // 10:00 in Tokyo on 1 July; in Los Angeles it is 18:00 on 30 June.
    let now = "2096-07-01T01:00:00Z";
    let west = moved(&daily, LOS_ANGELES, now);
    assert_eq!(next(&west, now), (Some(at("2096-07-01T16:00:00Z")), None));
    // 08:00 in Berlin on 1 July; in Tokyo it is 15:00.
    let daily = reminder("2096-06-01T09:00", BERLIN, &[0], Some(rule("FREQ=DAILY")));
    let now = "2096-07-01T06:00:00Z";
    let east = moved(&daily, TOKYO, now);
    assert_eq!(
        next(&east, now),
        (Some(at("2096-07-02T00:00:00Z")), before("2096-07-01T00:00:00Z"))
    );
}

#[test]
fn delivers_only_latest_of_skipped_occurrences() {
    let hourly = reminder("2096-06-01T00:00", BERLIN, &[0], Some(rule("FREQ=HOURLY")));
    // 08:30 in Berlin; in Tokyo it is 15:30.
    let now = "2096-07-01T06:30:00Z";
    let east = moved(&hourly, TOKYO, now);
    assert_eq!(
        next(&east, now),
        (Some(at("2096-07-01T07:00:00Z")), before("2096-07-01T06:00:00Z"))
    );
}

#[test]
fn moves_listed_dates_and_end_of_rule() {
    let mut rule = rule("FREQ=DAILY;UNTIL=20960704T070000Z");
    rule.exdates = vec!["2096-07-02T07:00:00Z".to_owned(), "2096-07-03T09:00:00".to_owned()];
    rule.rdates = vec!["2096-07-02T10:00:00Z".to_owned(), "2096-07-10".to_owned()];
    let series = reminder("2096-07-01T09:00", BERLIN, &[0], Some(rule));
    let moved = moved(&series, LOS_ANGELES, "2096-06-01T00:00:00Z").reminder;
    let occurrences = moved.details.schedule.schedule().occurrences_after(DateTime::UNIX_EPOCH);
    let local = occurrences.map(|at| Zone::from(zone(LOS_ANGELES)).wall_clock(at).to_string());
    let expected = [
        "2096-07-01 09:00:00",
        "2096-07-02 12:00:00",
        "2096-07-04 09:00:00",
        "2096-07-10 09:00:00",
    ];
    assert_eq!(local.collect::<Vec<_>>(), expected);
}

#[test]
fn leaves_start_that_the_clock_skips() {
    // At 02:30 on 29 March the clock of Berlin is put forward.
    let mut rule = rule("FREQ=DAILY");
    rule.gap = Gap::Skip;
    let series = reminder("2026-03-29T02:30", TOKYO, &[0], Some(rule));
    let now = "2026-07-01T12:00:00Z";
    let moved = moved(&series, BERLIN, now);
    assert_eq!(moved.reminder.next_at(at(now)), Some(at("2026-07-02T00:30:00Z")));
}

#[test]
fn keeps_instant_of_snooze() {
    let daily = reminder("2096-06-01T09:00", TOKYO, &[0], Some(rule("FREQ=DAILY")));
    let until = at("2096-07-01T03:00:00Z");
    let date = at("2096-07-01T00:00:00Z");
    let now = "2096-07-01T01:00:00Z";
    let snoozed = |until| Reminder {
        handled: Handled { snooze: Some(Snooze { date, until }), ..Handled::default() },
        ..daily.clone()
    };
    let kept = moved(&snoozed(until), LOS_ANGELES, now).reminder;
    let snooze = Snooze { date: at("2096-07-01T16:00:00Z"), until };
    assert_eq!((kept.handled.snooze, kept.next_at(at(now))), (Some(snooze), Some(until)));
    let past = snoozed(at("2096-07-01T00:30:00Z"));
    assert_eq!(moved(&past, LOS_ANGELES, now).reminder.handled.snooze, None);
}

#[test]
fn keeps_snooze_of_completed_reminder() {
    let now = "2096-07-01T01:00:00Z";
    let until = at("2096-07-01T03:00:00Z");
    let mut single = reminder("2096-07-01T09:00", TOKYO, &[0], None);
    single.handled = single.snooze(at(now), until).expect("delivered");
    let moved = moved(&single, LOS_ANGELES, now).reminder;
    assert_eq!((moved.next_at(at(now)), moved.next_at(until)), (Some(until), None));
}

#[test]
fn keeps_acknowledged_occurrence_ahead_silent() {
    let daily = reminder("2096-06-01T09:00", BERLIN, &[0, 60], Some(rule("FREQ=DAILY")));
    // 08:30 in Berlin, between the notice and the occurrence.
    let now = "2096-07-01T06:30:00Z";
    let handled = daily.acknowledge(at("2096-07-01T06:10:00Z")).expect("delivered");
    let west = moved(&Reminder { handled, ..daily }, LOS_ANGELES, now).reminder;
    assert_eq!(west.next_at(at(now)), Some(at("2096-07-02T15:00:00Z")));
}

#[test]
fn stays_paused() {
    let mut single = reminder("2096-07-01T09:00", BERLIN, &[0], None);
    single.paused_at = Some(at("2096-06-01T00:00:00Z"));
    let now = "2096-07-01T06:00:00Z";
    let moved = moved(&single, TOKYO, now);
    assert_eq!((moved.reminder.paused_at, moved.effective_at), (single.paused_at, None));
    assert_eq!(moved.reminder.status(at(now)), Status::Paused);
}

#[test]
fn moves_texts_of_single_occurrences() {
    let mut daily = reminder("2096-06-01T09:00", BERLIN, &[0], Some(rule("FREQ=DAILY")));
    let texts = daily.details.texts();
    let date = at("2096-07-02T07:00:00Z");
    daily.changed_occurrences = vec![ChangedOccurrence { date, texts: texts.clone() }];
    let moved = moved(&daily, TOKYO, "2096-07-01T12:00:00Z").reminder;
    let expected = ChangedOccurrence { date: at("2096-07-02T00:00:00Z"), texts };
    assert_eq!(moved.changed_occurrences, [expected]);
}

#[test]
fn is_planned_again_when_delivery_becomes_due() {
    let now = "2096-07-01T06:00:00Z";
    let moved = moved(&reminder("2096-07-01T09:00", BERLIN, &[0], None), LOS_ANGELES, now);
    assert_eq!(moved.valid_until, Some(at("2096-07-01T07:00:00Z")));
}

#[test]
fn stays_when_years_end() {
    let last = reminder("9999-12-31T23:00", "UTC", &[0], None);
    assert_eq!(last.moved_to(zone(LOS_ANGELES), at("2096-07-01T06:00:00Z")), None);
}
