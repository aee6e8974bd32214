//! What a start notes for the next one: its ports, and who it is, for an instance that finds the
//! folder in use.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::{Deserialize, Serialize};

const FILE: &str = "suite.json";

/// The note in the data folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LastStart {
    /// The process.
    pub(crate) pid: u32,
    /// Of the console.
    pub(crate) console: Option<u16>,
    /// Of reminder-service.
    pub(crate) reminder: Option<u16>,
    /// Of event-service.
    pub(crate) event: Option<u16>,
    /// Of notification-service.
    pub(crate) notification: Option<u16>,
    /// Of the sandbox.
    pub(crate) sandbox: Option<u16>,
}

impl LastStart {
    /// The note in a folder; an empty one where there is none, or one that another version wrote.
    pub(crate) fn read(data: &Path) -> Self {
        let text = fs::read_to_string(path(data)).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Leaves the note.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(crate) fn write(&self, data: &Path) -> anyhow::Result<()> {
        let path = path(data);
        fs::write(&path, serde_json::to_string_pretty(self)?)
            .with_context(|| format!("could not write {}", path.display()))
    }

    /// Who runs on the folder, for a person who has to stop it.
    pub(crate) fn describe(&self) -> String {
        match self.console {
            Some(port) => format!("process {}, page http://127.0.0.1:{port}", self.pid),
            None => "it has only just started".to_owned(),
        }
    }
}

fn path(data: &Path) -> PathBuf {
    data.join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_found_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let note = LastStart { pid: 7, console: Some(8080), ..LastStart::default() };
        note.write(dir.path()).expect("written");
        assert_eq!(LastStart::read(dir.path()), note);
    }

    #[test]
    fn an_unreadable_note_is_no_obstacle() {
        let dir = tempfile::tempdir().expect("a folder");
        assert_eq!(LastStart::read(dir.path()), LastStart::default());
        fs::write(path(dir.path()), "{").expect("written");
        assert_eq!(LastStart::read(dir.path()), LastStart::default());
    }
}
