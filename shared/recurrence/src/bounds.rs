//! Property tests of the bounds of searches.

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use crate::{
    calendar::LAST_DAY,
    expansion::{END, Expansion},
    parts::Parts,
    search::Search,
    series::SEARCH_STEPS,
    *,
};

/// Numbers of a part: few or all.
fn list(most: i32, is_signed: bool) -> impl Strategy<Value = String> {
    let least = if is_signed { -most } else { 0 };
    let few = proptest::collection::btree_set(least..=most, 1..4);
    let all = Just((least..=most).collect());
    prop_oneof![4 => few, 1 => all].prop_map(|numbers: std::collections::BTreeSet<i32>| {
        numbers
            .iter()
            .filter(|number| **number != 0)
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(",")
    })
}

/// Rules that need many steps: long and odd intervals, few days, few times, positions.
fn hostile() -> impl Strategy<Value = String> {
    let frequencies =
        vec!["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY"];
    let interval =
        prop_oneof![Just(1), 1..60i32, 1..2_000i32, 60_000..100_000i32, 1..1_000_000_000i32];
    let part = |name: &'static str, numbers: BoxedStrategy<String>| {
        let given = numbers.prop_map(move |numbers| format!(";{name}={numbers}"));
        prop_oneof![2 => Just(String::new()), 1 => given]
    };
    let weekdays = proptest::sample::select(vec![
        "MO",
        "MO,TU,WE,TH,FR,SA,SU",
        "SA,SU",
        "2MO,-1FR",
        "53SU",
        "FR",
    ]);
    let days = (
        part("BYMONTH", list(12, false).boxed()),
        part("BYWEEKNO", list(53, true).boxed()),
        part("BYYEARDAY", list(366, true).boxed()),
        part("BYMONTHDAY", list(31, true).boxed()),
        part("BYDAY", weekdays.prop_map(str::to_owned).boxed()),
    );
    let times = (
        part("BYHOUR", list(23, false).boxed()),
        part("BYMINUTE", list(59, false).boxed()),
        part(
            "BYSECOND",
            proptest::sample::select(vec!["0", "59", "30"]).prop_map(str::to_owned).boxed(),
        ),
        part("BYSETPOS", list(366, true).boxed()),
    );
    (proptest::sample::select(frequencies), interval, days, times).prop_map(
        |(frequency, interval, days, times)| {
            let ((a, b, c, d, e), (f, g, h, i)) = (days, times);
            format!("FREQ={frequency};INTERVAL={interval}{a}{b}{c}{d}{e}{f}{g}{h}{i}")
        },
    )
}

fn read(start: DateTime<Utc>, rrule: &str) -> Result<Series, Refusal> {
    let rule = Rule { rrule, exdates: &[], rdates: &[], gap: Gap::Shift, fold: Fold::First };
    Series::new(start, Zone::parse("UTC").expect("a zone"), rule)
}

/// A rule that needs more steps from a time that its check did not try.
#[test]
fn finds_instance_from_time_that_was_not_tried() {
    let rrule = "FREQ=SECONDLY;INTERVAL=75931;BYMONTHDAY=1,28;BYMINUTE=21,34;BYSECOND=30";
    let begins = DateTime::from_timestamp(454_139_635, 0).expect("a time");
    let series = read(begins, rrule).expect("accepted");
    let from = DateTime::from_timestamp(167_198_995_291, 0).expect("a time");
    let next = series.after(from).next().expect("an instance");
    let period = (next - begins).num_seconds();
    assert_eq!(period % 75_931, 0, "{next}");
}

/// A rule whose instances are decades apart is accepted, but a page of them is not searched for.
#[test]
fn refuses_page_that_takes_too_many_steps() {
    let rrule = "FREQ=MINUTELY;INTERVAL=2521;BYDAY=MO;BYHOUR=3;BYMINUTE=0";
    let begins = DateTime::from_timestamp(1_780_282_800, 0).expect("a time");
    let series = read(begins, rrule).expect("accepted");
    let schedule = DeliverySchedule::recurring(series, vec![0]);
    assert_eq!(schedule.page_after(begins, 1).map(|page| page.len()), Ok(1));
    assert_eq!(schedule.page_after(begins, 100), Err(Refusal::TooRare));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    /// No search of an accepted rule uses up half of its steps, from any time.
    #[test]
    fn finds_instances_of_accepted_rules_within_bounds(
        rrule in hostile(),
        start in 0..2_000_000_000i64,
        froms in proptest::collection::vec(0..LAST_DAY * 86_400, 24),
    ) {
        let begins = DateTime::from_timestamp(start, 0).expect("a time");
        if read(begins, &rrule).is_ok() {
            let expansion = Expansion::new(&Parts::read(&rrule).expect("it was read"), start);
            for from in froms {
                let mut search = Search::new(SEARCH_STEPS, END);
                let found = expansion.at_or_after(from, &mut search);
                prop_assert!(found.is_ok(), "{rrule} from {from}");
                let steps = SEARCH_STEPS - search.steps_left();
                prop_assert!(steps <= SEARCH_STEPS / 2, "{rrule} from {from}: {steps} steps");
            }
        }
    }

    /// A preview reads a rule and finds a page of its occurrences, from any time.
    #[test]
    fn bounds_steps_of_preview(
        rrule in hostile(),
        count in proptest::sample::select(vec!["", ";COUNT=10000", ";COUNT=100"]),
        excluded in proptest::sample::select(vec![0, 0, 30, 1_000]),
        start in 0..2_000_000_000i64,
        from in 0..LAST_DAY * 86_400,
    ) {
        let begins = DateTime::from_timestamp(start, 0).expect("a time");
        let rrule = format!("{rrule}{count}");
        let Ok(series) = read(begins, &rrule) else { return Ok(()) };
        let all = series.after(begins).within(PAGE_STEPS).take(excluded);
        let exdates: Vec<_> = all.map(|at| at.to_rfc3339()).collect();
        let (gap, fold) = (Gap::Skip, Fold::Both);
        let rule = Rule { rrule: &rrule, exdates: &exdates, rdates: &[], gap, fold };
        let zone = Zone::parse("Africa/Casablanca").expect("a zone");
        let Ok(series) = Series::new(begins, zone, rule) else { return Ok(()) };
        prop_assert!(series.steps() <= READING_STEPS, "{rrule}: {} steps", series.steps());
        for after in [begins, DateTime::from_timestamp(from, 0).expect("a time")] {
            let mut page = series.after(after).within(PAGE_STEPS);
            let found = page.by_ref().take(100).count();
            prop_assert!(page.steps() <= PAGE_STEPS, "{rrule}: {} steps", page.steps());
            let schedule = DeliverySchedule::recurring(series.clone(), vec![0]);
            let is_refused = schedule.page_after(after, 100) == Err(Refusal::TooRare);
            prop_assert_eq!(is_refused, found < 100 && page.is_exhausted(), "{}", rrule);
        }
    }

    /// Occurrences are ordered, unique, and the same from any instant.
    #[test]
    fn finds_same_occurrences_from_any_instant(
        rrule in hostile(),
        start in 0..2_000_000_000i64,
        skipped in 0..12usize,
    ) {
        let begins = DateTime::from_timestamp(start, 0).expect("a time");
        let Ok(series) = read(begins, &rrule) else { return Ok(()) };
        let all: Vec<_> = series.after(DateTime::<Utc>::MIN_UTC).take(12).collect();
        let are_apart = |pair: &[DateTime<Utc>]| pair[1] - pair[0] >= TimeDelta::minutes(1);
        prop_assert!(all.windows(2).all(are_apart), "{all:?}");
        prop_assert!(all.iter().all(|at| *at >= begins));
        if let Some(from) = all.get(skipped) {
            let (shortly_before, shortly_after) =
                (*from - TimeDelta::seconds(1), *from + TimeDelta::milliseconds(1));
            prop_assert!(series.contains(*from) && !series.contains(shortly_after));
            let next = series.after(*from).next();
            prop_assert_eq!(next, all.get(skipped + 1).copied().or(next));
            prop_assert_eq!(series.last_until(*from), Some(*from));
            let previous = skipped.checked_sub(1).map(|before| all[before]);
            prop_assert_eq!(series.last_until(shortly_before), previous);
        }
    }

    /// The end of a rule with `COUNT` is its last instance.
    #[test]
    fn ends_counted_rules_at_their_last_instance(
        rrule in hostile(),
        start in 0..2_000_000_000i64,
        count in 1..60usize,
    ) {
        let begins = DateTime::from_timestamp(start, 0).expect("a time");
        let with_count = format!("{rrule};COUNT={count}");
        if let (Ok(endless), Ok(counted)) = (read(begins, &rrule), read(begins, &with_count)) {
            let expected: Vec<_> = endless.after(DateTime::<Utc>::MIN_UTC).take(count).collect();
            let found: Vec<_> = counted.after(DateTime::<Utc>::MIN_UTC).collect();
            prop_assert_eq!(&found, &expected);
            prop_assert_eq!(counted.last(), expected.last().copied());
        }
    }
}
