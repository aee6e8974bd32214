//! Which PostgreSQL servers are installed here.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{Error, fetch, folder::Folder};

/// The oldest major version the suite's SQL is meant for.
const OLDEST: u32 = 14;

/// Folders with one folder per version in them, and what comes below that.
const PER_VERSION: [(&str, &str); 6] = [
    ("/usr/lib/postgresql", "bin"),
    ("/usr", "bin"),
    ("/opt/homebrew/opt", "bin"),
    ("/usr/local/opt", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "bin"),
    ("/Library/PostgreSQL", "bin"),
];

/// The programs of one installed version.
#[derive(Debug, Clone)]
pub(crate) struct Binaries {
    pub(crate) dir: PathBuf,
    pub(crate) major: u32,
}

impl Binaries {
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// The programs to run the cluster in `folder` with: the version that wrote its data, else the
/// newest one, else a fetched one.
pub(crate) async fn choose(folder: &Folder) -> Result<Binaries, Error> {
    let mut found = installed(folder);
    match major_of_data(folder) {
        Some(wanted) => {
            let names = found.keys().map(u32::to_string).collect::<Vec<_>>().join(", ");
            let dir = folder.root.clone();
            found.remove(&wanted).ok_or(Error::OtherVersion { dir, wanted, found: names })
        }
        None => match found.pop_last() {
            Some((_, newest)) => Ok(newest),
            None => fetch::server(folder).await,
        },
    }
}

/// What runs here, by major version; of one version the first that was found.
pub(crate) fn installed(folder: &Folder) -> BTreeMap<u32, Binaries> {
    let mut found = BTreeMap::new();
    for dir in candidates(folder) {
        if let Some(major) = major_of(&dir, folder).filter(|major| *major >= OLDEST) {
            found.entry(major).or_insert(Binaries { dir, major });
        }
    }
    found
}

fn major_of_data(folder: &Folder) -> Option<u32> {
    fs::read_to_string(folder.data().join("PG_VERSION")).ok()?.trim().parse().ok()
}

fn candidates(folder: &Folder) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = env::var_os("PATH").iter().flat_map(env::split_paths).collect();
    dirs.extend(told_by_pg_config());
    for (parent, below) in PER_VERSION {
        dirs.extend(
            children(Path::new(parent))
                .filter(|child| names_postgres(parent, child))
                .map(|dir| dir.join(below)),
        );
    }
    dirs.extend(children(&folder.downloads()).map(|dir| dir.join("bin")));
    dirs
}

/// Of folders that hold more than PostgreSQL, only those with its name.
fn names_postgres(parent: &str, child: &Path) -> bool {
    let name = child.file_name().and_then(OsStr::to_str).unwrap_or_default();
    match parent {
        "/usr" => name.starts_with("pgsql-"),
        "/opt/homebrew/opt" | "/usr/local/opt" => name.starts_with("postgresql"),
        _ => true,
    }
}

fn children(dir: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn told_by_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config")
        .arg("--bindir")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (!text.trim().is_empty()).then(|| PathBuf::from(text.trim()))
}

/// The major version of the server in `dir`, asked as the account that would run it.
fn major_of(dir: &Path, folder: &Folder) -> Option<u32> {
    if !dir.join("initdb").is_file() || !dir.join("postgres").is_file() {
        return None;
    }
    let mut ask = Command::new(dir.join("postgres"));
    ask.arg("--version").current_dir(&folder.root).stdin(Stdio::null()).stderr(Stdio::null());
    if let Some(account) = &folder.account {
        account.apply(&mut ask);
    }
    let output = ask.output().ok().filter(|output| output.status.success())?;
    major_in(&String::from_utf8_lossy(&output.stdout))
}

/// The major version in an answer such as `postgres (PostgreSQL) 17.2 (Debian 17.2-1)`.
fn major_in(answer: &str) -> Option<u32> {
    let version = answer.split_once("(PostgreSQL) ")?.1;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::major_in;

    #[test]
    fn the_major_version_is_read_from_every_vendors_answer() {
        assert_eq!(major_in("postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)\n"), Some(15));
        assert_eq!(major_in("postgres (PostgreSQL) 17.2"), Some(17));
        assert_eq!(major_in("postgres (PostgreSQL) 19devel"), Some(19));
        assert_eq!(major_in("something else"), None);
    }
}
