//! Display names of time zones in Outlook, such as `(UTC+01:00) Amsterdam, Berlin, Bern, Rome,
//! Stockholm, Vienna`.

use std::{collections::HashMap, sync::LazyLock};

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::{OffsetComponents, TZ_VARIANTS, Tz};

/// Names after the offset whose zone cannot be found by one of their cities.
const NAMES: [(&str, &str); 46] = [
    ("Abu Dhabi, Muscat", "Asia/Dubai"),
    ("Adelaide", "Australia/Adelaide"),
    ("Alaska", "America/Anchorage"),
    ("Aleutian Islands", "America/Adak"),
    ("Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna", "Europe/Berlin"),
    ("Arizona", "America/Phoenix"),
    ("Astana", "Asia/Almaty"),
    ("Atlantic Time (Canada)", "America/Halifax"),
    ("Azores", "Atlantic/Azores"),
    ("Beijing, Chongqing, Hong Kong, Urumqi", "Asia/Shanghai"),
    ("Belgrade, Bratislava, Budapest, Ljubljana, Prague", "Europe/Budapest"),
    ("Bogota, Lima, Quito, Rio Branco", "America/Bogota"),
    ("Brasilia", "America/Sao_Paulo"),
    ("Brasília", "America/Sao_Paulo"),
    ("Brussels, Copenhagen, Madrid, Paris", "Europe/Paris"),
    ("Canberra, Melbourne, Sydney", "Australia/Sydney"),
    ("Central America", "America/Guatemala"),
    ("Central Time (US & Canada)", "America/Chicago"),
    ("Chennai, Kolkata, Mumbai, New Delhi", "Asia/Kolkata"),
    ("Chihuahua, La Paz, Mazatlan", "America/Mazatlan"),
    ("Coordinated Universal Time", "Etc/UTC"),
    ("Dublin, Edinburgh, Lisbon, London", "Europe/London"),
    ("Eastern Time (US & Canada)", "America/New_York"),
    ("Georgetown, La Paz, Manaus, San Juan", "America/La_Paz"),
    ("Greenwich Mean Time : Dublin, Edinburgh, Lisbon, London", "Europe/London"),
    ("Guadalajara, Mexico City, Monterrey", "America/Mexico_City"),
    ("Harare, Pretoria", "Africa/Johannesburg"),
    ("Hawaii", "Pacific/Honolulu"),
    ("Helsinki, Kyiv, Riga, Sofia, Tallinn, Vilnius", "Europe/Kyiv"),
    ("Indiana (East)", "America/Indiana/Indianapolis"),
    ("International Date Line West", "Etc/GMT+12"),
    ("Islamabad, Karachi", "Asia/Karachi"),
    ("Istanbul", "Europe/Istanbul"),
    ("Jerusalem", "Asia/Jerusalem"),
    ("Kuala Lumpur, Singapore", "Asia/Singapore"),
    ("Kuwait, Riyadh", "Asia/Riyadh"),
    ("La Paz, Mazatlan", "America/Mazatlan"),
    ("Monrovia, Reykjavik", "Atlantic/Reykjavik"),
    ("Mountain Time (US & Canada)", "America/Denver"),
    ("Nairobi", "Africa/Nairobi"),
    ("Newfoundland", "America/St_Johns"),
    ("Osaka, Sapporo, Tokyo", "Asia/Tokyo"),
    ("Pacific Time (US & Canada)", "America/Los_Angeles"),
    ("Saskatchewan", "America/Regina"),
    ("Sri Jayawardenepura", "Asia/Colombo"),
    ("West Central Africa", "Africa/Lagos"),
];

/// Day on which standard offsets are compared: 1 January 2025.
const REFERENCE_SECONDS: i64 = 1_735_689_600;

/// The zone of a display name; a name that is not listed is searched for by its cities. Some
/// products omit the offset, or separate the cities with slashes.
pub(super) fn zone(name: &str) -> Option<Tz> {
    let (offset, names) =
        name.strip_prefix('(').and_then(|rest| rest.split_once(')')).unwrap_or(("", name));
    let cities = names.split([',', '/']).map(str::trim);
    let names =
        cities.clone().collect::<Vec<_>>().join(", ").replace("(US and Canada)", "(US & Canada)");
    if let Some((_, zone)) = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(&names)) {
        return zone.parse().ok();
    }
    let offset = minutes(offset)?;
    cities.into_iter().find_map(|city| of_city(city, offset))
}

/// Minutes of an offset such as `UTC+01:00`, `GMT-03.30` or `UTC`.
fn minutes(text: &str) -> Option<i64> {
    let rest = text.strip_prefix("UTC").or_else(|| text.strip_prefix("GMT"))?;
    if rest.is_empty() {
        return Some(0);
    }
    let (sign, rest) = match rest.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, rest.strip_prefix('+')?),
    };
    let (hours, minutes) = rest.split_once([':', '.'])?;
    let (hours, minutes) = (hours.parse::<u8>().ok()?, minutes.parse::<u8>().ok()?);
    Some(sign * (i64::from(hours) * 60 + i64::from(minutes)))
}

/// Zones by their cities in lower case.
static BY_CITY: LazyLock<HashMap<String, Vec<Tz>>> = LazyLock::new(|| {
    let mut zones = HashMap::<String, Vec<Tz>>::new();
    for zone in TZ_VARIANTS {
        if let Some((_, city)) = zone.name().rsplit_once('/') {
            zones.entry(city.to_ascii_lowercase()).or_default().push(zone);
        }
    }
    zones
});

fn of_city(city: &str, minutes: i64) -> Option<Tz> {
    let named = BY_CITY.get(&city.replace(' ', "_").to_ascii_lowercase())?;
    let reference = DateTime::from_timestamp(REFERENCE_SECONDS, 0)?.naive_utc();
    let fits = |zone: &&Tz| {
        let offset = zone.offset_from_utc_datetime(&reference);
        let summer = offset.dst_offset().num_minutes();
        i64::from(offset.fix().local_minus_utc()) / 60 - summer == minutes
    };
    named.iter().find(fits).copied()
}
