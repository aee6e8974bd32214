//! Extra dates beside a rule.

use chrono::{DateTime, Utc};

use super::{at, first};
use crate::*;

const WEEKLY: Rule<'static> = Rule {
    rrule: "FREQ=WEEKLY;COUNT=3",
    exdates: &[],
    rdates: &[],
    gap: Gap::Shift,
    fold: Fold::First,
};

fn texts(dates: &[&str]) -> Vec<String> {
    dates.iter().map(|date| (*date).to_owned()).collect()
}

fn in_berlin(start: &str, rule: Rule<'_>, rdates: &[&str]) -> Result<Series, Refusal> {
    let zone = Zone::parse("Europe/Berlin").expect("a zone");
    Series::new(at(start), zone, Rule { rdates: &texts(rdates), ..rule })
}

#[test]
fn merges_extra_dates_in_order() {
    let rdates = [
        "2026-06-20T14:00:00",
        "2026-05-03T09:30",
        // Twice, and one of the rule's own.
        "2026-05-03T09:30:00",
        "2026-05-08T10:00:00",
        "2026-05-05T23:00:00-04:00",
        // A day has the time of the start.
        "2026-05-10",
    ];
    let series = in_berlin("2026-05-01T10:00:00+02:00", WEEKLY, &rdates).expect("a rule");
    let expected = [
        "2026-05-01T08:00:00Z",
        "2026-05-03T07:30:00Z",
        "2026-05-06T03:00:00Z",
        "2026-05-08T08:00:00Z",
        "2026-05-10T08:00:00Z",
        "2026-05-15T08:00:00Z",
        "2026-06-20T12:00:00Z",
    ];
    assert_eq!(first(&series, 99), expected);
    assert_eq!(series.last(), Some(at("2026-06-20T12:00:00Z")));
    assert_eq!(series.last_until(at("2026-05-07T00:00:00Z")), Some(at("2026-05-06T03:00:00Z")));
    for date in expected {
        assert!(series.contains(at(date)), "{date}");
        let rest = series.after(at(date)).next();
        assert_eq!(rest, expected.iter().map(|date| at(date)).find(|next| *next > at(date)));
    }
}

#[test]
fn keeps_extra_dates_before_start_and_after_until() {
    let rule = Rule { rrule: "FREQ=DAILY;UNTIL=20260502", ..WEEKLY };
    let rdates = ["2025-12-24T18:00:00", "2026-12-24T18:00:00"];
    let series = in_berlin("2026-05-01T10:00:00+02:00", rule, &rdates).expect("a rule");
    let expected = [
        "2025-12-24T17:00:00Z",
        "2026-05-01T08:00:00Z",
        "2026-05-02T08:00:00Z",
        "2026-12-24T17:00:00Z",
    ];
    assert_eq!(first(&series, 99), expected);
    assert_eq!(series.last_until(at("2026-01-01T00:00:00Z")), Some(at("2025-12-24T17:00:00Z")));
    assert_eq!(series.last_until(at("2025-12-24T16:00:00Z")), None);
}

#[test]
fn goes_on_with_rule_after_extra_dates() {
    let rule = Rule { rrule: "FREQ=DAILY", ..WEEKLY };
    let rdates = ["2026-05-01T18:00:00"];
    let series = in_berlin("2026-05-01T10:00:00+02:00", rule, &rdates).expect("a rule");
    let expected = ["2026-05-01T08:00:00Z", "2026-05-01T16:00:00Z", "2026-05-02T08:00:00Z"];
    assert_eq!(first(&series, 3), expected);
    assert!(!series.ends());
    assert_eq!(series.last(), None);
}

#[test]
fn excludes_extra_dates_too() {
    let exdates = texts(&["2026-05-03", "2026-05-04T09:00:00", "2026-05-05T07:00:00Z"]);
    let rule = Rule { exdates: &exdates, ..WEEKLY };
    let rdates = [
        "2026-05-03T09:00:00",
        "2026-05-03T09:00:00Z",
        "2026-05-04T09:00:00",
        "2026-05-04T07:00:00Z",
        "2026-05-05T09:00:00",
        "2026-05-06T09:00:00",
    ];
    let series = in_berlin("2026-05-01T10:00:00+02:00", rule, &rdates).expect("a rule");
    let expected = ["2026-05-01T08:00:00Z", "2026-05-06T07:00:00Z", "2026-05-08T08:00:00Z"];
    assert_eq!(first(&series, 3), expected);
}

#[test]
fn applies_policies_to_extra_dates() {
    let rdates = ["2026-03-29T02:30:00", "2026-10-25T02:30:00"];
    for (gap, fold, expected) in [
        (Gap::Shift, Fold::First, vec!["2026-03-29T01:30:00Z", "2026-10-25T00:30:00Z"]),
        (Gap::Skip, Fold::Second, vec!["2026-10-25T01:30:00Z"]),
        (Gap::Skip, Fold::Both, vec!["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]),
    ] {
        let rule = Rule { rrule: "FREQ=DAILY;COUNT=1", gap, fold, ..WEEKLY };
        let series = in_berlin("2026-01-01T12:00:00+01:00", rule, &rdates).expect("a rule");
        assert_eq!(first(&series, 9)[1..], expected[..], "{gap:?}, {fold:?}");
    }
}

#[test]
fn gives_extra_dates_milliseconds_of_start() {
    let rdates = ["2026-05-08T10:00:00", "2026-05-09T10:00:00"];
    let series = in_berlin("2026-05-01T10:00:00.250+02:00", WEEKLY, &rdates).expect("a rule");
    let all: Vec<_> = series.after(DateTime::<Utc>::MIN_UTC).collect();
    assert_eq!(all.len(), 4);
    assert!(all.iter().all(|at| at.timestamp_subsec_millis() == 250), "{all:?}");
}

#[test]
fn refuses_unreadable_or_too_many_extra_dates() {
    for text in ["", "tomorrow", "2026-05-01T25:00:00", "+12026-05-01", "0000-12-31"] {
        let refused = in_berlin("2026-05-01T10:00:00Z", WEEKLY, &["2026-05-02", text]).err();
        assert_eq!(refused, Some(Refusal::ExtraDate(1)), "{text}");
    }
    let message = Refusal::ExtraDate(1).to_string();
    assert!(message.starts_with("rdates[1]: must be a date"), "{message}");
    let many = vec!["2026-05-02"; 1_001];
    let refused = in_berlin("2026-05-01T10:00:00Z", WEEKLY, &many).err();
    assert_eq!(refused, Some(Refusal::TooManyExtraDates));
    assert!(in_berlin("2026-05-01T10:00:00Z", WEEKLY, &many[1..]).is_ok());
}

#[test]
fn refuses_rule_that_never_fires_despite_extra_dates() {
    let rule = Rule { rrule: "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", ..WEEKLY };
    let refused = in_berlin("2026-05-01T10:00:00Z", rule, &["2026-05-02"]).err();
    assert_eq!(refused, Some(Refusal::NeverFires));
}

#[test]
fn delivers_extra_dates_with_offsets() {
    let series = in_berlin("2026-05-01T10:00:00+02:00", WEEKLY, &["2026-05-01T10:30"]);
    let schedule = DeliverySchedule::recurring(series.expect("a rule"), vec![0, 30]);
    let deliveries: Vec<_> = schedule.after(at("2026-05-01T07:00:00Z")).take(3).collect();
    let expected =
        [("07:30", "08:00"), ("08:00", "08:00"), ("08:30", "08:30")].map(|(delivered, date)| {
            let [at, date] = [delivered, date].map(|time| at(&format!("2026-05-01T{time}:00Z")));
            Delivery { at, date }
        });
    assert_eq!(deliveries, expected);
    assert_eq!(schedule.last(), Some(at("2026-05-15T08:00:00Z")));
}
