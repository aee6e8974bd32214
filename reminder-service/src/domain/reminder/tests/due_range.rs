//! Schedules with an occurrence in a range.

use proptest::prelude::*;

use super::{at, offsets};
use crate::domain::reminder::*;

fn recurring(date: &str, rrule: &str, exdates: &[&str], rdates: &[&str]) -> Schedule {
    let texts = |dates: &[&str]| dates.iter().map(|date| (*date).to_owned()).collect();
    let recurrence = Recurrence {
        rrule: rrule.to_owned(),
        exdates: texts(exdates),
        rdates: texts(rdates),
        gap: Default::default(),
        fold: Default::default(),
    };
    let zone = TimeZone::parse("Europe/Berlin").expect("a zone");
    Schedule::new(at(date), zone, offsets(&[60]), Some(recurrence)).expect("a schedule")
}

fn range(from: &str, to: &str) -> DueRange {
    let bound = |text: &str| Some(text).filter(|text| !text.is_empty()).map(at);
    DueRange { from: bound(from), to: bound(to) }
}

#[test]
fn finds_occurrence_between_two_times() {
    let birthday = recurring("1965-05-06T07:00:00Z", "FREQ=YEARLY", &[], &[]);
    let ended = recurring("2026-05-01T08:00:00Z", "FREQ=DAILY;COUNT=3", &[], &[]);
    let excluded = recurring("2026-05-01T08:00:00Z", "FREQ=WEEKLY", &["2026-05-08T10:00:00"], &[]);
    let listed = recurring(
        "2026-05-01T08:00:00Z",
        "FREQ=DAILY;COUNT=1",
        &[],
        &["2020-02-02T10:00:00", "2030-02-02T10:00:00"],
    );
    for (schedule, from, to, expected) in [
        (&birthday, "", "", true),
        (&birthday, "", "1965-05-06T07:00:00Z", false),
        (&birthday, "", "1965-05-06T07:00:00.001Z", true),
        // Eight o'clock, in summer time.
        (&birthday, "1999-05-06T06:00:00Z", "1999-05-06T06:00:00.001Z", true),
        (&birthday, "1999-05-06T06:00:00.001Z", "2000-05-06T06:00:00Z", false),
        (&birthday, "9999-01-01T00:00:00Z", "", true),
        (&ended, "2026-05-03T08:00:00Z", "", true),
        (&ended, "2026-05-03T08:00:00.001Z", "", false),
        (&ended, "0001-01-01T00:00:00Z", "2026-05-01T08:00:00Z", false),
        (&excluded, "2026-05-02T00:00:00Z", "2026-05-15T00:00:00Z", false),
        (&excluded, "2026-05-02T00:00:00Z", "2026-05-16T00:00:00Z", true),
        (&listed, "2020-02-02T09:00:00Z", "2020-02-02T09:00:00.001Z", true),
        (&listed, "2020-02-03T00:00:00Z", "2026-05-01T00:00:00Z", false),
        (&listed, "2026-05-02T00:00:00Z", "2030-02-02T09:00:00Z", false),
        (&listed, "2030-01-01T00:00:00Z", "", true),
        (&listed, "2030-03-01T00:00:00Z", "", false),
    ] {
        assert_eq!(schedule.is_due_in(range(from, to)), expected, "{schedule:?} {from} {to}");
    }
}

#[test]
fn finds_nothing_in_empty_range() {
    let daily = recurring("2026-05-01T08:00:00Z", "FREQ=DAILY", &[], &[]);
    for (from, to) in [
        ("2026-05-02T08:00:00Z", "2026-05-02T08:00:00Z"),
        ("2026-06-01T08:00:00Z", "2026-05-01T08:00:00Z"),
    ] {
        assert!(range(from, to).is_empty() && !daily.is_due_in(range(from, to)), "{from} {to}");
    }
}

proptest! {
    /// The bounded search finds what a complete list of the occurrences contains.
    #[test]
    fn finds_as_list_of_occurrences(
        rrule in proptest::sample::select(vec![
            "FREQ=HOURLY;INTERVAL=7", "FREQ=DAILY;COUNT=9", "FREQ=WEEKLY;BYDAY=MO,SU",
            "FREQ=DAILY;UNTIL=20261027T000000Z", "FREQ=MINUTELY;INTERVAL=90;BYHOUR=2,3",
        ]),
        from in 0_i64..700, length in 0_i64..300,
        exdates in proptest::sample::subsequence(vec!["2026-10-25", "2026-10-26T03:30:00"], 0..=2),
        rdates in proptest::sample::subsequence(
            vec!["2026-10-20T02:30:00", "2026-11-05T12:00:00"], 0..=2,
        ),
    ) {
        let schedule = recurring("2026-10-23T00:30:00Z", rrule, &exdates, &rdates);
        let from = at("2026-10-19T00:30:00Z") + chrono::Duration::hours(from);
        let to = from + chrono::Duration::hours(length);
        let range = DueRange { from: Some(from), to: Some(to) };
        let all = schedule.schedule().occurrences_after(DateTime::<Utc>::MIN_UTC);
        let listed = all.take_while(|due| *due < to).any(|due| due >= from);
        prop_assert_eq!(schedule.is_due_in(range), listed);
    }
}
