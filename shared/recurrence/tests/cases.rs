//! The independent answers, and properties that hold for any rule.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use proptest::prelude::*;
use recurrence::{Fold, Gap, Rule, Series, Zone};

#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    time_zone: String,
    dtstart: NaiveDateTime,
    rrule: String,
    exdates: Vec<String>,
    after: DateTime<Utc>,
    expected: Vec<DateTime<Utc>>,
}

/// The answers are of the edition that is compiled in.
#[test]
fn two_hundred_cases_have_the_answers_of_an_independent_implementation() {
    let cases = include_str!("fixtures/recurrence.jsonl");
    let (mut checked, mut wrong) = (0, Vec::new());
    for line in cases.lines() {
        let case: Case = serde_json::from_str(line).expect("a case");
        checked += 1;
        let zone = Zone::compiled_in(&case.time_zone).expect("a zone");
        let start = zone.instant(case.dtstart).expect("a start");
        let rule =
            Rule { rrule: &case.rrule, exdates: &case.exdates, gap: Gap::Shift, fold: Fold::First };
        let found: Result<Vec<_>, _> =
            Series::new(start, zone, rule).map(|it| it.after(case.after).take(10).collect());
        if found.as_ref() != Ok(&case.expected) {
            wrong.push(format!("{line}\n  found {found:?}"));
        }
    }
    assert_eq!(checked, 200);
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn zone() -> impl Strategy<Value = Zone> {
    proptest::sample::select(vec![
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Africa/Casablanca",
        "America/St_Johns",
        "Asia/Kolkata",
        "America/Havana",
        "Europe/Dublin",
    ])
    .prop_map(|name| Zone::parse(name).expect("a zone"))
}

fn rrule() -> impl Strategy<Value = String> {
    let freq = proptest::sample::select(vec![
        "YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY",
    ]);
    let part = proptest::sample::select(vec![
        "",
        ";BYDAY=MO,FR",
        ";BYMONTH=3,10",
        ";BYHOUR=1,2,3",
        ";BYMINUTE=0,30",
    ]);
    (freq, 1..40u16, part)
        .prop_map(|(freq, interval, part)| format!("FREQ={freq};INTERVAL={interval}{part}"))
}

fn start() -> impl Strategy<Value = DateTime<Utc>> {
    (1_600_000_000..1_900_000_000i64)
        .prop_map(|seconds| DateTime::from_timestamp(seconds, 0).expect("a time"))
}

fn policies() -> impl Strategy<Value = (Gap, Fold)> {
    (
        proptest::sample::select(vec![Gap::Shift, Gap::Skip]),
        proptest::sample::select(vec![Fold::First, Fold::Second, Fold::Both]),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Each instant once and in order, and it does not matter from where one looks.
    #[test]
    fn occurrences_are_ordered_and_the_same_from_wherever_one_looks(
        start in start(), zone in zone(), rrule in rrule(), (gap, fold) in policies(), skipped in 0..30usize,
    ) {
        let Ok(series) = Series::new(start, zone, Rule { rrule: &rrule, exdates: &[], gap, fold }) else { return Ok(()) };
        let all: Vec<_> = series.after(DateTime::<Utc>::MIN_UTC).take(40).collect();
        prop_assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "{all:?}");
        if let Some(from) = all.get(skipped) {
            let later: Vec<_> = series.after(*from).take(40 - skipped - 1).collect();
            prop_assert_eq!(&all[skipped + 1..], &later[..(all.len() - skipped - 1).min(later.len())]);
            prop_assert_eq!(series.last_until(*from), Some(*from));
            prop_assert_eq!(series.last_until(*from - TimeDelta::milliseconds(1)), skipped.checked_sub(1).map(|it| all[it]));
        }
    }

    /// Far from its start a rule goes on in step with it.
    #[test]
    fn a_rule_keeps_its_step_for_years(start in start(), zone in zone(), rrule in rrule()) {
        let Ok(series) = Series::new(start, zone.clone(), Rule { rrule: &rrule, exdates: &[], gap: Gap::Shift, fold: Fold::First }) else { return Ok(()) };
        let counted = format!("{rrule};COUNT=3000");
        let counted = Series::new(start, zone, Rule { rrule: &counted, exdates: &[], gap: Gap::Shift, fold: Fold::First }).expect("it fired before");
        let counted: Vec<_> = counted.after(DateTime::<Utc>::MIN_UTC).collect();
        for position in [100, 1_000, 2_500] {
            if let Some(window) = counted.get(position..position + 5) {
                let found: Vec<_> = series.after(window[0]).take(4).collect();
                prop_assert_eq!(&window[1..], &found[..]);
            }
        }
    }

    /// Where nothing is shifted, the wall clock is the rule's.
    #[test]
    fn a_daily_rule_keeps_its_wall_clock_but_in_gaps(start in start(), zone in zone()) {
        let series = Series::new(start, zone.clone(), Rule { rrule: "FREQ=DAILY", exdates: &[], gap: Gap::Skip, fold: Fold::First }).expect("a rule");
        let clock = zone.wall_clock(start).time();
        for at in series.after(start).take(400) {
            prop_assert_eq!(zone.wall_clock(at).time(), clock);
        }
    }

    /// Any text is a rule or is refused; nothing panics or goes on for ever.
    #[test]
    fn any_text_is_read_or_refused(text in "(FREQ=|BY|UNTIL=|COUNT=|INTERVAL=|[A-Z]{2,8}=|[0-9,;=+-]|MO|[A-Z]|.){0,12}") {
        let _ = Series::new(DateTime::UNIX_EPOCH, Zone::parse("UTC").expect("a zone"), Rule { rrule: &text, exdates: &[], gap: Gap::Shift, fold: Fold::First })
            .map(|series| series.after(DateTime::UNIX_EPOCH).take(3).count());
    }
}
