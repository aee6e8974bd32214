//! Time zones of a calendar, by the names that its product uses.

mod display;
pub(super) mod windows;

use std::collections::HashMap;

use time_zone::Zone;

use super::{BoundedList, Note, component::Component, shown};

/// Longest name that is looked up. Names that products write have at most 80 characters.
const MAX_NAME: usize = 128;

/// The zones of one calendar.
#[derive(Debug)]
pub(super) struct Zones {
    /// Zone of the calendar (`X-WR-TIMEZONE`).
    pub(super) calendar: Option<Zone>,
    default: Zone,
    /// Zones that its VTIMEZONEs name as their location, by `TZID`.
    defined: HashMap<String, Zone>,
}

impl Zones {
    /// The zones of a calendar; `default` applies to times without a zone.
    pub(super) fn of(calendar: &Component, default: Zone, notes: &mut BoundedList<Note>) -> Self {
        let own = calendar.one("X-WR-TIMEZONE");
        let own = own.filter(|property| !property.value.trim().is_empty());
        let calendar_zone = own.and_then(|property| zone(&property.value));
        if let (Some(property), None) = (own, calendar_zone) {
            let text = || {
                format!(
                    "the calendar's time zone is unknown, {default} is used instead: {}",
                    shown(&property.value)
                )
            };
            notes.add(|| Note { line: property.line, uid: None, text: text() });
        }
        let zones = calendar.components.iter().filter(|child| child.name == "VTIMEZONE");
        let defined = zones.filter_map(|definition| {
            let location = zone(&definition.one("X-LIC-LOCATION")?.value)?;
            Some((definition.one("TZID")?.value.trim().to_owned(), location))
        });
        Self { calendar: calendar_zone, default, defined: defined.collect() }
    }

    /// The zone of times without a zone.
    pub(super) fn floating(&self) -> Zone {
        self.calendar.unwrap_or(self.default)
    }

    /// The zone of a `TZID`.
    pub(super) fn named(&self, name: &str) -> Option<Zone> {
        let name = unquoted(name);
        iana(name).or_else(|| self.defined.get(name).copied()).or_else(|| zone(name))
    }
}

fn unquoted(name: &str) -> &str {
    name.trim().trim_matches('"').trim()
}

/// The zone of an IANA name, a Windows name, a display name of Outlook, or an IANA name that a
/// product changed.
fn zone(name: &str) -> Option<Zone> {
    let name = unquoted(name);
    if name.len() > MAX_NAME {
        return None;
    }
    let changed = || after_prefix(name).or_else(|| with_slash(name));
    iana(name).or_else(|| of_windows(name)).or_else(|| display::zone(name)).or_else(changed)
}

fn iana(name: &str) -> Option<Zone> {
    Zone::parse_ignoring_case(name).ok()
}

fn of_windows(name: &str) -> Option<Zone> {
    let found =
        windows::WINDOWS_ZONES.iter().find(|(windows, _)| windows.eq_ignore_ascii_case(name));
    found.and_then(|(_, zone)| zone.parse().ok())
}

/// The zone of a name with a prefix: the globally unique names of RFC 5545 §3.8.3.1, which end with
/// the IANA name by convention (`/mozilla.org/20050126_1/Europe/Berlin`,
/// `/freeassociation.sourceforge.net/Europe/Berlin`), and others (`custom_America/New_York`).
fn after_prefix(name: &str) -> Option<Zone> {
    let ends = name.match_indices(['/', '_']).filter_map(|(index, _)| name.get(index + 1..));
    ends.filter_map(iana).next()
}

/// The zone of a name whose slash was replaced (`US-Eastern`, `Europe_London`).
fn with_slash(name: &str) -> Option<Zone> {
    let separator = name.find(['-', '_'])?;
    iana(&format!("{}/{}", name.get(..separator)?, name.get(separator + 1..)?))
}
