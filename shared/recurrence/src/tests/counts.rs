//! Meaning of `COUNT` around changes of the clock.

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::{at, first, with_policies};
use time_zone::NEAR;

use crate::*;

fn always() -> DateTime<Utc> {
    DateTime::<Utc>::MIN_UTC
}

#[test]
fn counts_shifted_time_but_no_skipped_one() {
    let (start, rule) = ("2026-03-28T01:30:00Z", "FREQ=DAILY;COUNT=3");
    let shifted = with_policies(start, "Europe/Berlin", rule, Gap::Shift, Fold::First);
    assert_eq!(
        first(&shifted, 9),
        ["2026-03-28T01:30:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"]
    );
    let skipped = with_policies(start, "Europe/Berlin", rule, Gap::Skip, Fold::First);
    assert_eq!(
        first(&skipped, 9),
        ["2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z", "2026-03-31T00:30:00Z"]
    );
}

#[test]
fn counts_skipped_times_of_27_years() {
    let rule = "FREQ=DAILY;COUNT=10000";
    let last = |gap| {
        let series = with_policies("2026-06-01T00:30:00Z", "Europe/Berlin", rule, gap, Fold::First);
        series.last().expect("an end")
    };
    let days = last(Gap::Skip) - last(Gap::Shift);
    assert_eq!(days.num_days(), 27, "the gaps of 2027 to 2053");
}

#[test]
fn counts_rare_rules_until_last_year() {
    for zone in ["Europe/Berlin", "Africa/Casablanca", "America/Santiago"] {
        for rrule in [
            "FREQ=YEARLY;COUNT=10000",
            "FREQ=YEARLY;BYMONTH=1,7;COUNT=10000",
            "FREQ=YEARLY;BYMONTH=2,4,9,11;COUNT=10000",
            "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;COUNT=10000",
            "FREQ=MONTHLY;COUNT=10000",
            "FREQ=MONTHLY;INTERVAL=5;COUNT=10000",
            "FREQ=MONTHLY;BYDAY=-1SU;BYSETPOS=1;COUNT=3000",
            "FREQ=WEEKLY;INTERVAL=2;COUNT=10000",
            "FREQ=YEARLY;BYMONTH=3,10;BYDAY=-1SU;BYHOUR=1,2,3;COUNT=3000",
        ] {
            for gap in [Gap::Shift, Gap::Skip] {
                with_policies("2026-02-01T00:30:00Z", zone, rrule, gap, Fold::Both);
            }
        }
    }
}

/// Stored rules are followed however many years of changes they touch.
#[test]
fn follows_stored_counts_through_gaps_until_last_year() {
    let zone = Zone::parse("Europe/Berlin").expect("a zone");
    for rrule in [
        "FREQ=YEARLY;COUNT=5000",
        "FREQ=MONTHLY;INTERVAL=5;COUNT=10000",
        "FREQ=WEEKLY;INTERVAL=2;COUNT=10000",
        "FREQ=MONTHLY;BYDAY=-1SU;BYSETPOS=1;COUNT=10000",
        "FREQ=DAILY;INTERVAL=250;COUNT=10000",
    ] {
        for gap in [Gap::Shift, Gap::Skip] {
            let rule = Rule { rrule, gap, fold: Fold::Both, ..Rule::default() };
            Series::stored(at("2026-02-01T01:30:00Z"), zone, rule).expect("within its steps");
        }
    }
    for rrule in ["FREQ=WEEKLY;INTERVAL=2;COUNT=10000", "FREQ=DAILY;COUNT=10000"] {
        with_policies("2026-02-01T01:30:00Z", zone.name(), rrule, Gap::Skip, Fold::Both);
    }
}

/// A rule whose times no change touches takes one step a year, whatever its zone, and so does one
/// that has fewer instances in all years.
#[test]
fn counts_years_without_following_changes_of_clock() {
    for (start, rrule, last) in [
        ("2026-02-01T08:00:00Z", "FREQ=YEARLY;COUNT=5000", "7025-02-01T08:00:00Z"),
        ("2026-07-01T07:00:00Z", "FREQ=YEARLY;COUNT=5000", "7025-07-01T07:00:00Z"),
        ("2026-02-01T01:30:00Z", "FREQ=YEARLY;COUNT=10000", "9999-02-01T01:30:00Z"),
        (
            "2026-02-01T08:00:00Z",
            "FREQ=HOURLY;BYHOUR=9;BYMONTH=2;COUNT=9999",
            "2380-02-02T08:00:00Z",
        ),
    ] {
        let series = with_policies(start, "Europe/Berlin", rrule, Gap::Shift, Fold::Both);
        assert_eq!(series.last(), Some(at(last)), "{rrule}");
        let (years, check) = (8_000, 500);
        assert!(series.steps() < years + check, "{rrule}: {} steps", series.steps());
    }
}

#[test]
fn refuses_count_of_times_that_are_all_skipped() {
    let rrule = "FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU;BYHOUR=2;BYMINUTE=30;COUNT=3";
    let rule = Rule { rrule, gap: Gap::Skip, ..Rule::default() };
    let zone = Zone::parse("Europe/Berlin").expect("a zone");
    let refused = Series::new(at("2026-03-01T00:00:00Z"), zone, rule).err();
    assert_eq!(refused, Some(Refusal::TooRare));
}

/// Rules with many instances at the times at which clocks change.
fn rrule() -> impl Strategy<Value = String> {
    let every = |frequency: &'static str, intervals: &'static [i32], parts: &'static [&str]| {
        let (interval, part) = (
            proptest::sample::select(intervals),
            proptest::sample::subsequence(parts, 0..=parts.len().min(2)),
        );
        (interval, part).prop_map(move |(interval, parts)| {
            format!("FREQ={frequency};INTERVAL={interval}{}", parts.concat())
        })
    };
    let times = &[";BYHOUR=0,1,2,3", ";BYMINUTE=0,15,30,45,59", ";BYSECOND=30"];
    prop_oneof![
        every("DAILY", &[1, 2, 3], times),
        every("DAILY", &[1], &[";BYHOUR=1,2,3,23", ";BYSETPOS=2,-1"])
            .prop_filter("BYSETPOS alone", |rrule| !rrule.contains("1;BYSETPOS")),
        every("WEEKLY", &[1, 2], &[";BYDAY=SA,SU,FR", ";BYHOUR=0,1,2,3,12"]),
        every("MONTHLY", &[1], &[";BYDAY=SU,-1SA", ";BYHOUR=1,2,3", ";BYMINUTE=0,30"]),
        every("YEARLY", &[1], &[";BYMONTH=3,4,10,11", ";BYDAY=SU", ";BYHOUR=1,2,3"]),
        every("HOURLY", &[1, 2, 5], &[";BYMINUTE=0,15,30,45", ";BYDAY=SA,SU"]),
        every("MINUTELY", &[1, 7, 15, 20, 45, 60, 90], &[";BYHOUR=1,2,3", ";BYMONTH=3,10"]),
        every("SECONDLY", &[60, 61, 90, 1_800, 3_600], &[";BYHOUR=1,2,3"]),
    ]
}

/// Zones, and starts from three days before one of their changes to shortly after it.
fn start() -> impl Strategy<Value = (Zone, DateTime<Utc>)> {
    let zones = [
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Africa/Casablanca",
        "America/St_Johns",
        "America/Havana",
        "Europe/Dublin",
        "America/Santiago",
        "Antarctica/Troll",
    ];
    let near = (1_293_840_000..2_000_000_000i64, -4_320..300i64, 0..60i64);
    (proptest::sample::select(zones.to_vec()), near).prop_map(|(zone, (near, minutes, second))| {
        let zone = Zone::parse(zone).expect("a zone");
        let change = zone.offset_at(near).and_then(|offset| zone.change_after(near, offset));
        let begins = change.map_or(near, |change| change.at) + minutes * 60 + second;
        (zone, DateTime::from_timestamp(begins, 0).expect("a time"))
    })
}

fn policies() -> impl Strategy<Value = (Gap, Fold)> {
    (
        proptest::sample::select(vec![Gap::Shift, Gap::Skip]),
        proptest::sample::select(vec![Fold::First, Fold::Second, Fold::Both]),
    )
}

/// The first occurrences of a rule, found without `COUNT`. For `fold: both`, a repeated local time
/// of a daily or longer rule counts as one.
fn counted(start: DateTime<Utc>, zone: &Zone, rule: Rule<'_>, count: usize) -> Vec<DateTime<Utc>> {
    let endless = |rule| Series::new(start, *zone, rule).expect("accepted");
    let is_short = ["HOURLY", "MINUTELY", "SECONDLY"].iter().any(|name| rule.rrule.contains(name));
    if rule.fold != Fold::Both || is_short {
        return endless(rule).after(always()).take(count).collect();
    }
    let firsts = endless(Rule { fold: Fold::First, ..rule });
    let last = firsts.after(always()).take(count).last().expect("it fires");
    let until = last + TimeDelta::seconds(NEAR);
    let near = endless(rule).after(always()).take_while(|at| *at <= until);
    near.filter(|at| zone.instant(zone.wall_clock(*at)).is_some_and(|at| at <= last)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// A rule with `COUNT` has the first occurrences of the rule without it, and exactly as many.
    #[test]
    fn counts_what_occurs(
        (zone, start) in start(),
        rrule in rrule(),
        (gap, fold) in policies(),
        count in prop_oneof![1..12usize, 1..400usize],
    ) {
        let rule = Rule { rrule: &rrule, gap, fold, ..Rule::default() };
        if Series::new(start, zone, rule).is_err() {
            return Ok(());
        }
        let expected = counted(start, &zone, rule, count);
        let text = format!("{rrule};COUNT={count}");
        let series = Series::new(start, zone, Rule { rrule: &text, ..rule }).expect("accepted");
        let found: Vec<_> = series.after(always()).take(2 * count + 1).collect();
        prop_assert_eq!(series.last(), expected.last().copied());
        prop_assert_eq!(found, expected, "{} from {}", text, start);
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Occurrences are ordered and unique, and from any instant the rest of the whole series.
    #[test]
    fn continues_from_any_instant(
        (zone, start) in start(),
        rrule in rrule(),
        (gap, fold) in policies(),
        count in 1..80usize,
        dates in proptest::collection::vec((-300..6_000i64, any::<bool>(), any::<bool>()), 0..12),
        from in -300..6_000i64,
    ) {
        let minutes_later = |minutes: i64| zone.wall_clock(start + TimeDelta::minutes(minutes));
        let text = |is_extra: bool| -> Vec<String> {
            let chosen = dates.iter().filter(|(_, extra, _)| *extra == is_extra);
            chosen
                .map(|(minutes, _, is_instant)| {
                    let suffix = if *is_instant { "Z" } else { "" };
                    format!("{}{suffix}", minutes_later(*minutes).format("%Y-%m-%dT%H:%M:%S"))
                })
                .collect()
        };
        let (exdates, rdates) = (text(false), text(true));
        let rrule = format!("{rrule};COUNT={count}");
        let rule = Rule { rrule: &rrule, exdates: &exdates, rdates: &rdates, gap, fold };
        let Ok(series) = Series::new(start, zone, rule) else { return Ok(()) };
        let all: Vec<_> = series.after(always()).collect();
        prop_assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "{all:?}");
        prop_assert_eq!(series.last(), all.last().copied());
        let froms = all.iter().flat_map(|at| [-1, 0, 1].map(|away| *at + TimeDelta::seconds(away)));
        for from in froms.chain([start + TimeDelta::minutes(from)]) {
            let passed = all.partition_point(|at| *at <= from);
            let rest: Vec<_> = series.after(from).take(3).collect();
            prop_assert_eq!(&rest[..], &all[passed..all.len().min(passed + 3)], "from {}", from);
            let last = passed.checked_sub(1).map(|last| all[last]);
            prop_assert_eq!(series.last_until(from), last);
            prop_assert_eq!(series.contains(from), last == Some(from));
        }
    }
}

/// The count relies on it: what a gap shifts lies before the next change.
#[test]
fn keeps_offset_after_gap_for_longer_than_gap() {
    for zone in Zone::all() {
        let mut at = -2_208_988_800; // 1900
        let mut offset = zone.offset_at(at).expect("an offset");
        let mut gap = 0;
        while let Some(change) =
            zone.change_after(at, offset).filter(|next| next.at < 4_102_444_800)
        {
            assert!(change.at - at > gap, "{zone}: {change:?}");
            gap = (change.after - change.before).abs();
            (at, offset) = (change.at, change.after);
        }
    }
}
