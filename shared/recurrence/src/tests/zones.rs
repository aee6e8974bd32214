//! Rules in zones with clock changes.

use chrono::TimeDelta;

use super::{at, first, series, with_policies};
use crate::*;

#[test]
fn keeps_wall_clock_when_offset_changes() {
    let daily = series("2026-03-28T08:00:00Z", "Europe/Berlin", "FREQ=DAILY").expect("a rule");
    assert_eq!(first(&daily, 2), ["2026-03-28T08:00:00Z", "2026-03-29T07:00:00Z"]);
}

#[test]
fn refuses_rules_that_are_always_in_gaps() {
    let all = (0..60).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
    let hour = "FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU;BYHOUR=2";
    for rrule in [
        hour.to_owned(),
        format!("{hour};BYMINUTE={all}"),
        format!("{hour};BYMINUTE={all};BYSECOND={all}"),
        format!("{hour};BYMINUTE={all};BYSECOND={all};UNTIL=99991231T000000Z"),
    ] {
        let rule =
            Rule { rrule: &rrule, exdates: &[], rdates: &[], gap: Gap::Skip, fold: Fold::First };
        let refused = Series::new(
            at("2026-03-01T00:00:00Z"),
            Zone::parse("Europe/Berlin").expect("a zone"),
            rule,
        );
        assert_eq!(refused.err(), Some(Refusal::TooRare), "{rrule}");
    }
}

#[test]
fn ends_search_that_skips_too_many_gaps() {
    let all = (0..60).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
    let rrule = format!("FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU;BYHOUR=2;BYMINUTE={all}");
    // Berlin had no gaps then; from 1981 on all instances lie in one.
    let early =
        with_policies("1970-01-01T00:00:00Z", "Europe/Berlin", &rrule, Gap::Skip, Fold::First);
    let mut late = early.after(at("1990-01-01T00:00:00Z"));
    assert_eq!((late.next(), late.is_exhausted()), (None, true));
    assert_eq!(early.last_until(at("2026-01-01T00:00:00Z")), Some(at("1980-03-30T01:59:00Z")));
}

#[test]
fn skips_day_that_zone_left_out() {
    let every = with_policies(
        "2011-12-30T09:00:00Z",
        "Pacific/Apia",
        "FREQ=MINUTELY",
        Gap::Skip,
        Fold::First,
    );
    assert_eq!(every.after(at("2011-12-30T09:59:00Z")).next(), Some(at("2011-12-30T10:00:00Z")));
    assert_eq!(every.after(at("2011-12-30T10:00:00Z")).next(), Some(at("2011-12-30T10:01:00Z")));
}

#[test]
fn uses_repeated_time_by_policy() {
    let of = |fold| {
        first(
            &with_policies(
                "2026-10-24T00:30:00Z",
                "Europe/Berlin",
                "FREQ=DAILY;COUNT=2",
                Gap::Shift,
                fold,
            ),
            9,
        )
    };
    assert_eq!(of(Fold::First), ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z"]);
    assert_eq!(of(Fold::Second), ["2026-10-24T00:30:00Z", "2026-10-25T01:30:00Z"]);
    assert_eq!(
        of(Fold::Both),
        ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]
    );
}

#[test]
fn orders_both_instants_of_fold_by_time() {
    let every = with_policies(
        "2026-10-24T23:00:00Z",
        "Europe/Berlin",
        "FREQ=MINUTELY;INTERVAL=30",
        Gap::Shift,
        Fold::Both,
    );
    let times: Vec<_> = every.after(at("2026-10-24T23:00:00Z")).take(10).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == TimeDelta::minutes(30)), "{times:?}");
}

#[test]
fn merges_instances_shifted_onto_others() {
    let hourly = series("2026-03-28T23:30:00Z", "Europe/Berlin", "FREQ=HOURLY").expect("a rule");
    assert_eq!(
        first(&hourly, 4),
        [
            "2026-03-28T23:30:00Z",
            "2026-03-29T00:30:00Z",
            "2026-03-29T01:30:00Z",
            "2026-03-29T02:30:00Z"
        ]
    );
}

#[test]
fn follows_clock_changes_of_next_century() {
    let yearly = series("2110-07-01T08:00:00Z", "Europe/Berlin", "FREQ=MONTHLY;BYMONTH=7,12")
        .expect("a rule");
    assert_eq!(first(&yearly, 2), ["2110-07-01T08:00:00Z", "2110-12-01T09:00:00Z"]);
}

#[test]
fn finds_occurrence_26_hours_before_change() {
    let daily = series("2026-10-20T01:00:00+02:00", "Europe/Berlin", "FREQ=DAILY").expect("a rule");
    let at = at("2026-10-23T23:00:00Z");
    assert!(daily.contains(at));
    assert_eq!(daily.last_until(at), Some(at));
}
