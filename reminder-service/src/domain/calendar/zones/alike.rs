//! Search for a known zone that has the offsets of a definition.

use chrono::{DateTime, NaiveDate, Utc};
use time_zone::Zone;

use super::{
    definition::{Change, Definition},
    windows::WINDOWS_ZONES,
};

/// Changes of the clock that are compared: of ten years, with four changes a year (Morocco).
const MAX_CHANGES: usize = 44;
const HOUR: i64 = 3_600;

/// Zones that are preferred to others with the same offsets, in this order.
const WELL_KNOWN: [&str; 46] = [
    "UTC",
    "Europe/London",
    "Europe/Berlin",
    "Europe/Athens",
    "Europe/Moscow",
    "Europe/Istanbul",
    "America/New_York",
    "America/Chicago",
    "America/Denver",
    "America/Los_Angeles",
    "America/Anchorage",
    "America/Phoenix",
    "America/Halifax",
    "America/St_Johns",
    "America/Mexico_City",
    "America/Bogota",
    "America/Caracas",
    "America/Sao_Paulo",
    "America/Argentina/Buenos_Aires",
    "America/Santiago",
    "Pacific/Honolulu",
    "Africa/Lagos",
    "Africa/Johannesburg",
    "Africa/Cairo",
    "Africa/Nairobi",
    "Africa/Casablanca",
    "Asia/Jerusalem",
    "Asia/Dubai",
    "Asia/Tehran",
    "Asia/Kabul",
    "Asia/Karachi",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Dhaka",
    "Asia/Yangon",
    "Asia/Bangkok",
    "Asia/Shanghai",
    "Asia/Singapore",
    "Asia/Tokyo",
    "Asia/Seoul",
    "Australia/Perth",
    "Australia/Darwin",
    "Australia/Brisbane",
    "Australia/Adelaide",
    "Australia/Sydney",
    "Pacific/Auckland",
];

/// Period in which a zone must have the offsets of a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Years {
    /// The first year.
    pub(super) first: i32,
    /// The last year.
    pub(super) last: i32,
}

/// The first of the preferred zones, of the fixed and well-known ones, and then of all, that has
/// the offsets of a definition and changes them within `tolerance` seconds of its times.
pub(super) fn zone(
    definition: &Definition,
    years: Years,
    tolerance: i64,
    preferred: impl Iterator<Item = Zone>,
) -> Option<Zone> {
    let (begin, end) = (start_of(years.first)?, start_of(years.last.checked_add(1)?)?);
    let begin = definition.first_onset().map_or(begin, |first| first.max(begin));
    let before = definition.offset_at(begin);
    let changes = definition.changes(begin, end, MAX_CHANGES)?;
    let named = |name: &&'static str| name.parse::<Zone>().ok();
    let fixed = definition.only_offset().and_then(fixed_zone);
    let well_known = WELL_KNOWN.iter().filter_map(named);
    let of_windows = WINDOWS_ZONES.iter().filter_map(|(_, name)| named(name));
    let mut candidates = preferred.chain(fixed).chain(well_known).chain(of_windows);
    let is_alike = |zone: &Zone| follows(*zone, (begin, before), &changes, (end, tolerance));
    // All zones are read only if they are needed.
    candidates.find(is_alike).or_else(|| Zone::all().find(is_alike))
}

fn start_of(year: i32) -> Option<DateTime<Utc>> {
    Some(NaiveDate::from_ymd_opt(year, 1, 1)?.and_hms_opt(0, 0, 0)?.and_utc())
}

/// Zone with a fixed offset in whole hours. The signs of its names are reversed.
fn fixed_zone(offset: i64) -> Option<Zone> {
    let hours = offset / HOUR;
    let name = if hours == 0 { "UTC".to_owned() } else { format!("Etc/GMT{:+}", -hours) };
    (offset % HOUR == 0).then(|| name.parse().ok()).flatten()
}

/// Returns `true` if a zone has an offset at an instant, and then these changes until the end, each
/// within a number of seconds.
fn follows(
    zone: Zone,
    (begin, before): (DateTime<Utc>, i64),
    changes: &[Change],
    (end, tolerance): (DateTime<Utc>, i64),
) -> bool {
    let (mut at, mut offset) = (begin.timestamp(), before);
    if zone.offset_at(at) != Some(offset) {
        return false;
    }
    for (expected_at, after) in changes {
        let is_same = |next: &time_zone::Change| {
            next.at.abs_diff(expected_at.timestamp()) <= tolerance.unsigned_abs()
                && next.after == *after
        };
        let Some(next) = zone.change_after(at, offset).filter(is_same) else { return false };
        (at, offset) = (next.at, *after);
    }
    zone.change_after(at, offset).is_none_or(|next| next.at > end.timestamp() - tolerance)
}
