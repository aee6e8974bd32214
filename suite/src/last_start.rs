//! Record of the last start in the data folder: its ports, for the next start, and its process id,
//! for an instance that finds the folder in use.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::{Deserialize, Serialize};

const FILE: &str = "suite.json";

/// Record of a start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LastStart {
    /// Process id.
    pub(crate) pid: u32,
    /// Port of the console.
    pub(crate) console: Option<u16>,
    /// Port of reminder-service.
    pub(crate) reminder: Option<u16>,
    /// Port of event-service.
    pub(crate) event: Option<u16>,
    /// Port of notification-service.
    pub(crate) notification: Option<u16>,
    /// Port of the sandbox.
    pub(crate) sandbox: Option<u16>,
}

impl LastStart {
    /// Reads the record in a folder. It is empty if there is none or another version wrote it.
    pub(crate) fn read(data: &Path) -> Self {
        let text = fs::read_to_string(path(data)).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Writes the record.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub(crate) fn write(&self, data: &Path) -> anyhow::Result<()> {
        let path = path(data);
        fs::write(&path, serde_json::to_string_pretty(self)?)
            .with_context(|| format!("could not write {}", path.display()))
    }

    /// Describes the instance that uses the folder, for the user who has to stop it.
    pub(crate) fn describe(&self) -> String {
        match self.console {
            Some(port) => format!("process {}, console http://127.0.0.1:{port}", self.pid),
            None => "it is still starting".to_owned(),
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
    fn reads_written_record() {
        let dir = tempfile::tempdir().expect("a folder");
        let note = LastStart { pid: 7, console: Some(8080), ..LastStart::default() };
        note.write(dir.path()).expect("written");
        assert_eq!(LastStart::read(dir.path()), note);
    }

    #[test]
    fn ignores_unreadable_record() {
        let dir = tempfile::tempdir().expect("a folder");
        assert_eq!(LastStart::read(dir.path()), LastStart::default());
        fs::write(path(dir.path()), "{").expect("written");
        assert_eq!(LastStart::read(dir.path()), LastStart::default());
    }
}
