//! Times and dates as clients give them.

use chrono::{DateTime, Datelike, SecondsFormat, TimeDelta, Utc};
use recurrence::{Fold, Gap, Rule, Series, Zone, canonical_date};
use reminder_service::domain::reminder::{GivenTime, TimeZone, instant};

/// Zones with whole hours, half hours and minutes, and with gaps of an hour, half an hour and a
/// day.
const ZONES: [&str; 5] =
    ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Monrovia"];

/// Fuzz target of times (RFC 3339 with or without an offset) and of entries of `exdates` and
/// `rdates`. A time that is read can be written and read again; a fault names the field.
///
/// # Panics
/// If a property does not hold.
pub fn times(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let at = instant("from", &text);
    match GivenTime::parse("date", &text) {
        Ok(GivenTime::Instant(given)) => {
            assert_eq!(at, Ok(given));
            check_instant(given);
        }
        Ok(local) => {
            assert!(at.is_err(), "{text} is local, and {at:?}");
            check_local(local);
        }
        Err(fault) => {
            assert!(at.is_err(), "{text} is no time, but {at:?}");
            assert!(fault.to_string().starts_with("date: must be "), "{fault}");
        }
    }
    if let Err(fault) = &at {
        assert!(fault.to_string().starts_with("from: must be "), "{fault}");
    }
    check_listed(&text);
}

fn check_instant(at: DateTime<Utc>) {
    assert!(
        (1..=9_999).contains(&at.year()) && at.timestamp_subsec_nanos().is_multiple_of(1_000_000)
    );
    let written = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    assert_eq!(GivenTime::parse("date", &written), Ok(GivenTime::Instant(at)));
    for zone in ZONES {
        let zone = TimeZone::parse(zone).expect("a zone");
        assert_eq!(GivenTime::Instant(at).due_date(zone, None), Ok(at));
        assert_eq!(GivenTime::Instant(at).after(at, zone), Some(at));
    }
}

fn check_local(given: GivenTime) {
    let GivenTime::Local(local) = given else { return };
    let written = local.format("%Y-%m-%dT%H:%M:%S%.3f").to_string();
    assert_eq!(GivenTime::parse("date", &written), Ok(given));
    for name in ZONES {
        let zone = Zone::parse(name).expect("a zone");
        let time_zone = TimeZone::parse(name).expect("a zone");
        let Ok(at) = given.due_date(time_zone, None) else { continue };
        check_instant(at);
        let shown = zone.wall_clock(at);
        // A gap shifts the time by its length: at most the day that Apia left out.
        assert!(shown >= local && shown - local <= TimeDelta::days(1), "{local} in {name}: {at}");
        let later = given.after(at, time_zone).expect("an instant");
        assert!(later >= at && zone.wall_clock(later) == shown, "{local} in {name}: {later}");
    }
}

/// An entry of a list means the same in its shortest form.
fn check_listed(text: &str) {
    let canonical = canonical_date(text);
    let occurrences = |entry: &str| {
        let rdates = [entry.to_owned()];
        let rule = Rule {
            rrule: "FREQ=DAILY;COUNT=1",
            exdates: &[],
            rdates: &rdates,
            gap: Gap::Shift,
            fold: Fold::Both,
        };
        let zone = Zone::parse("Europe/Berlin").expect("a zone");
        let series = Series::new(DateTime::UNIX_EPOCH, zone, rule);
        series.map(|series| series.after(DateTime::<Utc>::MIN_UTC).take(4).collect::<Vec<_>>())
    };
    let given = occurrences(text);
    let Some(canonical) = canonical else {
        return assert!(given.is_err(), "{text} has no shortest form, but {given:?}");
    };
    assert!(canonical.len() <= 20, "{canonical}");
    assert_eq!(canonical_date(&canonical).as_ref(), Some(&canonical));
    assert_eq!(occurrences(&canonical), given, "{canonical}");
}
