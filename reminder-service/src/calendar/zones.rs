//! The zones that a calendar speaks of, by whatever names its product has for them.

mod display;
pub(super) mod windows;

use std::{collections::HashMap, sync::LazyLock};

use chrono_tz::{TZ_VARIANTS, Tz};

use super::{Note, Told, component::Component, shown};

/// The longest name that is looked up. Those that products write have at most 80 characters.
const LONGEST_NAME: usize = 128;

/// The zones of one calendar.
#[derive(Debug)]
pub(super) struct Zones {
    /// The calendar's own (`X-WR-TIMEZONE`).
    pub(super) calendar: Option<Tz>,
    default: Tz,
    /// What its VTIMEZONEs say they are, by `TZID`.
    defined: HashMap<String, Tz>,
}

impl Zones {
    /// The zones of a calendar; `default` is for times without one.
    pub(super) fn of(calendar: &Component, default: Tz, notes: &mut Told<Note>) -> Self {
        let own = calendar.one("X-WR-TIMEZONE").filter(|it| !it.value.trim().is_empty());
        let calendar_zone = own.and_then(|it| zone(&it.value));
        if let (Some(property), None) = (own, calendar_zone) {
            let text = || {
                format!(
                    "the calendar's time zone is unknown, {default} stands in: {}",
                    shown(&property.value)
                )
            };
            notes.add(|| Note { line: property.line, uid: None, text: text() });
        }
        let zones = calendar.components.iter().filter(|it| it.name == "VTIMEZONE");
        let defined = zones.filter_map(|it| {
            let location = it.one("X-LIC-LOCATION").and_then(|it| zone(&it.value))?;
            Some((it.one("TZID")?.value.trim().to_owned(), location))
        });
        Self { calendar: calendar_zone, default, defined: defined.collect() }
    }

    /// The zone of times that name none.
    pub(super) fn floating(&self) -> Tz {
        self.calendar.unwrap_or(self.default)
    }

    /// The zone of a `TZID`.
    pub(super) fn named(&self, name: &str) -> Option<Tz> {
        let name = unquoted(name);
        iana(name).or_else(|| self.defined.get(name).copied()).or_else(|| zone(name))
    }
}

fn unquoted(name: &str) -> &str {
    name.trim().trim_matches('"').trim()
}

/// The zone of a name: IANA's, Windows', one with a product's prefix, or Outlook's for people.
fn zone(name: &str) -> Option<Tz> {
    let name = unquoted(name);
    if name.len() > LONGEST_NAME {
        return None;
    }
    let made_up = || after_prefix(name).or_else(|| with_slash(name));
    iana(name).or_else(|| of_windows(name)).or_else(|| display::zone(name)).or_else(made_up)
}

/// The zones by their names in small letters: a file may ask for a name in every line.
static BY_NAME: LazyLock<HashMap<String, Tz>> = LazyLock::new(|| {
    TZ_VARIANTS.iter().map(|zone| (zone.name().to_ascii_lowercase(), *zone)).collect()
});

fn iana(name: &str) -> Option<Tz> {
    BY_NAME.get(&name.to_ascii_lowercase()).copied()
}

fn of_windows(name: &str) -> Option<Tz> {
    let found =
        windows::WINDOWS_ZONES.iter().find(|(windows, _)| windows.eq_ignore_ascii_case(name));
    found.and_then(|(_, zone)| zone.parse().ok())
}

/// `/mozilla.org/20050126_1/Europe/Berlin`, `/freeassociation.sourceforge.net/Europe/Berlin`: the
/// globally unique names of RFC 5545 §3.8.3.1, as those who write them have agreed to end them. So
/// do the ones that others make up (`custom_America/New_York`).
fn after_prefix(name: &str) -> Option<Tz> {
    let ends = name.match_indices(['/', '_']).filter_map(|(index, _)| name.get(index + 1..));
    ends.filter_map(iana).next()
}

/// `US-Eastern`, `Europe_London`: a name that was made fit for a file.
fn with_slash(name: &str) -> Option<Tz> {
    let separator = name.find(['-', '_'])?;
    iana(&format!("{}/{}", name.get(..separator)?, name.get(separator + 1..)?))
}
