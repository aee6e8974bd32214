//! PostgreSQL servers that are installed on this machine.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{Error, fetch, folder::Folder};

/// Oldest major version that the suite supports.
const OLDEST: u32 = 14;

/// Folders that contain one folder per version, and the path of the programs below it.
const PER_VERSION: [(&str, &str); 6] = [
    ("/usr/lib/postgresql", "bin"),
    ("/usr", "bin"),
    ("/opt/homebrew/opt", "bin"),
    ("/usr/local/opt", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "bin"),
    ("/Library/PostgreSQL", "bin"),
];

/// Programs of one installed version.
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

/// Chooses the programs for the cluster in `folder`: the version that wrote its data, else the
/// newest installed one, else a downloaded one.
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

/// Finds the installed servers by major version; the first one of each version.
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
    dirs.extend(from_pg_config());
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

/// Filters folders that contain other programs too by name.
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

fn from_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config")
        .arg("--bindir")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (!text.trim().is_empty()).then(|| PathBuf::from(text.trim()))
}

/// Returns the major version of the server in `dir`, run as the account of the cluster.
fn major_of(dir: &Path, folder: &Folder) -> Option<u32> {
    if !dir.join("initdb").is_file() || !dir.join("postgres").is_file() {
        return None;
    }
    let mut version = Command::new(dir.join("postgres"));
    version.arg("--version").current_dir(&folder.root).stdin(Stdio::null()).stderr(Stdio::null());
    if let Some(account) = &folder.account {
        account.apply(&mut version);
    }
    let output = version.output().ok().filter(|output| output.status.success())?;
    major_in(&String::from_utf8_lossy(&output.stdout))
}

/// Reads the major version from an output such as `postgres (PostgreSQL) 17.2 (Debian 17.2-1)`.
fn major_in(answer: &str) -> Option<u32> {
    let version = answer.split_once("(PostgreSQL) ")?.1;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::major_in;

    #[test]
    fn reads_major_version_of_every_vendor() {
        assert_eq!(major_in("postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)\n"), Some(15));
        assert_eq!(major_in("postgres (PostgreSQL) 17.2"), Some(17));
        assert_eq!(major_in("postgres (PostgreSQL) 19devel"), Some(19));
        assert_eq!(major_in("something else"), None);
    }
}
