//! Meaning of rules, on cases that a reader can check by hand.

mod counts;
mod extra_dates;
mod refusals;
mod schedules;
mod zones;

use chrono::{DateTime, TimeDelta, Utc};

use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn series(start: &str, zone: &str, rrule: &str) -> Result<Series, Refusal> {
    Series::new(
        at(start),
        Zone::parse(zone).expect("a zone"),
        Rule { rrule, exdates: &[], rdates: &[], gap: Gap::default(), fold: Fold::default() },
    )
}

fn with_policies(start: &str, zone: &str, rrule: &str, gap: Gap, fold: Fold) -> Series {
    Series::new(
        at(start),
        Zone::parse(zone).expect("a zone"),
        Rule { rrule, exdates: &[], rdates: &[], gap, fold },
    )
    .unwrap_or_else(|refusal| panic!("{rrule} in {zone}: {refusal}"))
}

fn first(series: &Series, count: usize) -> Vec<String> {
    let all = series.after(DateTime::<Utc>::MIN_UTC).take(count);
    all.map(|at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string()).collect()
}

#[test]
fn includes_start_only_if_rule_yields_it() {
    let mondays = series("2026-05-01T08:00:00Z", "UTC", "FREQ=WEEKLY;BYDAY=MO").expect("a rule");
    assert_eq!(first(&mondays, 1), ["2026-05-04T08:00:00Z"]);
}

#[test]
fn reads_every_form_of_until() {
    for (until, last) in [
        ("20260503T100000Z", "2026-05-03T10:00:00Z"),
        ("20260503T095959Z", "2026-05-02T10:00:00Z"),
        ("20260503T120000", "2026-05-03T10:00:00Z"),
        ("20260503", "2026-05-03T10:00:00Z"),
    ] {
        let daily =
            series("2026-05-01T10:00:00Z", "Europe/Berlin", &format!("FREQ=DAILY;UNTIL={until}"))
                .expect("a rule");
        assert_eq!(daily.last(), Some(at(last)), "{until}");
    }
}

#[test]
fn excludes_local_times_days_and_instants() {
    let excluded =
        ["2026-05-02T12:00:00", "2026-05-03", "2026-05-04T10:00:00Z"].map(ToOwned::to_owned);
    let rule = Rule {
        rrule: "FREQ=DAILY;COUNT=5",
        exdates: &excluded,
        rdates: &[],
        gap: Gap::Shift,
        fold: Fold::First,
    };
    let daily = Series::new(
        at("2026-05-01T10:00:00Z"),
        Zone::parse("Europe/Berlin").expect("a zone"),
        rule,
    )
    .expect("a rule");
    assert_eq!(first(&daily, 9), ["2026-05-01T10:00:00Z", "2026-05-05T10:00:00Z"]);
}

#[test]
fn keeps_milliseconds_of_start() {
    let daily = series("2026-05-01T10:00:00.250Z", "UTC", "FREQ=DAILY;COUNT=2").expect("a rule");
    assert_eq!(daily.last(), Some(at("2026-05-02T10:00:00.250Z")));
    assert_eq!(daily.after(at("2026-05-01T10:00:00.250Z")).next(), daily.last());
}

#[test]
fn accepts_rule_that_ends_before_it_fires() {
    let ended =
        series("2026-05-01T10:00:00Z", "UTC", "FREQ=DAILY;UNTIL=20200101T000000Z").expect("a rule");
    assert!(!ended.fires());
    assert_eq!(ended.last(), None);
}

#[test]
fn keeps_minutely_interval_over_skipped_hours() {
    let rule = series("2020-09-15T10:35:00Z", "UTC", "FREQ=MINUTELY;INTERVAL=19;BYHOUR=1")
        .expect("a rule");
    for at in rule.after(DateTime::<Utc>::MIN_UTC).take(50) {
        assert_eq!((at - self::at("2020-09-15T10:35:00Z")).num_minutes() % 19, 0, "{at}");
    }
}

#[test]
fn chooses_positions_within_each_hour() {
    let rule = series("2026-05-01T10:00:00Z", "UTC", "FREQ=HOURLY;BYMINUTE=0,20,40;BYSETPOS=1,-1")
        .expect("a rule");
    assert_eq!(
        first(&rule, 3),
        ["2026-05-01T10:00:00Z", "2026-05-01T10:40:00Z", "2026-05-01T11:00:00Z"]
    );
}

#[test]
fn finds_latest_occurrence_directly() {
    let minutely = series("1990-01-01T00:00:00Z", "America/New_York", "FREQ=MINUTELY;INTERVAL=7")
        .expect("a rule");
    let last = minutely.last_until(at("2026-11-21T10:00:00Z")).expect("there is one");
    assert!(at("2026-11-21T10:00:00Z") - last < TimeDelta::minutes(7));
    assert_eq!(minutely.after(last - TimeDelta::seconds(1)).next(), Some(last));
    let rare = series("2024-02-29T09:00:00Z", "UTC", "FREQ=YEARLY").expect("a rule");
    assert_eq!(rare.last_until(at("2027-12-31T00:00:00Z")), Some(at("2024-02-29T09:00:00Z")));
    assert_eq!(rare.last_until(at("2024-02-28T00:00:00Z")), None);
}

#[test]
fn combines_numbered_weekdays_with_others() {
    let rule = series("2026-06-01T08:00:00Z", "UTC", "FREQ=MONTHLY;BYDAY=1MO,TU").expect("a rule");
    let days = ["01", "02", "09", "16", "23", "30"].map(|day| format!("2026-06-{day}T08:00:00Z"));
    assert_eq!(first(&rule, 6), days);
}

#[test]
fn reads_leap_second_as_previous_second() {
    let rule = series("2026-06-01T08:00:00Z", "UTC", "FREQ=DAILY;BYSECOND=60").expect("a rule");
    assert_eq!(first(&rule, 1), ["2026-06-01T08:00:59Z"]);
}

#[test]
fn chooses_positions_of_whole_first_week() {
    let rule = series("2026-06-03T08:00:00Z", "UTC", "FREQ=WEEKLY;BYDAY=MO,WE,FR;BYSETPOS=2")
        .expect("a rule");
    assert_eq!(first(&rule, 2), ["2026-06-03T08:00:00Z", "2026-06-10T08:00:00Z"]);
}

#[test]
fn counts_positions_of_dense_periods_without_listing() {
    let all = |most: u32| (0..most).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
    let rrule = format!(
        "FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYHOUR={};BYMINUTE={};BYSECOND={};BYSETPOS=1",
        all(24),
        all(60),
        all(60)
    );
    let rule = series("2026-06-01T08:00:00Z", "UTC", &rrule).expect("a rule");
    assert_eq!(
        first(&rule, 3),
        ["2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z", "2029-01-01T00:00:00Z"]
    );
}

#[test]
fn finds_end_of_counted_rules() {
    for (rrule, last) in [
        ("FREQ=DAILY;COUNT=10000", "2053-10-16T08:00:00Z"),
        ("FREQ=HOURLY;INTERVAL=5;COUNT=10000", "2032-02-13T11:00:00Z"),
        ("FREQ=MONTHLY;INTERVAL=2;BYMONTHDAY=1,31;COUNT=9", "2027-04-01T08:00:00Z"),
        ("FREQ=WEEKLY;BYDAY=MO,WE;BYHOUR=7,9;COUNT=5", "2026-06-08T09:00:00Z"),
        ("FREQ=HOURLY;BYHOUR=9,17;COUNT=10000", "2040-02-07T17:00:00Z"),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;COUNT=3", "2026-08-31T08:00:00Z"),
    ] {
        let rule = series("2026-06-01T08:00:00Z", "UTC", rrule).expect("a rule");
        assert_eq!(rule.last(), Some(at(last)), "{rrule}");
        assert_eq!(rule.after(rule.last().expect("an end")).next(), None, "{rrule}");
    }
}

#[test]
fn skips_excluded_days_at_once() {
    let start = at("2026-01-01T00:00:00Z");
    let excluded: Vec<String> = (0..1_000)
        .map(|day| (start + TimeDelta::days(day)).format("%Y-%m-%d").to_string())
        .collect();
    let rule = Rule {
        rrule: "FREQ=MINUTELY",
        exdates: &excluded,
        rdates: &[],
        gap: Gap::Shift,
        fold: Fold::First,
    };
    let series = Series::new(start, Zone::parse("UTC").expect("a zone"), rule).expect("a rule");
    assert_eq!(series.after(start).next(), Some(start + TimeDelta::days(1_000)));
}
