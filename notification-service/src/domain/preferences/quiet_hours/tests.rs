use chrono::Duration;
use proptest::prelude::*;

use super::*;

fn quiet(start: &str, end: &str, zone: &str) -> QuietHours {
    QuietHours::parse(start, end, Some(zone)).expect("quiet hours")
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

#[test]
fn lasts_over_midnight() {
    let night = quiet("22:00", "07:00", "Europe/Berlin");
    for (now, until) in [
        ("2026-01-10T20:59:59Z", None),
        ("2026-01-10T21:00:00Z", Some("2026-01-11T06:00:00Z")),
        ("2026-01-11T05:59:59Z", Some("2026-01-11T06:00:00Z")),
        ("2026-01-11T06:00:00Z", None),
    ] {
        assert_eq!(night.until(at(now)), until.map(at), "{now}");
    }
}

#[test]
fn lasts_within_a_day() {
    let noon = quiet("12:30", "14:00", "America/New_York");
    assert_eq!(noon.until(at("2026-07-01T16:30:00Z")), Some(at("2026-07-01T18:00:00Z")));
    assert_eq!(noon.until(at("2026-07-01T18:00:00Z")), None);
}

/// Case Q2.
#[test]
fn ends_on_next_morning_of_zone_q2() {
    let now = at("2026-01-10T14:00:00Z");
    for (zone, until) in [
        // There it is 03:00, 00:00, 23:30 and 15:00.
        ("Pacific/Auckland", Some("2026-01-10T18:00:00Z")),
        ("Australia/Brisbane", Some("2026-01-10T21:00:00Z")),
        ("Australia/Darwin", Some("2026-01-10T21:30:00Z")),
        ("Europe/Berlin", None),
    ] {
        assert_eq!(quiet("21:00", "07:00", zone).until(now), until.map(at), "{zone}");
    }
}

/// Case R11.
#[test]
fn reads_old_and_new_names_of_zones_r11() {
    for (zone, until) in [
        ("Europe/Kyiv", "2026-07-02T04:00:00Z"),
        ("Europe/Kiev", "2026-07-02T04:00:00Z"),
        ("Asia/Kolkata", "2026-07-02T01:30:00Z"),
        ("Asia/Calcutta", "2026-07-02T01:30:00Z"),
        ("America/Argentina/Buenos_Aires", "2026-07-02T10:00:00Z"),
        ("America/Buenos_Aires", "2026-07-02T10:00:00Z"),
        ("US/Pacific", "2026-07-02T14:00:00Z"),
        ("America/Coyhaique", "2026-07-02T10:00:00Z"),
        ("Asia/Saigon", "2026-07-02T00:00:00Z"),
        ("Etc/GMT+5", "2026-07-02T12:00:00Z"),
    ] {
        let until = at(until);
        let shortly_before = until - Duration::minutes(1);
        assert_eq!(quiet("21:00", "07:00", zone).until(shortly_before), Some(until), "{zone}");
        assert_eq!(quiet("21:00", "07:00", zone).until(until), None, "{zone}");
    }
}

#[test]
fn ends_by_new_offset_after_clock_change() {
    let night = quiet("22:00", "07:00", "Europe/Berlin");
    assert_eq!(
        night.until(at("2026-03-28T22:00:00Z")),
        Some(at("2026-03-29T05:00:00Z")),
        "an hour shorter"
    );
    assert_eq!(
        night.until(at("2026-10-24T22:00:00Z")),
        Some(at("2026-10-25T06:00:00Z")),
        "an hour longer"
    );
}

#[test]
fn shifts_end_that_lies_in_a_gap() {
    let night = quiet("22:00", "02:30", "Europe/Berlin");
    let shifted = at("2026-03-29T01:30:00Z"); // 03:30 by the clock, which went from 02:00 to 03:00.
    for now in [
        "2026-03-28T23:00:00Z",
        "2026-03-29T00:59:59Z",
        "2026-03-29T01:00:00Z",
        "2026-03-29T01:29:59Z",
    ] {
        assert_eq!(night.until(at(now)), Some(shifted), "{now}");
    }
    assert_eq!(night.until(shifted), None);
    let early = quiet("22:00", "02:00", "Europe/Berlin");
    assert_eq!(early.until(at("2026-03-29T00:59:59Z")), Some(at("2026-03-29T01:00:00Z")));
    assert_eq!(early.until(at("2026-03-29T01:00:00Z")), None);
}

#[test]
fn skips_quiet_hours_that_lie_in_a_gap() {
    let short = quiet("02:15", "02:45", "Europe/Berlin");
    for now in ["2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z", "2026-03-29T01:20:00Z"] {
        assert_eq!(short.until(at(now)), None, "{now}");
    }
}

#[test]
fn ends_at_next_end_when_it_occurs_twice() {
    let night = quiet("22:00", "02:30", "Europe/Berlin");
    let (first, second) = (at("2026-10-25T00:30:00Z"), at("2026-10-25T01:30:00Z"));
    assert_eq!(night.until(at("2026-10-24T23:00:00Z")), Some(first));
    assert_eq!(night.until(first), None);
    assert_eq!(
        night.until(at("2026-10-25T01:10:00Z")),
        Some(second),
        "the clock shows 02:10 again"
    );
    assert_eq!(night.until(second), None);
}

#[test]
fn skips_a_day_that_lies_in_a_gap() {
    let night = quiet("22:00", "07:00", "Pacific/Apia"); // There was no 30 December 2011 there.
    assert_eq!(night.until(at("2011-12-30T09:00:00Z")), Some(at("2011-12-30T17:00:00Z")));
}

#[test]
fn follows_clocks_of_2026() {
    // Ten to ten by the clock until 2025, ten to eleven since then.
    for (zone, now, until) in [
        ("America/Vancouver", "2026-11-29T05:30:00Z", "2026-11-29T14:00:00Z"),
        ("America/Edmonton", "2026-11-29T04:30:00Z", "2026-11-29T13:00:00Z"),
        ("America/Winnipeg", "2026-11-29T03:30:00Z", "2026-11-29T12:00:00Z"),
        ("America/Havana", "2026-11-29T02:30:00Z", "2026-11-29T11:00:00Z"),
        ("Africa/Casablanca", "2026-11-29T06:30:00Z", "2026-11-29T07:00:00Z"),
    ] {
        let night = quiet("22:00", "07:00", zone);
        assert_eq!(night.until(at(now)), Some(at(until)), "{zone}");
        assert_eq!(night.until(at(until)), None, "{zone}");
    }
}

#[test]
fn names_malformed_field() {
    for (start, end, zone, field) in [
        ("24:00", "07:00", None, "quietHours.start"),
        ("7:00", "08:00", None, "quietHours.start"),
        ("+7:00", "08:00", None, "quietHours.start"),
        ("22:00", "07:60", None, "quietHours.end"),
        ("22:00", "", None, "quietHours.end"),
        ("22:00", "22:00", None, "quietHours.end"),
        ("22:00", "07:00", Some("Mars/Olympus"), "quietHours.timeZone"),
    ] {
        let error = QuietHours::parse(start, end, zone).expect_err("refused").to_string();
        assert!(error.starts_with(field), "{error}");
    }
}

/// Zones with whole, half and day-long changes, at night and at midnight.
const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "Pacific/Apia",
];

fn instants() -> impl Strategy<Value = DateTime<Utc>> {
    // Anywhere from 1970 to 2037, and around the clock changes of Berlin, São Paulo, Lord Howe and
    // Apia.
    let anywhere = 0_i64..2_114_380_800;
    let changes = prop::sample::select(vec![
        1_774_746_000_i64,
        1_792_890_000,
        1_508_036_400,
        1_743_865_200,
        1_325_239_200,
    ]);
    let around = (changes, -93_600_i64..93_600).prop_map(|(change, offset)| change + offset);
    prop_oneof![anywhere, around]
        .prop_filter_map("a time", |seconds| DateTime::from_timestamp(seconds, 0))
}

fn hours() -> impl Strategy<Value = QuietHours> {
    let time =
        || (0_u32..1_440).prop_map(|minute| NaiveTime::MIN + Duration::minutes(minute.into()));
    (time(), time(), prop::sample::select(ZONES.to_vec())).prop_filter_map(
        "of some length",
        |(start, end, zone)| {
            let time_zone = zone.parse().expect("a zone");
            (start != end).then(|| QuietHours { start: start.into(), end: end.into(), time_zone })
        },
    )
}

/// Returns the length of the gap that contains the end on one of the days around, `None` if there
/// is none.
fn gap(hours: &QuietHours, until: DateTime<Utc>) -> Option<TimeDelta> {
    let (zone, day) = (hours.time_zone, hours.time_zone.wall_clock(until).date());
    let days = (day - TimeDelta::days(2)).iter_days().take(3);
    days.filter_map(|day| {
        let found = zone.instants(day.and_time(hours.end.0))?;
        let Instants::Gap { change, .. } = found else { return None };
        let offset = |second| zone.offset_at(second).expect("an offset");
        let (before, after) = (offset(change.timestamp() - 1), offset(change.timestamp()));
        Some(TimeDelta::seconds(after - before))
    })
    .max()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn ends_after_now_and_is_quiet_before(hours in hours(), now in instants()) {
        let Some(until) = hours.until(now) else { return Ok(()) };
        let just_before = until - TimeDelta::nanoseconds(1);
        prop_assert!(until > now);
        prop_assert_eq!(hours.until(just_before), Some(until));
        let gap = gap(&hours, until);
        prop_assert!(until - now <= TimeDelta::hours(25) + gap.unwrap_or_default());
        let shown = hours.time_zone.wall_clock(until).time();
        let shifted = gap.map(|gap| hours.end.0 + gap);
        prop_assert!(shown == hours.end.0 || Some(shown) == shifted, "{shown}");
    }

    #[test]
    fn covers_local_times_unless_end_lies_in_a_gap(hours in hours(), now in instants()) {
        let shown = hours.time_zone.wall_clock(now).time();
        let (start, end) = (hours.start.0, hours.end.0);
        let since_start = (shown - start).num_seconds().rem_euclid(86_400);
        let in_all = (end - start).num_seconds().rem_euclid(86_400);
        let says = since_start < in_all;
        prop_assert!(hours.covers(now) == says || gap(&hours, now).is_some());
        prop_assert!(!says || hours.covers(now));
        prop_assert_eq!(hours.until(now).is_some(), hours.covers(now));
    }

    #[test]
    fn parses_time_of_day_as_it_is_written(minute in 0_u32..1_440) {
        let time = TimeOfDay(NaiveTime::MIN + Duration::minutes(minute.into()));
        prop_assert_eq!(time.to_string().parse(), Ok(time));
    }
}
