//! What the rules mean, on cases that a reader can check by hand.

use chrono::{DateTime, TimeDelta, Utc};

use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn series(start: &str, zone: &str, rrule: &str) -> Result<Series, Refusal> {
    Series::new(
        at(start),
        Zone::parse(zone).expect("a zone"),
        Rule { rrule, exdates: &[], gap: Gap::default(), fold: Fold::default() },
    )
}

fn with_policies(start: &str, zone: &str, rrule: &str, gap: Gap, fold: Fold) -> Series {
    Series::new(at(start), Zone::parse(zone).expect("a zone"), Rule { rrule, exdates: &[], gap, fold }).expect("a rule")
}

fn first(series: &Series, count: usize) -> Vec<String> {
    let all = series.after(DateTime::<Utc>::MIN_UTC).take(count);
    all.map(|at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string()).collect()
}

#[test]
fn a_wall_clock_stays_the_same_when_the_offset_changes() {
    let daily = series("2026-03-28T08:00:00Z", "Europe/Berlin", "FREQ=DAILY").expect("a rule");
    assert_eq!(first(&daily, 2), ["2026-03-28T08:00:00Z", "2026-03-29T07:00:00Z"]);
}

#[test]
fn a_time_in_a_gap_is_shifted_or_left_out_and_counted_either_way() {
    let (start, rule) = ("2026-03-28T01:30:00Z", "FREQ=DAILY;COUNT=3");
    let shifted = with_policies(start, "Europe/Berlin", rule, Gap::Shift, Fold::First);
    assert_eq!(first(&shifted, 9), ["2026-03-28T01:30:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"]);
    let skipped = with_policies(start, "Europe/Berlin", rule, Gap::Skip, Fold::First);
    assert_eq!(first(&skipped, 9), ["2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"]);
}

#[test]
fn a_time_that_comes_twice_is_taken_as_the_policy_says() {
    let of = |fold| {
        first(&with_policies("2026-10-24T00:30:00Z", "Europe/Berlin", "FREQ=DAILY;COUNT=2", Gap::Shift, fold), 9)
    };
    assert_eq!(of(Fold::First), ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z"]);
    assert_eq!(of(Fold::Second), ["2026-10-24T00:30:00Z", "2026-10-25T01:30:00Z"]);
    assert_eq!(of(Fold::Both), ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]);
}

#[test]
fn both_readings_of_a_fold_come_in_the_order_of_time() {
    let every =
        with_policies("2026-10-24T23:00:00Z", "Europe/Berlin", "FREQ=MINUTELY;INTERVAL=30", Gap::Shift, Fold::Both);
    let times: Vec<_> = every.after(at("2026-10-24T23:00:00Z")).take(10).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == TimeDelta::minutes(30)), "{times:?}");
}

#[test]
fn instances_that_a_gap_pushes_onto_others_are_one() {
    let hourly = series("2026-03-28T23:30:00Z", "Europe/Berlin", "FREQ=HOURLY").expect("a rule");
    assert_eq!(
        first(&hourly, 4),
        ["2026-03-28T23:30:00Z", "2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z", "2026-03-29T02:30:00Z"]
    );
}

#[test]
fn the_start_is_an_occurrence_only_if_the_rule_yields_it() {
    let mondays = series("2026-05-01T08:00:00Z", "UTC", "FREQ=WEEKLY;BYDAY=MO").expect("a rule");
    assert_eq!(first(&mondays, 1), ["2026-05-04T08:00:00Z"]);
}

#[test]
fn an_end_is_read_in_each_of_its_forms() {
    for (until, last) in [
        ("20260503T100000Z", "2026-05-03T10:00:00Z"),
        ("20260503T095959Z", "2026-05-02T10:00:00Z"),
        ("20260503T120000", "2026-05-03T10:00:00Z"),
        ("20260503", "2026-05-03T10:00:00Z"),
    ] {
        let daily =
            series("2026-05-01T10:00:00Z", "Europe/Berlin", &format!("FREQ=DAILY;UNTIL={until}")).expect("a rule");
        assert_eq!(daily.last(), Some(at(last)), "{until}");
    }
}

#[test]
fn exclusions_are_local_times_days_or_instants() {
    let excluded = ["2026-05-02T12:00:00", "2026-05-03", "2026-05-04T10:00:00Z"].map(ToOwned::to_owned);
    let rule = Rule { rrule: "FREQ=DAILY;COUNT=5", exdates: &excluded, gap: Gap::Shift, fold: Fold::First };
    let daily =
        Series::new(at("2026-05-01T10:00:00Z"), Zone::parse("Europe/Berlin").expect("a zone"), rule).expect("a rule");
    assert_eq!(first(&daily, 9), ["2026-05-01T10:00:00Z", "2026-05-05T10:00:00Z"]);
}

#[test]
fn milliseconds_of_the_start_are_kept() {
    let daily = series("2026-05-01T10:00:00.250Z", "UTC", "FREQ=DAILY;COUNT=2").expect("a rule");
    assert_eq!(daily.last(), Some(at("2026-05-02T10:00:00.250Z")));
    assert_eq!(daily.after(at("2026-05-01T10:00:00.250Z")).next(), daily.last());
}

#[test]
fn what_no_reminder_can_mean_is_refused() {
    for never in ["FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "FREQ=DAILY;BYMONTHDAY=31;BYMONTH=4"] {
        assert_eq!(series("2026-05-01T10:00:00Z", "UTC", never).err(), Some(Refusal::NeverFires), "{never}");
    }
    for often in ["FREQ=SECONDLY", "FREQ=MINUTELY;BYSECOND=0,1", "FREQ=DAILY;BYHOUR=9;BYSECOND=0,30"] {
        assert_eq!(series("2026-05-01T10:00:00Z", "UTC", often).err(), Some(Refusal::TooOften), "{often}");
    }
    for unsupported in ["FREQ=DAILY;COUNT=2;UNTIL=20270101", "FREQ=DAILY;COUNT=10001", "FREQ=DAILY;UNTIL=tomorrow"] {
        assert!(
            matches!(series("2026-05-01T10:00:00Z", "UTC", unsupported), Err(Refusal::Unsupported(_))),
            "{unsupported}"
        );
    }
    for malformed in [
        "",
        "DAILY",
        "FREQ=NEVER",
        "FREQ=DAILY;FREQ=DAILY",
        "FREQ=DAILY;INTERVAL=-1",
        "FREQ=DAILY\nDTSTART:20200101T000000Z",
    ] {
        assert!(matches!(series("2026-05-01T10:00:00Z", "UTC", malformed), Err(Refusal::Malformed(_))), "{malformed}");
    }
    assert!(series("2026-05-01T10:00:00Z", "UTC", "FREQ=SECONDLY;INTERVAL=90").is_ok());
}

#[test]
fn a_rule_that_ends_before_it_fires_is_a_rule_without_occurrences() {
    let ended = series("2026-05-01T10:00:00Z", "UTC", "FREQ=DAILY;UNTIL=20200101T000000Z").expect("a rule");
    assert!(!ended.fires());
    assert_eq!(ended.last(), None);
}

#[test]
fn a_minutely_rule_keeps_its_step_over_the_hours_that_it_leaves_out() {
    let rule = series("2020-09-15T10:35:00Z", "UTC", "FREQ=MINUTELY;INTERVAL=19;BYHOUR=1").expect("a rule");
    for at in rule.after(DateTime::<Utc>::MIN_UTC).take(50) {
        assert_eq!((at - self::at("2020-09-15T10:35:00Z")).num_minutes() % 19, 0, "{at}");
    }
}

#[test]
fn positions_choose_within_each_hour() {
    let rule = series("2026-05-01T10:00:00Z", "UTC", "FREQ=HOURLY;BYMINUTE=0,20,40;BYSETPOS=1,-1").expect("a rule");
    assert_eq!(first(&rule, 3), ["2026-05-01T10:00:00Z", "2026-05-01T10:40:00Z", "2026-05-01T11:00:00Z"]);
}

#[test]
fn the_clock_changes_in_the_next_century_as_well() {
    let yearly = series("2110-07-01T08:00:00Z", "Europe/Berlin", "FREQ=MONTHLY;BYMONTH=7,12").expect("a rule");
    assert_eq!(first(&yearly, 2), ["2110-07-01T08:00:00Z", "2110-12-01T09:00:00Z"]);
}

#[test]
fn the_latest_occurrence_is_found_without_walking_from_the_start() {
    let minutely = series("1990-01-01T00:00:00Z", "America/New_York", "FREQ=MINUTELY;INTERVAL=7").expect("a rule");
    let last = minutely.last_until(at("2026-11-21T10:00:00Z")).expect("there is one");
    assert!(at("2026-11-21T10:00:00Z") - last < TimeDelta::minutes(7));
    assert_eq!(minutely.after(last - TimeDelta::seconds(1)).next(), Some(last));
    let rare = series("2024-02-29T09:00:00Z", "UTC", "FREQ=YEARLY").expect("a rule");
    assert_eq!(rare.last_until(at("2027-12-31T00:00:00Z")), Some(at("2024-02-29T09:00:00Z")));
    assert_eq!(rare.last_until(at("2024-02-28T00:00:00Z")), None);
}

#[test]
fn deliveries_of_several_offsets_come_merged_and_once() {
    let hourly = series("2026-05-01T10:00:00Z", "UTC", "FREQ=HOURLY").expect("a rule");
    let timetable = Timetable::recurring(hourly, vec![0, 30, 60]);
    let deliveries: Vec<Delivery> = timetable.after(at("2026-05-01T10:00:00Z")).take(3).collect();
    let times: Vec<_> = deliveries.iter().map(|it| it.at.format("%H:%M").to_string()).collect();
    assert_eq!(times, ["10:30", "11:00", "11:30"]);
    assert_eq!(deliveries[1].date, at("2026-05-01T11:00:00Z"), "the occurrence that is now, not the one in an hour");
    assert!(timetable.has(at("2026-05-01T11:30:00Z")) && !timetable.has(at("2026-05-01T11:31:00Z")));
}

#[test]
fn the_latest_delivery_is_the_last_that_has_come() {
    let once = Timetable::once(at("2026-05-01T10:00:00Z"), vec![0, 60]);
    assert_eq!(once.latest(at("2026-05-01T08:59:59Z")), None);
    assert_eq!(once.latest(at("2026-05-01T09:30:00Z")).map(|it| it.at), Some(at("2026-05-01T09:00:00Z")));
    assert_eq!(once.latest(at("2026-05-02T00:00:00Z")).map(|it| it.at), Some(at("2026-05-01T10:00:00Z")));
    assert_eq!(once.last(), Some(at("2026-05-01T10:00:00Z")));
}
