//! Rules from public bug reports of calendar and reminder software, each by its id in the
//! collection of reports and with the right answer, and others of the same kinds.

use chrono::{DateTime, Utc};
use recurrence::{Fold, Gap, Refusal, Rule, Series, Zone};

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).expect("a time").to_utc()
}

fn read(start: &str, zone: &str, rrule: &str, gap: Gap, fold: Fold) -> Result<Series, Refusal> {
    let zone = Zone::parse(zone).expect("a zone");
    Series::new(at(start), zone, Rule { rrule, exdates: &[], rdates: &[], gap, fold })
}

/// Checks the first occurrences of a rule, and that there are no more if it has an end.
#[track_caller]
fn assert_occurs(
    start: &str,
    zone: &str,
    rrule: &str,
    (gap, fold): (Gap, Fold),
    expected: &[&str],
) {
    let series = read(start, zone, rrule, gap, fold).expect(rrule);
    let shown = if series.ends() { usize::MAX } else { expected.len() };
    let found = series.after(DateTime::<Utc>::MIN_UTC).take(shown);
    let found: Vec<_> = found.map(|at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string()).collect();
    assert_eq!(found, expected, "{rrule} in {zone}, {gap:?}, {fold:?}");
    if series.ends() {
        assert_eq!(series.last(), expected.last().map(|last| at(last)), "{rrule} in {zone}");
    }
}

const DEFAULT: (Gap, Fold) = (Gap::Shift, Fold::First);
const SKIP: (Gap, Fold) = (Gap::Skip, Fold::First);
const BOTH: (Gap, Fold) = (Gap::Shift, Fold::Both);

/// Case R1.
#[test]
fn ends_on_whole_day_of_until() {
    let of = |hour: &str, days: [u32; 6]| days.map(|day| format!("2016-06-{day:02}T{hour}:00:00Z"));
    let rule = "FREQ=DAILY;INTERVAL=1;UNTIL=20160629";
    let morning = of("10", [24, 25, 26, 27, 28, 29]);
    let morning: Vec<&str> = morning.iter().map(String::as_str).collect();
    assert_occurs("2016-06-24T10:00:00Z", "UTC", rule, DEFAULT, &morning);
    let evening = of("00", [25, 26, 27, 28, 29, 30]);
    let evening: Vec<&str> = evening.iter().map(String::as_str).collect();
    assert_occurs("2016-06-24T20:00:00-04:00", "America/New_York", rule, DEFAULT, &evening);
}

/// Case R2.
#[test]
fn ends_before_instant_of_until() {
    let expected = ["2019-04-03T13:00:00Z", "2019-04-10T13:00:00Z", "2019-04-17T13:00:00Z"];
    let (start, zone) = ("2019-04-03T09:00:00-04:00", "America/Toronto");
    assert_occurs(start, zone, "FREQ=WEEKLY;UNTIL=20190424T125959Z", DEFAULT, &expected);
}

/// Cases R4 and R5.
#[test]
fn counts_no_day_that_does_not_exist() {
    for (start, rrule, expected) in [
        (
            "2092-02-29T12:00:00Z",
            "FREQ=YEARLY;COUNT=4",
            vec![
                "2092-02-29T12:00:00Z",
                "2096-02-29T12:00:00Z",
                "2104-02-29T12:00:00Z",
                "2108-02-29T12:00:00Z",
            ],
        ),
        (
            "2025-09-29T08:00:00Z",
            "FREQ=MONTHLY;BYDAY=5MO;COUNT=3",
            vec!["2025-09-29T08:00:00Z", "2025-12-29T08:00:00Z", "2026-03-30T08:00:00Z"],
        ),
        (
            "2026-01-31T08:00:00Z",
            "FREQ=MONTHLY;COUNT=3",
            vec!["2026-01-31T08:00:00Z", "2026-03-31T08:00:00Z", "2026-05-31T08:00:00Z"],
        ),
    ] {
        assert_occurs(start, "UTC", rrule, DEFAULT, &expected);
    }
}

/// Case R5.
#[test]
fn chooses_earlier_of_day_30_and_last_day() {
    let expected = [
        "2026-01-30T08:00:00Z",
        "2026-02-28T08:00:00Z",
        "2026-03-30T08:00:00Z",
        "2026-04-30T08:00:00Z",
        "2026-05-30T08:00:00Z",
    ];
    let rule = "FREQ=MONTHLY;BYMONTHDAY=30,-1;BYSETPOS=1";
    assert_occurs("2026-01-30T08:00:00Z", "UTC", rule, DEFAULT, &expected);
}

/// Case R13.
#[test]
fn refuses_numbers_that_have_no_meaning() {
    for rrule in [
        "FREQ=WEEKLY;BYDAY=1MO",
        "FREQ=WEEKLY;BYDAY=2TU,TH",
        "FREQ=DAILY;BYDAY=1MO",
        "FREQ=MONTHLY;BYDAY=0MO",
        "FREQ=MONTHLY;BYMONTHDAY=0",
    ] {
        let refused = read("2096-01-01T09:00:00Z", "UTC", rrule, Gap::Shift, Fold::First).err();
        let is_named = refused.is_some_and(|refusal| refusal.to_string().contains("BY"));
        assert!(is_named, "{rrule}");
    }
}

/// Case R7.
#[test]
fn counts_no_skipped_time_of_daily_rule() {
    let (start, zone) = ("2017-03-25T02:30:00+01:00", "Europe/Vienna");
    let shifted = ["2017-03-25T01:30:00Z", "2017-03-26T01:30:00Z", "2017-03-27T00:30:00Z"];
    assert_occurs(start, zone, "FREQ=DAILY;COUNT=3", DEFAULT, &shifted);
    let skipped = ["2017-03-25T01:30:00Z", "2017-03-27T00:30:00Z", "2017-03-28T00:30:00Z"];
    assert_occurs(start, zone, "FREQ=DAILY;COUNT=3", SKIP, &skipped);
}

#[test]
fn counts_no_skipped_time_of_other_rules() {
    for (start, zone, rrule, expected) in [
        (
            "2026-03-01T02:30:00-05:00",
            "America/New_York",
            "FREQ=WEEKLY;COUNT=3",
            ["2026-03-01T07:30:00Z", "2026-03-15T06:30:00Z", "2026-03-22T06:30:00Z"],
        ),
        (
            "2026-03-28T02:30:00+01:00",
            "Europe/Berlin",
            "FREQ=DAILY;BYHOUR=2,14;COUNT=3",
            ["2026-03-28T01:30:00Z", "2026-03-28T13:30:00Z", "2026-03-29T12:30:00Z"],
        ),
        (
            "2026-02-28T02:00:00+01:00",
            "Europe/Berlin",
            "FREQ=MONTHLY;BYDAY=-1SA,-1SU;BYSETPOS=-1;COUNT=3",
            ["2026-02-28T01:00:00Z", "2026-04-26T00:00:00Z", "2026-05-31T00:00:00Z"],
        ),
        // The zone left out 30 December 2011.
        (
            "2011-12-29T08:00:00-10:00",
            "Pacific/Apia",
            "FREQ=DAILY;COUNT=3",
            ["2011-12-29T18:00:00Z", "2011-12-30T18:00:00Z", "2011-12-31T18:00:00Z"],
        ),
        (
            "2026-03-29T01:30:00+01:00",
            "Europe/Berlin",
            "FREQ=HOURLY;COUNT=3",
            ["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z", "2026-03-29T02:30:00Z"],
        ),
        (
            "2026-03-29T01:00:00+01:00",
            "Europe/Berlin",
            "FREQ=MINUTELY;INTERVAL=45;COUNT=3",
            ["2026-03-29T00:00:00Z", "2026-03-29T00:45:00Z", "2026-03-29T01:15:00Z"],
        ),
    ] {
        assert_occurs(start, zone, rrule, SKIP, &expected);
    }
}

/// Case R9.
#[test]
fn yields_each_hour_once_when_clock_goes_forward() {
    let expected = ["2017-03-26T00:30:00Z", "2017-03-26T01:30:00Z", "2017-03-26T02:30:00Z"];
    let (start, zone) = ("2017-03-26T01:30:00+01:00", "Europe/Vienna");
    for policies in [DEFAULT, SKIP, BOTH] {
        assert_occurs(start, zone, "FREQ=HOURLY;COUNT=3", policies, &expected);
        assert_occurs(start, zone, "FREQ=HOURLY", policies, &expected);
        assert_occurs(start, zone, "FREQ=MINUTELY;INTERVAL=60;COUNT=3", policies, &expected);
        assert_occurs(start, zone, "FREQ=SECONDLY;INTERVAL=3600;COUNT=3", policies, &expected);
    }
}

#[test]
fn counts_shifted_time_once_with_the_other() {
    let (start, zone) = ("2017-03-25T02:00:00+01:00", "Europe/Vienna");
    let expected = [
        "2017-03-25T01:00:00Z",
        "2017-03-25T02:00:00Z",
        "2017-03-26T01:00:00Z",
        "2017-03-27T00:00:00Z",
    ];
    assert_occurs(start, zone, "FREQ=DAILY;BYHOUR=2,3;COUNT=4", DEFAULT, &expected);
    // The shifted times and the others take turns, in order of time.
    let expected = ["2017-03-26T00:45:00Z", "2017-03-26T01:15:00Z", "2017-03-26T01:30:00Z"];
    let start = "2017-03-26T01:45:00+01:00";
    assert_occurs(start, zone, "FREQ=MINUTELY;INTERVAL=45;COUNT=3", DEFAULT, &expected);
}

/// Case R9.
#[test]
fn yields_each_hour_once_when_clock_goes_back() {
    let expected = [
        "2023-10-28T23:00:00Z",
        "2023-10-29T00:00:00Z",
        "2023-10-29T01:00:00Z",
        "2023-10-29T02:00:00Z",
        "2023-10-29T03:00:00Z",
    ];
    let (start, zone) = ("2023-10-29T00:00:00+01:00", "Europe/London");
    for rrule in ["FREQ=HOURLY", "FREQ=HOURLY;COUNT=5", "FREQ=MINUTELY;INTERVAL=60;COUNT=5"] {
        assert_occurs(start, zone, rrule, BOTH, &expected);
    }
    assert_occurs(start, zone, "FREQ=HOURLY;COUNT=2", BOTH, &expected[..2]);
    assert_occurs(start, zone, "FREQ=HOURLY;COUNT=3", BOTH, &expected[..3]);
    let first = [expected[0], expected[1], expected[3]];
    assert_occurs(start, zone, "FREQ=HOURLY;COUNT=3", DEFAULT, &first);
    // The next instance of a rare rule does not hide the second pass of this one.
    let rrule = "FREQ=MINUTELY;BYMONTH=10;BYMONTHDAY=29;BYHOUR=1;BYMINUTE=30;COUNT=3";
    let rare = ["2023-10-29T00:30:00Z", "2023-10-29T01:30:00Z", "2024-10-29T01:30:00Z"];
    assert_occurs(start, zone, rrule, BOTH, &rare);
}

#[test]
fn counts_repeated_time_of_daily_rule_as_one() {
    let expected = [
        "2026-10-24T00:30:00Z",
        "2026-10-25T00:30:00Z",
        "2026-10-25T01:30:00Z",
        "2026-10-26T01:30:00Z",
    ];
    let (start, zone) = ("2026-10-24T02:30:00+02:00", "Europe/Berlin");
    assert_occurs(start, zone, "FREQ=DAILY;COUNT=3", BOTH, &expected);
    assert_occurs(start, zone, "FREQ=DAILY;COUNT=2", BOTH, &expected[..3]);
    // Of two repeated times, COUNT=2 reaches only the first, and both instants of it.
    let expected = ["2026-10-24T00:15:00Z", "2026-10-25T00:15:00Z", "2026-10-25T01:15:00Z"];
    let rrule = "FREQ=WEEKLY;BYDAY=SA,SU;BYHOUR=2;BYMINUTE=15;COUNT=2";
    assert_occurs("2026-10-24T02:15:00+02:00", zone, rrule, BOTH, &expected);
}
