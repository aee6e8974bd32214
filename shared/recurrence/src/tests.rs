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
    Series::new(
        at(start),
        Zone::parse(zone).expect("a zone"),
        Rule { rrule, exdates: &[], gap, fold },
    )
    .expect("a rule")
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
    assert_eq!(
        first(&shifted, 9),
        ["2026-03-28T01:30:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"]
    );
    let skipped = with_policies(start, "Europe/Berlin", rule, Gap::Skip, Fold::First);
    assert_eq!(first(&skipped, 9), ["2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"]);
}

#[test]
fn refuses_rules_that_always_fall_into_gaps() {
    let all = (0..60).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
    let hour = "FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU;BYHOUR=2";
    for rrule in [
        hour.to_owned(),
        format!("{hour};BYMINUTE={all}"),
        format!("{hour};BYMINUTE={all};BYSECOND={all}"),
        format!("{hour};BYMINUTE={all};BYSECOND={all};UNTIL=99991231T000000Z"),
    ] {
        let rule = Rule { rrule: &rrule, exdates: &[], gap: Gap::Skip, fold: Fold::First };
        let refused = Series::new(
            at("2026-03-01T00:00:00Z"),
            Zone::parse("Europe/Berlin").expect("a zone"),
            rule,
        );
        assert_eq!(refused.err(), Some(Refusal::TooRare), "{rrule}");
    }
}

#[test]
fn ends_search_that_passes_over_too_many_gaps() {
    let all = (0..60).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
    let rrule = format!("FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU;BYHOUR=2;BYMINUTE={all}");
    // Berlin had no gaps then; from 1981 on all instances lie in one.
    let early =
        with_policies("1970-01-01T00:00:00Z", "Europe/Berlin", &rrule, Gap::Skip, Fold::First);
    let mut late = early.after(at("1990-01-01T00:00:00Z"));
    assert_eq!((late.next(), late.is_exhausted), (None, true));
    assert_eq!(early.last_until(at("2026-01-01T00:00:00Z")), Some(at("1980-03-30T01:59:00Z")));
}

#[test]
fn passes_over_a_day_that_a_zone_left_out() {
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
fn a_time_that_comes_twice_is_taken_as_the_policy_says() {
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
fn both_readings_of_a_fold_come_in_the_order_of_time() {
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
fn instances_that_a_gap_pushes_onto_others_are_one() {
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
            series("2026-05-01T10:00:00Z", "Europe/Berlin", &format!("FREQ=DAILY;UNTIL={until}"))
                .expect("a rule");
        assert_eq!(daily.last(), Some(at(last)), "{until}");
    }
}

#[test]
fn exclusions_are_local_times_days_or_instants() {
    let excluded =
        ["2026-05-02T12:00:00", "2026-05-03", "2026-05-04T10:00:00Z"].map(ToOwned::to_owned);
    let rule = Rule {
        rrule: "FREQ=DAILY;COUNT=5",
        exdates: &excluded,
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
fn milliseconds_of_the_start_are_kept() {
    let daily = series("2026-05-01T10:00:00.250Z", "UTC", "FREQ=DAILY;COUNT=2").expect("a rule");
    assert_eq!(daily.last(), Some(at("2026-05-02T10:00:00.250Z")));
    assert_eq!(daily.after(at("2026-05-01T10:00:00.250Z")).next(), daily.last());
}

#[test]
fn what_no_reminder_can_mean_is_refused() {
    for never in ["FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "FREQ=DAILY;BYMONTHDAY=31;BYMONTH=4"] {
        assert_eq!(
            series("2026-05-01T10:00:00Z", "UTC", never).err(),
            Some(Refusal::NeverFires),
            "{never}"
        );
    }
    for often in
        ["FREQ=SECONDLY", "FREQ=MINUTELY;BYSECOND=0,1", "FREQ=DAILY;BYHOUR=9;BYSECOND=0,30"]
    {
        assert_eq!(
            series("2026-05-01T10:00:00Z", "UTC", often).err(),
            Some(Refusal::TooOften),
            "{often}"
        );
    }
    for unsupported in
        ["FREQ=DAILY;COUNT=2;UNTIL=20270101", "FREQ=DAILY;COUNT=10001", "FREQ=DAILY;UNTIL=tomorrow"]
    {
        assert!(
            matches!(
                series("2026-05-01T10:00:00Z", "UTC", unsupported),
                Err(Refusal::Unsupported(_))
            ),
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
        assert!(
            matches!(series("2026-05-01T10:00:00Z", "UTC", malformed), Err(Refusal::Malformed(_))),
            "{malformed}"
        );
    }
    assert!(series("2026-05-01T10:00:00Z", "UTC", "FREQ=SECONDLY;INTERVAL=90").is_ok());
}

#[test]
fn a_rule_that_ends_before_it_fires_is_a_rule_without_occurrences() {
    let ended =
        series("2026-05-01T10:00:00Z", "UTC", "FREQ=DAILY;UNTIL=20200101T000000Z").expect("a rule");
    assert!(!ended.fires());
    assert_eq!(ended.last(), None);
}

#[test]
fn a_minutely_rule_keeps_its_step_over_the_hours_that_it_leaves_out() {
    let rule = series("2020-09-15T10:35:00Z", "UTC", "FREQ=MINUTELY;INTERVAL=19;BYHOUR=1")
        .expect("a rule");
    for at in rule.after(DateTime::<Utc>::MIN_UTC).take(50) {
        assert_eq!((at - self::at("2020-09-15T10:35:00Z")).num_minutes() % 19, 0, "{at}");
    }
}

#[test]
fn positions_choose_within_each_hour() {
    let rule = series("2026-05-01T10:00:00Z", "UTC", "FREQ=HOURLY;BYMINUTE=0,20,40;BYSETPOS=1,-1")
        .expect("a rule");
    assert_eq!(
        first(&rule, 3),
        ["2026-05-01T10:00:00Z", "2026-05-01T10:40:00Z", "2026-05-01T11:00:00Z"]
    );
}

#[test]
fn the_clock_changes_in_the_next_century_as_well() {
    let yearly = series("2110-07-01T08:00:00Z", "Europe/Berlin", "FREQ=MONTHLY;BYMONTH=7,12")
        .expect("a rule");
    assert_eq!(first(&yearly, 2), ["2110-07-01T08:00:00Z", "2110-12-01T09:00:00Z"]);
}

#[test]
fn the_latest_occurrence_is_found_without_walking_from_the_start() {
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
fn deliveries_of_several_offsets_come_merged_and_once() {
    let hourly = series("2026-05-01T10:00:00Z", "UTC", "FREQ=HOURLY").expect("a rule");
    let timetable = Timetable::recurring(hourly, vec![0, 30, 60]);
    let deliveries: Vec<Delivery> = timetable.after(at("2026-05-01T10:00:00Z")).take(3).collect();
    let times: Vec<_> = deliveries.iter().map(|it| it.at.format("%H:%M").to_string()).collect();
    assert_eq!(times, ["10:30", "11:00", "11:30"]);
    assert_eq!(
        deliveries[1].date,
        at("2026-05-01T11:00:00Z"),
        "the occurrence that is now, not the one in an hour"
    );
    assert_eq!(timetable.delivery_at(at("2026-05-01T11:00:00Z")), Some(deliveries[1]));
    assert_eq!(timetable.delivery_at(at("2026-05-01T11:31:00Z")), None);
}

#[test]
fn the_latest_delivery_is_the_last_that_has_come() {
    let once = Timetable::once(at("2026-05-01T10:00:00Z"), vec![0, 60]);
    assert_eq!(once.latest(at("2026-05-01T08:59:59Z")), None);
    assert_eq!(
        once.latest(at("2026-05-01T09:30:00Z")).map(|it| it.at),
        Some(at("2026-05-01T09:00:00Z"))
    );
    assert_eq!(
        once.latest(at("2026-05-02T00:00:00Z")).map(|it| it.at),
        Some(at("2026-05-01T10:00:00Z"))
    );
    assert_eq!(once.last(), Some(at("2026-05-01T10:00:00Z")));
}

#[test]
fn refuses_what_rfc_5545_forbids_by_its_part() {
    for (rrule, part) in [
        ("FREQ=WEEKLY;BYDAY=2MO", "BYDAY"),
        ("FREQ=DAILY;BYDAY=1MO", "BYDAY"),
        ("FREQ=HOURLY;BYDAY=-1FR", "BYDAY"),
        ("FREQ=YEARLY;BYWEEKNO=20;BYDAY=1MO", "BYDAY"),
        ("FREQ=MONTHLY;BYDAY=0MO", "BYDAY"),
        ("FREQ=MONTHLY;BYDAY=54MO", "BYDAY"),
        ("FREQ=MONTHLY;BYMONTHDAY=0", "BYMONTHDAY"),
        ("FREQ=MONTHLY;BYMONTHDAY=32", "BYMONTHDAY"),
        ("FREQ=WEEKLY;BYMONTHDAY=1", "BYMONTHDAY"),
        ("FREQ=DAILY;BYYEARDAY=1", "BYYEARDAY"),
        ("FREQ=YEARLY;BYYEARDAY=367", "BYYEARDAY"),
        ("FREQ=MONTHLY;BYWEEKNO=1", "BYWEEKNO"),
        ("FREQ=YEARLY;BYWEEKNO=0", "BYWEEKNO"),
        ("FREQ=DAILY;BYSETPOS=1", "BYSETPOS"),
        ("FREQ=MONTHLY;BYDAY=MO;BYSETPOS=0", "BYSETPOS"),
        ("FREQ=YEARLY;BYMONTH=13", "BYMONTH"),
        ("FREQ=DAILY;BYHOUR=24", "BYHOUR"),
        ("FREQ=DAILY;BYMINUTE=60", "BYMINUTE"),
        ("FREQ=DAILY;BYSECOND=61", "BYSECOND"),
        ("FREQ=DAILY;WKST=1MO", "WKST"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL"),
        ("FREQ=DAILY;COUNT=0", "COUNT"),
        ("FREQ=DAILY;BYEASTER=1", "BYEASTER"),
        ("FREQ=DAILY;BYHOUR=", "BYHOUR"),
        ("FREQ=FORTNIGHTLY", "FREQ"),
        ("INTERVAL=2", "FREQ"),
    ] {
        let refusal = series("2026-05-01T10:00:00Z", "UTC", rrule).expect_err(rrule).to_string();
        assert!(refusal.starts_with("rrule: ") && refusal.contains(part), "{rrule}: {refusal}");
    }
}

#[test]
fn takes_counted_weekdays_beside_others() {
    let rule = series("2026-06-01T08:00:00Z", "UTC", "FREQ=MONTHLY;BYDAY=1MO,TU").expect("a rule");
    let days = ["01", "02", "09", "16", "23", "30"].map(|day| format!("2026-06-{day}T08:00:00Z"));
    assert_eq!(first(&rule, 6), days);
}

#[test]
fn reads_the_leap_second_as_the_one_before() {
    let rule = series("2026-06-01T08:00:00Z", "UTC", "FREQ=DAILY;BYSECOND=60").expect("a rule");
    assert_eq!(first(&rule, 1), ["2026-06-01T08:00:59Z"]);
}

#[test]
fn chooses_positions_of_the_whole_first_week() {
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
fn finds_the_end_of_counted_rules() {
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
fn refuses_rules_that_search_without_end() {
    for rrule in [
        "FREQ=DAILY;INTERVAL=7;BYDAY=MO",
        "FREQ=HOURLY;INTERVAL=168;BYDAY=MO",
        "FREQ=MONTHLY;INTERVAL=2;BYMONTH=2",
        "FREQ=SECONDLY;INTERVAL=86399;BYHOUR=3;BYMINUTE=0;BYSECOND=0;BYMONTH=2;BYMONTHDAY=29",
        "FREQ=MINUTELY;INTERVAL=1440;BYHOUR=3",
        "FREQ=DAILY;BYHOUR=1,2;BYSETPOS=3",
    ] {
        let refusal = series("2026-05-01T10:00:00Z", "UTC", rrule).expect_err(rrule);
        assert!(matches!(refusal, Refusal::TooRare | Refusal::NeverFires), "{rrule}: {refusal}");
    }
}

#[test]
fn passes_over_excluded_days_as_a_whole() {
    let start = at("2026-01-01T00:00:00Z");
    let excluded: Vec<String> = (0..1_000)
        .map(|day| (start + TimeDelta::days(day)).format("%Y-%m-%d").to_string())
        .collect();
    let rule =
        Rule { rrule: "FREQ=MINUTELY", exdates: &excluded, gap: Gap::Shift, fold: Fold::First };
    let series = Series::new(start, Zone::parse("UTC").expect("a zone"), rule).expect("a rule");
    assert_eq!(series.after(start).next(), Some(start + TimeDelta::days(1_000)));
}

#[test]
fn passes_over_acknowledged_deliveries_at_once() {
    let minutely = series("2026-05-01T10:00:00Z", "UTC", "FREQ=MINUTELY").expect("a rule");
    let timetable = Timetable::recurring(minutely, vec![0, 40_320]);
    let acknowledged = at("2099-05-01T10:00:00Z");
    let next =
        timetable.unacknowledged_after(at("2026-05-01T10:00:00Z"), Some(acknowledged)).next();
    let date = acknowledged + TimeDelta::minutes(1);
    assert_eq!(next, Some(Delivery { at: date - TimeDelta::minutes(40_320), date }));
}

#[test]
fn refuses_rules_over_their_limits() {
    let long = format!("FREQ=DAILY;BYHOUR={}", vec!["10"; 400].join(","));
    for (rrule, problem) in [
        (long.as_str(), "rrule: at most 1000 characters"),
        ("FREQ=DAILY;COUNT=10001", "rrule: COUNT must be between 1 and 10000"),
        ("FREQ=DAILY;COUNT=99999999999999999999", "rrule: COUNT must be between 1 and 10000"),
        ("FREQ=DAILY;INTERVAL=1000000001", "rrule: INTERVAL must be between 1 and 1000000000"),
    ] {
        let refusal = series("2026-05-01T10:00:00Z", "UTC", rrule).expect_err(rrule);
        assert_eq!(refusal.to_string(), problem);
    }
    let excluded = vec!["2026-05-02".to_owned(); 1_001];
    let rule = Rule { rrule: "FREQ=DAILY", exdates: &excluded, gap: Gap::Shift, fold: Fold::First };
    let refused =
        Series::new(at("2026-05-01T10:00:00Z"), Zone::parse("UTC").expect("a zone"), rule).err();
    assert_eq!(refused, Some(Refusal::TooManyExclusions));
}

#[test]
fn refuses_counts_that_take_too_long() {
    let rare = "FREQ=MINUTELY;INTERVAL=37;BYHOUR=1;BYMINUTE=5";
    assert!(series("2026-05-01T10:00:00Z", "UTC", &format!("{rare};COUNT=100")).is_ok());
    let counted = series("2026-05-01T10:00:00Z", "UTC", &format!("{rare};COUNT=10000"));
    assert_eq!(counted.err(), Some(Refusal::TooRare));
}
