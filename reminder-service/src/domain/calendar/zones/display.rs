//! Display names of time zones in Outlook, such as `(UTC+01:00) Amsterdam, Berlin, Bern, Rome,
//! Stockholm, Vienna`.

use std::{collections::HashMap, sync::LazyLock};

use time_zone::Zone;

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

/// Days on which offsets are compared, in seconds since the Unix epoch: 1 January and 1 July 2025.
/// The standard offset is the smaller one.
const REFERENCES: [i64; 2] = [1_735_689_600, 1_751_328_000];

/// The zone of a display name; a name that is not listed is searched for by its cities. Some
/// products omit the offset, or separate the cities with slashes.
pub(super) fn zone(name: &str) -> Option<Zone> {
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

/// Names of zones by their cities in lower case.
static BY_CITY: LazyLock<HashMap<String, Vec<&'static str>>> = LazyLock::new(|| {
    let mut names = HashMap::<String, Vec<_>>::new();
    for name in time_zone::names() {
        if let Some((_, city)) = name.rsplit_once('/') {
            names.entry(city.to_ascii_lowercase()).or_default().push(name);
        }
    }
    names
});

fn of_city(city: &str, minutes: i64) -> Option<Zone> {
    let named = BY_CITY.get(&city.replace(' ', "_").to_ascii_lowercase())?;
    let fits = |zone: &Zone| {
        let offsets = REFERENCES.into_iter().filter_map(|second| zone.offset_at(second));
        offsets.min() == Some(minutes * 60)
    };
    named.iter().filter_map(|name| name.parse().ok()).find(fits)
}
