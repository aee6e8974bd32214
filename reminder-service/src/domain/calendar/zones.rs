//! Time zones of a calendar, by the names that its product uses and by their definitions.

mod alike;
mod definition;
mod display;
mod offset_name;
pub(super) mod windows;
mod work;

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    rc::Rc,
};

use time_zone::Zone;

use super::{
    BoundedList, Note, component::Component, property::Property, read::Defaults, shown,
    times::Stamp, x_properties,
};
use alike::Years;
pub(super) use definition::Definition;
pub(super) use work::Work;

/// Longest name that is looked up. Names that products write have at most 80 characters.
const MAX_NAME: usize = 128;
/// Year of the rules that zones have today. Of a series that begins earlier, only later times are
/// delivered.
const RULES_SINCE: i32 = 2026;
/// Years in which a zone for a series must have the offsets of the definition.
const SERIES_YEARS: i32 = 10;

/// Seconds by which the changes of a zone for a series may differ from those of its definition.
const DAY: i64 = 24 * 3_600;

/// Years, and seconds by which the changes of a zone may differ from those of a definition.
type Search = (Years, i64);

/// The zones of one calendar.
#[derive(Debug)]
pub(super) struct Zones<'a> {
    /// Zone of the calendar (`X-WR-TIMEZONE`).
    calendar: Option<Zone>,
    default: Zone,
    /// Zone of the user; `None` if it is not known.
    user: Option<Zone>,
    /// `true` if `default` is that of the user.
    is_floating: bool,
    /// Zones that its VTIMEZONEs name as their location, by `TZID` in lower case.
    located: HashMap<String, Zone>,
    /// Definitions of the zones that have no known name, by `TZID` in lower case.
    defined: HashMap<String, Defined>,
    /// Zones with the offsets of a definition, by `TZID`, that were searched for.
    alike: RefCell<HashMap<(String, Search), Option<Zone>>>,
    /// Names and zones of which a note tells.
    noted: RefCell<HashSet<(String, Option<&'static str>)>>,
    work: &'a Work,
}

#[derive(Debug)]
struct Defined {
    line: usize,
    /// `None` if it cannot be read.
    definition: Option<Rc<Definition>>,
}

/// The zones of one entry. A name means the same zone for all of its times.
#[derive(Debug)]
pub(super) struct EntryZones<'a> {
    /// Zone of the calendar (`X-WR-TIMEZONE`).
    pub(super) calendar: Option<Zone>,
    default: Zone,
    /// `true` if times without a zone are in that of the user.
    pub(super) is_floating: bool,
    /// `false` if such times cannot be read, because the zone is not known.
    pub(super) is_known: bool,
    located: &'a HashMap<String, Zone>,
    /// Zones that have no known name, by `TZID` in lower case.
    defined: HashMap<String, Named>,
    work: &'a Work,
}

/// Zone that a `TZID` names.
#[derive(Debug, Clone)]
pub(super) enum Named {
    /// A known zone.
    Known(Zone),
    /// A definition that no known zone follows.
    Defined(Rc<Definition>),
}

impl<'a> Zones<'a> {
    /// The zones of a calendar; that of `defaults` applies to times without a zone.
    pub(super) fn of(
        calendar: &Component,
        defaults: &Defaults,
        work: &'a Work,
        notes: &mut BoundedList<Note>,
    ) -> Self {
        let default = defaults.zone;
        let mut zones = Self {
            calendar: None,
            default,
            user: defaults.user,
            is_floating: defaults.is_floating,
            located: HashMap::new(),
            defined: HashMap::new(),
            alike: RefCell::default(),
            noted: RefCell::default(),
            work,
        };
        for component in calendar.components.iter().filter(|child| child.name == "VTIMEZONE") {
            zones.add(component);
        }
        let own = calendar.one("X-WR-TIMEZONE");
        if let Some(property) = own.filter(|property| !property.value.trim().is_empty()) {
            let years = Years::of_series(None, None);
            let name = unquoted(&property.value);
            zones.calendar = zones.known(name).or_else(|| {
                match zones.named(name, years, property.line, notes)? {
                    Named::Known(zone) => Some(zone),
                    Named::Defined(_) => None,
                }
            });
            if zones.calendar.is_none() {
                let text = || {
                    format!(
                        "the calendar's time zone is unknown, {default} is used instead: {}",
                        shown(&property.value)
                    )
                };
                notes.add(|| Note { line: property.line, uid: None, text: text() });
            }
        }
        zones
    }

    /// Adds a definition. Of several with one name, the first counts.
    fn add(&mut self, component: &Component) {
        let Some(name) = component.one("TZID").map(|property| unquoted(&property.value)) else {
            return;
        };
        let key = name.to_lowercase();
        if let Some(location) = component.one("X-LIC-LOCATION").and_then(|one| zone(&one.value)) {
            self.located.entry(key).or_insert(location);
        } else if zone(name).is_none() && !self.defined.contains_key(&key) {
            let definition = Definition::read(component, self.work).map(Rc::new);
            self.defined.insert(key, Defined { line: component.line, definition });
        }
    }

    /// The zones of an event or a task.
    pub(super) fn of_entry(
        &self,
        component: &Component,
        notes: &mut BoundedList<Note>,
    ) -> EntryZones<'_> {
        let alarms = component.components.iter().flat_map(|alarm| &alarm.properties);
        let (mut defined, mut checked) = (HashMap::new(), HashSet::new());
        for property in component.properties.iter().chain(alarms) {
            let Some(name) = property.parameter("TZID").map(unquoted) else { continue };
            if !checked.insert(name) || !self.may_define(name) {
                continue;
            }
            let years = Years::of_entry(component);
            if let Some(named) = self.named(name, years, property.line, notes) {
                defined.insert(name.to_lowercase(), named);
            }
        }
        let Self { calendar, default, work, .. } = *self;
        let (located, is_known) = (&self.located, true);
        let is_floating = self.is_floating && calendar.is_none();
        let zones = EntryZones { calendar, default, is_floating, is_known, located, defined, work };
        if !x_properties::is_floating(component) {
            return zones;
        }
        let (default, is_known) = (self.user.unwrap_or(Zone::UTC), self.user.is_some());
        EntryZones { calendar: None, default, is_floating: true, is_known, ..zones }
    }

    /// Returns `true` if a name is not known, and may have another meaning.
    fn may_define(&self, name: &str) -> bool {
        let is_readable = self.defined.contains_key(&name.to_lowercase())
            || offset_name::offset(name).is_some()
            || without_addition(name).is_some();
        is_readable && self.known(name).is_none()
    }

    fn known(&self, name: &str) -> Option<Zone> {
        known(name, &self.located)
    }

    /// The zone of a name that is not known, by its definition, or else by the offset or the zone
    /// that it contains.
    fn named(
        &self,
        name: &str,
        years: Years,
        line: usize,
        notes: &mut BoundedList<Note>,
    ) -> Option<Named> {
        let defined = self.defined.get(&name.to_lowercase());
        let readable =
            defined.and_then(|defined| Some((defined.line, defined.definition.clone()?)));
        let (line, definition) = match readable {
            Some(readable) => readable,
            None => match offset_name::offset(name) {
                Some(offset) => (line, Rc::new(Definition::fixed(offset))),
                None => {
                    let zone = without_addition(name)?;
                    self.note(name, Some(zone), line, notes);
                    return Some(Named::Known(zone));
                }
            },
        };
        let alike = self.alike(name, &definition, years);
        self.note(name, alike, line, notes);
        Some(alike.map_or(Named::Defined(definition), Named::Known))
    }

    /// A known zone with the offsets of a definition. For a series, it may have them only in the
    /// first year, or change them at another hour: some definitions have no hours.
    fn alike(&self, name: &str, definition: &Definition, years: Years) -> Option<Zone> {
        let first = Years { last: years.first, ..years };
        self.alike_in(name, definition, (years, 0)).or_else(|| {
            let is_series = first != years;
            let less = [(first, 0), (years, DAY)].into_iter().filter(|_| is_series);
            less.into_iter().find_map(|search| self.alike_in(name, definition, search))
        })
    }

    fn alike_in(&self, name: &str, definition: &Definition, search: Search) -> Option<Zone> {
        let key = (name.to_lowercase(), search);
        if let Some(found) = self.alike.borrow().get(&key) {
            return *found;
        }
        if !self.work.spend(Work::COMPARISON + definition.len()) {
            return None;
        }
        let hint = without_addition(name);
        let preferred = [self.calendar, Some(self.default), hint].into_iter().flatten();
        let (years, tolerance) = search;
        let found = alike::zone(definition, years, tolerance, preferred);
        self.alike.borrow_mut().insert(key, found);
        found
    }

    /// Adds a note about a zone that has no known name, once for each zone that it is read as.
    fn note(&self, name: &str, zone: Option<Zone>, line: usize, notes: &mut BoundedList<Note>) {
        if self.noted.borrow_mut().insert((name.to_lowercase(), zone.map(Zone::name))) {
            let name = shown(name);
            let text = match zone {
                Some(zone) => format!("the time zone {name} is read as {zone}"),
                None => format!(
                    "the time zone {name} is read by its definition, which no known zone follows: \
                     single entries, and series that end, keep their instants"
                ),
            };
            notes.add(|| Note { line, uid: None, text });
        }
    }
}

impl Years {
    /// Years of an entry: that of its start, or those of its series.
    fn of_entry(component: &Component) -> Self {
        let year = |property: &Property| Stamp::parse(&property.value).map(Stamp::year);
        let start = component.one("DTSTART").or_else(|| component.one("DUE"));
        let first = start.and_then(year);
        let is_series = match component.one("RECURRENCE-ID") {
            Some(instance) => instance.parameter("RANGE").is_some(),
            None => component.one("RRULE").or_else(|| component.one("RDATE")).is_some(),
        };
        if !is_series {
            let year = first.unwrap_or(RULES_SINCE);
            return Self { first: year, last: year };
        }
        // Dates beside a rule may be later than its end.
        let rule = component.one("RRULE").filter(|_| component.one("RDATE").is_none());
        let rule = rule.map(|rule| rule.value.to_ascii_uppercase()).unwrap_or_default();
        let until = rule.split(';').find_map(|part| part.trim().strip_prefix("UNTIL="));
        Self::of_series(first, until.and_then(Stamp::parse).map(Stamp::year))
    }

    fn of_series(first: Option<i32>, last: Option<i32>) -> Self {
        let first = first.unwrap_or(RULES_SINCE).max(RULES_SINCE);
        let last = last.map_or(first + SERIES_YEARS, |last| last.min(first + SERIES_YEARS));
        Self { first, last: last.max(first) }
    }
}

impl EntryZones<'_> {
    /// The zone of times without a zone.
    pub(super) fn floating(&self) -> Zone {
        self.calendar.unwrap_or(self.default)
    }

    /// The zone of a `TZID`.
    pub(super) fn named(&self, name: &str) -> Option<Named> {
        let name = unquoted(name);
        let defined = || self.defined.get(&name.to_lowercase()).cloned();
        known(name, self.located).map(Named::Known).or_else(defined)
    }

    /// The definition of the zone that a property names, if no known zone follows it.
    pub(super) fn definition_of(&self, property: &Property) -> Option<Rc<Definition>> {
        match self.named(property.parameter("TZID")?)? {
            Named::Defined(definition) => Some(definition),
            Named::Known(_) => None,
        }
    }

    /// Takes the work of a conversion by a definition; returns `false` if none is left.
    pub(super) fn can_convert_by(&self, definition: &Definition) -> bool {
        self.work.spend(definition.len())
    }

    /// Takes the work to list the instances of a rule; returns `false` if none is left.
    pub(super) fn can_expand_rule(&self) -> bool {
        self.work.spend(Work::EXPANSION)
    }
}

/// The zone of a known name.
fn known(name: &str, located: &HashMap<String, Zone>) -> Option<Zone> {
    iana(name).or_else(|| located.get(&name.to_lowercase()).copied()).or_else(|| zone(name))
}

/// The zone of a name to which a product added a number (`Eastern Standard Time 1`) or a prefix
/// before an abbreviation (`custom_EST`). A definition says more than such a name.
fn without_addition(name: &str) -> Option<Zone> {
    if name.len() > MAX_NAME || iana(name).is_some() {
        return None;
    }
    let without_number = name.rsplit_once(' ').and_then(|(name, number)| {
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| zone(name)).flatten()
    });
    without_number.or_else(|| after_prefix(name).filter(|zone| !is_unambiguous(*zone)))
}

/// Returns `true` for a zone that is named after a place, and for UTC. Other names, such as `EST`,
/// mean an offset that their user may not mean.
fn is_unambiguous(zone: Zone) -> bool {
    zone.name().contains('/') || ["UTC", "GMT"].contains(&zone.name())
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
    let changed =
        || after_prefix(name).filter(|zone| is_unambiguous(*zone)).or_else(|| with_slash(name));
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
