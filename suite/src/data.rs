//! The folder of the data: the one that was asked for, `.data` in the checkout while the suite is
//! run inside of it, or a folder of the user's own.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use shared::config::{Env, ProcessEnv};

/// The name of the folder beside those of other programs.
const NAME: &str = "reminders-suite";

/// Makes the data folder and gives its full path.
///
/// # Errors
/// When it cannot be made or written to.
pub(crate) fn prepare(asked: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(folder) = asked {
        return made(folder).with_context(|| refused(folder));
    }
    let folders = usual(checkout().as_deref(), &ProcessEnv);
    let mut last = None;
    for folder in &folders {
        match made(folder) {
            Ok(path) => return Ok(path),
            Err(error) => last = Some(error.context(refused(folder))),
        }
    }
    Err(last.unwrap_or_else(|| anyhow!("there is no folder for the data; --data chooses one")))
}

fn refused(folder: &Path) -> String {
    format!("could not make the data folder {}; --data chooses another", folder.display())
}

/// The workspace this program was built from, while the suite is run inside of it.
fn checkout() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?.canonicalize().ok()?;
    let inside = std::env::current_dir().ok()?.canonicalize().ok()?.starts_with(&workspace);
    (inside && workspace.join("Cargo.toml").is_file()).then_some(workspace)
}

/// The folders to try, in order.
fn usual(checkout: Option<&Path>, env: &dyn Env) -> Vec<PathBuf> {
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

/// A folder that is there, belongs to this user where others could have made it, and can be written
/// to.
fn made(folder: &Path) -> anyhow::Result<PathBuf> {
    DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    let path = folder.canonicalize()?;
    let is_own = path.metadata()?.uid() == nix::unistd::getuid().as_raw();
    anyhow::ensure!(
        is_own || !path.starts_with(std::env::temp_dir()),
        "it belongs to somebody else"
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
            usual(Some(Path::new("/src")), &home)[..2],
            [PathBuf::from("/src/.data"), own.clone()]
        );
        assert_eq!(usual(None, &home)[0], own);
        let both = env(&[("HOME", "/home/ada"), ("XDG_DATA_HOME", "/data/ada")]);
        assert_eq!(usual(None, &both)[0], PathBuf::from("/data/ada/reminders-suite"));
        assert!(usual(None, &env(&[]))[0].starts_with(std::env::temp_dir()));
    }

    #[test]
    fn refuses_a_folder_that_is_a_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("file");
        fs::write(&file, "").expect("written");
        let error = prepare(Some(&file)).expect_err("no folder");
        assert!(error.to_string().contains("--data chooses another"), "{error}");
    }

    #[test]
    fn makes_a_folder_and_gives_its_full_path() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = prepare(Some(&dir.path().join("a/b"))).expect("made");
        assert!(path.is_absolute() && path.is_dir());
    }
}
