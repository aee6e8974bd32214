//! Data folder: the requested one, `.data` in the checkout if the suite is run inside of it, or a
//! folder of the user.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use env_config::{Env, ProcessEnv};

/// Name of the folder among those of other programs.
const NAME: &str = "reminders-suite";

/// Creates the data folder and returns its full path.
///
/// # Errors
/// If it cannot be created or written to.
pub(crate) fn prepare(requested: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(folder) = requested {
        return create(folder).with_context(|| refused(folder));
    }
    let folders = candidates(checkout().as_deref(), &ProcessEnv);
    let mut last = None;
    for folder in &folders {
        match create(folder) {
            Ok(path) => return Ok(path),
            Err(error) => last = Some(error.context(refused(folder))),
        }
    }
    Err(last.unwrap_or_else(|| anyhow!("no data folder could be found; choose one with --data")))
}

fn refused(folder: &Path) -> String {
    format!("could not create the data folder {}; choose another one with --data", folder.display())
}

/// Workspace that this program was built from, if the suite is run inside of it.
fn checkout() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?.canonicalize().ok()?;
    let inside = std::env::current_dir().ok()?.canonicalize().ok()?.starts_with(&workspace);
    (inside && workspace.join("Cargo.toml").is_file()).then_some(workspace)
}

/// Returns the folders to try, in order.
fn candidates(checkout: Option<&Path>, env: &dyn Env) -> Vec<PathBuf> {
    let absolute = |name: &str| env.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let own = absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")));
    let temporary = std::env::temp_dir().join(format!("{NAME}-{}", nix::unistd::getuid()));
    checkout
        .map(|path| path.join(".data"))
        .into_iter()
        .chain(own.map(|path| path.join(NAME)))
        .chain([temporary])
        .collect()
}

/// Creates a folder if it does not exist, and checks it: it must be writable, and below the
/// temporary folder it must belong to this user.
fn create(folder: &Path) -> anyhow::Result<PathBuf> {
    DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    let path = folder.canonicalize()?;
    let is_own = path.metadata()?.uid() == nix::unistd::getuid().as_raw();
    anyhow::ensure!(
        is_own || !path.starts_with(std::env::temp_dir()),
        "it belongs to another user"
    );
    let probe = path.join(".writable");
    fs::write(&probe, b"")
        .and_then(|()| fs::remove_file(&probe))
        .context("it cannot be written to")?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn prefers_the_checkout_then_the_users_own_folder() {
        let home = env(&[("HOME", "/home/ada")]);
        let own = PathBuf::from("/home/ada/.local/share/reminders-suite");
        assert_eq!(
            candidates(Some(Path::new("/src")), &home)[..2],
            [PathBuf::from("/src/.data"), own.clone()]
        );
        assert_eq!(candidates(None, &home)[0], own);
        let both = env(&[("HOME", "/home/ada"), ("XDG_DATA_HOME", "/data/ada")]);
        assert_eq!(candidates(None, &both)[0], PathBuf::from("/data/ada/reminders-suite"));
        assert!(candidates(None, &env(&[]))[0].starts_with(std::env::temp_dir()));
    }

    #[test]
    fn refuses_file_as_folder() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("file");
        fs::write(&file, "").expect("written");
        let error = prepare(Some(&file)).expect_err("no folder");
        assert!(error.to_string().contains("choose another one with --data"), "{error}");
    }

    #[test]
    fn creates_folder_and_returns_full_path() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = prepare(Some(&dir.path().join("a/b"))).expect("created");
        assert!(path.is_absolute() && path.is_dir());
    }
}
