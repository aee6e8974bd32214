//! Database of the machine: a folder of TZif files (RFC 9636).

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

/// Default folder of the database. `TZDIR` names another one, as for every other program.
const FOLDER: &str = "/usr/share/zoneinfo";

/// Most bytes that are read to find the edition.
const MAX_FIRST_LINE: u64 = 64;

/// Returns the folder of the database. `TZDIR` is a variable of the operating system.
pub(crate) fn folder() -> PathBuf {
    std::env::var_os("TZDIR").map_or_else(|| PathBuf::from(FOLDER), PathBuf::from)
}

/// Edition of the database in a folder: `# version 2026a` in `tzdata.zi`, or the file `+VERSION`.
pub(crate) fn edition_in(folder: &Path) -> Option<String> {
    let first_line = |name| {
        let file = File::open(folder.join(name)).ok()?.take(MAX_FIRST_LINE);
        BufReader::new(file).lines().next()?.ok()
    };
    let edition =
        first_line("tzdata.zi").and_then(|line| line.strip_prefix("# version ").map(str::to_owned));
    let edition = edition.or_else(|| first_line("+VERSION")).map(|text| text.trim().to_owned());
    edition.filter(|name| is_edition(name))
}

/// Returns `true` for a year and a letter, and possibly more: `2026a`, `2026a-rearguard`.
fn is_edition(name: &str) -> bool {
    let (year, rest) = name.split_at_checked(4).unwrap_or(("", ""));
    year.len() == 4
        && year.bytes().all(|byte| byte.is_ascii_digit())
        && rest.len() <= 16
        && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
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

    #[test]
    fn refuses_text_that_is_no_edition() {
        for text in ["", "2026", "unknown", "latest", "2026a\u{7}", &"9".repeat(60)] {
            let folder = tempfile::tempdir().expect("a folder");
            fs::write(folder.path().join("+VERSION"), text).expect("written");
            let expected = (text == "2026").then_some("2026");
            assert_eq!(edition_in(folder.path()).as_deref(), expected, "{text:?}");
        }
    }
}
