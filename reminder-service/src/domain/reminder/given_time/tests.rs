use super::*;
use crate::domain::reminder::{Gap, instant};

fn given(text: &str) -> GivenTime {
    GivenTime::parse("date", text).expect("a time")
}

fn at(text: &str) -> DateTime<Utc> {
    instant("date", text).expect("a time")
}

fn zone(name: &str) -> TimeZone {
    TimeZone::parse(name).expect("a zone")
}

fn daily(fold: Fold) -> Recurrence {
    Recurrence {
        rrule: "FREQ=DAILY".to_owned(),
        exdates: Vec::new(),
        rdates: Vec::new(),
        gap: Gap::Skip,
        fold,
    }
}

#[test]
fn reads_local_time_in_every_form() {
    for (text, expected) in [
        ("2096-07-01T10:00:00", "2096-07-01T10:00:00Z"),
        ("2096-07-01T10:00", "2096-07-01T10:00:00Z"),
        ("2096-07-01t10:00:00.1239", "2096-07-01T10:00:00.123Z"),
    ] {
        assert_eq!(given(text), GivenTime::Local(at(expected).naive_utc()), "{text}");
    }
    let instant = GivenTime::Instant(at("2096-07-01T08:00:00Z"));
    assert_eq!(given("2096-07-01T10:00:00+02:00"), instant);
}

#[test]
fn refuses_text_that_is_no_time() {
    for text in [
        "",
        "Z",
        "tomorrow",
        "10:00",
        "2096-07-01",
        "2096-07-01T10",
        "2096-07-01T10:00Z",
        "2096-07-01T10:00+02:00",
        "2096-07-01T10:00:00+02",
        "2096-07-01T24:00:00",
        "2096-02-30T10:00:00",
        "2096-07-01T10:00:00[Europe/Berlin]",
        "0000-07-01T10:00:00",
        "12096-07-01T10:00:00",
        "2096-07-01T10:00:00\u{0}",
    ] {
        assert!(GivenTime::parse("date", text).is_err(), "{text}");
    }
}

#[test]
fn places_local_time_in_zone() {
    for (name, text, expected) in [
        ("Europe/Berlin", "2096-07-01T10:00:00", "2096-07-01T08:00:00Z"),
        ("Asia/Kathmandu", "2096-07-01T10:00:00.5", "2096-07-01T04:15:00.5Z"),
        // The clock goes from two to three.
        ("Europe/Berlin", "2026-03-29T02:30:00", "2026-03-29T01:30:00Z"),
        // From midnight to one.
        ("Africa/Cairo", "2026-04-24T00:15:00", "2026-04-23T22:15:00Z"),
        // The clock goes from three back to two.
        ("Europe/Berlin", "2026-10-25T02:30:00", "2026-10-25T00:30:00Z"),
        // A day that Samoa left out.
        ("Pacific/Apia", "2011-12-30T12:00:00", "2011-12-30T22:00:00Z"),
    ] {
        assert_eq!(given(text).due_date(zone(name), None), Ok(at(expected)), "{name} {text}");
    }
}

#[test]
fn chooses_repeated_start_by_fold_of_rule() {
    let start = given("2026-10-25T02:30:00");
    for (fold, expected) in [
        (Fold::First, "2026-10-25T00:30:00Z"),
        (Fold::Both, "2026-10-25T00:30:00Z"),
        (Fold::Second, "2026-10-25T01:30:00Z"),
    ] {
        let placed = start.due_date(zone("Europe/Berlin"), Some(&daily(fold)));
        assert_eq!(placed, Ok(at(expected)), "{fold:?}");
    }
}

#[test]
fn refuses_start_of_rule_in_gap() {
    let start = given("2026-03-29T02:30:00");
    let placed = start.due_date(zone("Europe/Berlin"), Some(&daily(Fold::First)));
    assert_eq!(placed, Err(InvalidDueDate::StartInGap("Europe/Berlin")));
}

#[test]
fn refuses_instant_outside_of_years() {
    let last = given("9999-12-31T23:59:59");
    assert_eq!(last.due_date(zone("America/New_York"), None), Err(InvalidDueDate::OutOfYears));
    let first = given("0001-01-01T00:00:00");
    assert_eq!(first.due_date(zone("Asia/Tokyo"), None), Err(InvalidDueDate::OutOfYears));
}

#[test]
fn finds_next_instant_of_repeated_time() {
    let until = given("2026-10-25T02:30:00");
    for (now, expected) in [
        ("2026-10-25T00:29:59Z", "2026-10-25T00:30:00Z"),
        ("2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"),
    ] {
        assert_eq!(until.after(at(now), zone("Europe/Berlin")), Some(at(expected)), "{now}");
    }
}
