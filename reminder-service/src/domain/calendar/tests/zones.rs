//! Names of time zones, and their definitions in exported files.

use std::collections::HashMap;

use chrono::{Datelike, Months, NaiveDate, NaiveDateTime, TimeDelta, Weekday};

use super::*;
use crate::domain::calendar::{lines::unfold, zones};

fn zone_of(tzid: &str) -> Option<String> {
    let import = read_text(&event(&[&format!("DTSTART;TZID={tzid}:20260501T100000")]));
    import.entries.into_iter().next().map(|entry| entry.time_zone)
}

#[test]
fn knows_every_windows_zone() {
    for (name, zone) in zones::windows::WINDOWS_ZONES {
        assert!(zone.parse::<Zone>().is_ok(), "{zone}");
        assert!(zone_of(&format!("\"{name}\"")).is_some(), "{name}");
    }
}

#[test]
fn knows_zones_by_names_of_products() {
    for (tzid, zone) in [
        ("Europe/Berlin", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        ("\"Europe/Berlin\"", "Europe/Berlin"),
        ("W. Europe Standard Time", "Europe/Berlin"),
        ("Eastern Standard Time", "America/New_York"),
        ("AUS Eastern Standard Time", "Australia/Sydney"),
        ("Romance Standard Time", "Europe/Paris"),
        ("/freeassociation.sourceforge.net/Europe/Berlin", "Europe/Berlin"),
        ("/mozilla.org/20050126_1/America/Argentina/Ushuaia", "America/Argentina/Ushuaia"),
        ("/citadel.org/20210210_1/Europe/Berlin", "Europe/Berlin"),
        ("\"(UTC+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna\"", "Europe/Berlin"),
        ("(UTC+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna", "Europe/Berlin"),
        ("\"(GMT+01.00) Brussels / Copenhagen / Madrid / Paris\"", "Europe/Paris"),
        ("\"(UTC-08:00) Pacific Time (US & Canada)\"", "America/Los_Angeles"),
        ("\"(UTC+07:00) Bangkok, Hanoi, Jakarta\"", "Asia/Bangkok"),
        ("\"(UTC+03:00) Istanbul\"", "Europe/Istanbul"),
        ("\"(UTC+03:00) Nowhere, Minsk\"", "Europe/Minsk"),
        ("\"(UTC-05:00) Eastern Time (US and Canada)\"", "America/New_York"),
        ("\"(GMT+01.00) Sarajevo/Warsaw/Zagreb\"", "Europe/Sarajevo"),
        ("\"Canberra, Melbourne, Sydney\"", "Australia/Sydney"),
        ("/America/New_York", "America/New_York"),
        ("custom_America/New_York", "America/New_York"),
        ("US-Eastern", "US/Eastern"),
        ("Europe_London", "Europe/London"),
        ("UTC", "UTC"),
    ] {
        assert_eq!(zone_of(tzid).as_deref(), Some(zone), "{tzid}");
    }
}

#[test]
fn names_unknown_zone_in_refusal() {
    for tzid in ["Middle-earth/Shire", "\"(UTC+04:00) Minsk\"", "/mozilla.org/1/Nowhere"] {
        let (line, reason) = refusal(&event(&[&format!("DTSTART;TZID={tzid}:20260501T100000")]));
        let name = tzid.trim_matches('"');
        assert_eq!((line, reason), (6, format!("DTSTART is in an unknown time zone: {name}")));
    }
}

#[test]
fn knows_zone_by_location_of_its_definition() {
    let zone =
        ["BEGIN:VTIMEZONE", "TZID:Home", "X-LIC-LOCATION:Asia/Tokyo", "END:VTIMEZONE"].join("\r\n");
    let event = "BEGIN:VEVENT\r\nSUMMARY:Tea\r\nDTSTART;TZID=Home:20260501T100000\r\nEND:VEVENT";
    assert_eq!(only(&calendar(&[event, &zone])).date, at("2026-05-01T01:00:00Z"));
}

#[test]
fn reads_floating_time_in_zone_of_calendar_or_user() {
    let event = "BEGIN:VEVENT\r\nSUMMARY:Tea\r\nDTSTART:20260501T100000\r\nEND:VEVENT";
    let entry = only(&calendar(&["X-WR-TIMEZONE:Tokyo Standard Time", event]));
    assert_eq!((entry.date, entry.time_zone.as_str()), (at("2026-05-01T01:00:00Z"), "Asia/Tokyo"));
    let import = read_text(&calendar(&["X-WR-TIMEZONE:Nowhere", event]));
    assert_eq!(import.entries[0].date, at("2026-05-01T08:00:00Z"));
    assert_eq!(
        import.notes[0].text,
        "the calendar's time zone is unknown, Europe/Madrid is used instead: Nowhere"
    );
}

/// The properties of each observance of the zone in a calendar.
fn observances(written: &str) -> Vec<HashMap<String, String>> {
    let mut observances: Vec<HashMap<_, _>> = Vec::new();
    for line in unfold(written.as_bytes()) {
        match line.text.split_once(':').expect("a property") {
            ("BEGIN", "STANDARD" | "DAYLIGHT") => observances.push(HashMap::new()),
            ("BEGIN", "VEVENT") => break,
            (name, value) => {
                if let Some(observance) = observances.last_mut() {
                    observance.insert(name.to_owned(), value.to_owned());
                }
            }
        }
    }
    observances
}

/// The onsets of an observance: each in UTC, with its offset in seconds.
fn onsets(observance: &HashMap<String, String>) -> Vec<(NaiveDateTime, i32)> {
    let local = |text: &str| NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%S").expect("a time");
    let first = local(&observance["DTSTART"]);
    let mut times = vec![first];
    times.extend(observance.get("RDATE").iter().flat_map(|dates| dates.split(',')).map(local));
    if let Some(rule) = observance.get("RRULE") {
        times.extend(
            (first.year() + 1..=2_060).map(|year| onset_of(rule, year).and_time(first.time())),
        );
    }
    let (from, to) = (seconds(&observance["TZOFFSETFROM"]), seconds(&observance["TZOFFSETTO"]));
    times.into_iter().map(|time| (time - TimeDelta::seconds(from.into()), to)).collect()
}

fn seconds(offset: &str) -> i32 {
    let digits = (1..offset.len())
        .step_by(2)
        .map(|start| offset[start..start + 2].parse::<i32>().expect("digits"));
    let of_day: i32 = digits.zip([3_600, 60, 1]).map(|(number, unit)| number * unit).sum();
    if offset.starts_with('-') { -of_day } else { of_day }
}

/// The day of a yearly rule in a year.
fn onset_of(rule: &str, year: i32) -> NaiveDate {
    let part =
        |name: &str| rule.split(';').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    let month: u32 = part("BYMONTH").expect("a month").parse().expect("a number");
    let (ordinal, weekday) = part("BYDAY").map(|day| day.split_at(day.len() - 2)).expect("a day");
    let days = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];
    let weekday =
        Weekday::try_from(days.iter().position(|day| *day == weekday).expect("a day") as u8)
            .expect("a day");
    let first = NaiveDate::from_ymd_opt(year, month, 1).expect("a day");
    let end = first + Months::new(1);
    let mut of_month =
        first.iter_days().take_while(|day| *day < end).filter(|day| day.weekday() == weekday);
    match (ordinal, part("BYMONTHDAY")) {
        ("", Some(days)) => {
            of_month.find(|date| days.split(',').any(|day| day == date.day().to_string()))
        }
        ("-1", _) => of_month.last(),
        (ordinal, _) => of_month.nth(ordinal.parse::<usize>().expect("a number") - 1),
    }
    .expect("a day")
}

#[test]
fn writes_zone_with_its_offsets() {
    for name in [
        "Europe/Berlin",
        "America/New_York",
        "Asia/Kolkata",
        "Asia/Jerusalem",
        "Africa/Casablanca",
        "Africa/Cairo",
        "America/Santiago",
        "Australia/Lord_Howe",
        "Europe/Dublin",
        "Asia/Gaza",
        "America/Nuuk",
        "America/Vancouver",
        "America/Winnipeg",
        "America/Edmonton",
        "America/Havana",
        "Europe/Chisinau",
        "Etc/GMT+5",
    ] {
        let zone: Zone = name.parse().expect("a zone");
        let date = at("2007-06-01T00:00:00Z");
        let written =
            write([Exported { date, time_zone: name.to_owned(), ..round_trip::exported() }]);
        let mut onsets: Vec<_> = observances(&written).iter().flat_map(onsets).collect();
        onsets.sort_unstable();
        for hours in (0..24 * 365 * 47).step_by(13) {
            let utc = (date + TimeDelta::hours(hours)).naive_utc();
            let begun =
                onsets.iter().rfind(|(onset, _)| *onset <= utc).map(|(_, seconds)| *seconds);
            let expected = zone.observance_at(utc.and_utc()).offset;
            assert_eq!(begun, Some(expected), "{name} {utc}\n{written}");
        }
    }
}

#[test]
fn writes_offsets_of_2026() {
    for (name, at, hours) in [
        ("America/Vancouver", "2026-12-01T00:00:00Z", -7),
        ("Canada/Pacific", "2027-12-01T00:00:00Z", -7),
        ("America/Edmonton", "2026-12-01T00:00:00Z", -6),
        ("America/Winnipeg", "2026-12-01T00:00:00Z", -5),
        ("America/Havana", "2026-12-01T00:00:00Z", -4),
        ("America/Havana", "2027-12-01T00:00:00Z", -5),
        ("Africa/Casablanca", "2026-10-01T00:00:00Z", 0),
        ("Africa/Casablanca", "2026-07-01T00:00:00Z", 1),
    ] {
        let date = "2026-06-01T00:00:00Z".parse().expect("a time");
        let written =
            write([Exported { date, time_zone: name.to_owned(), ..round_trip::exported() }]);
        let mut onsets: Vec<_> = observances(&written).iter().flat_map(onsets).collect();
        onsets.sort_unstable();
        let at = self::at(at).naive_utc();
        let begun = onsets.iter().rfind(|(onset, _)| *onset <= at).map(|(_, seconds)| *seconds);
        assert_eq!(begun, Some(hours * 3_600), "{name} {at}\n{written}");
    }
}

/// Definitions of dates from the first to the last year have few lines.
#[test]
fn bounds_definition_of_far_dates() {
    for name in ["Europe/Berlin", "Africa/Casablanca", "America/Vancouver"] {
        let of = |date: &str| Exported {
            date: at(date),
            time_zone: name.to_owned(),
            ..round_trip::exported()
        };
        let written = write([of("1600-06-01T00:00:00Z"), of("9999-06-01T00:00:00Z")]);
        assert!(written.len() < 10_000, "{} bytes", written.len());
        let far = write([of("2150-06-01T00:00:00Z")]);
        let summer = far.contains("BYDAY=-1SU");
        assert_eq!(summer, name == "Europe/Berlin", "{far}");
    }
}

#[test]
fn writes_yearly_changes_as_rules() {
    let reminder = Exported { time_zone: "Europe/Berlin".to_owned(), ..round_trip::exported() };
    let written = write([reminder]);
    for line in [
        "TZID:Europe/Berlin\r\nX-LIC-LOCATION:Europe/Berlin\r\n",
        "BEGIN:DAYLIGHT\r\nDTSTART:20270328T020000\r\nTZOFFSETFROM:+0100\r\nTZOFFSETTO:+0200\r\n\
         TZNAME:CEST\r\nRRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU\r\nEND:DAYLIGHT\r\n",
    ] {
        assert!(written.contains(line), "{written}");
    }
    assert_eq!(written.matches("TZOFFSETTO").count(), 3);
}
