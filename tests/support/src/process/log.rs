//! Output of a process, in a file.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::Context as _;

/// Lines of a log that a failure shows.
const TAIL_LINES: usize = 40;

/// A log file.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    is_kept: bool,
}

impl Log {
    /// Creates a file in `<target>/test-logs`. It is removed with this value unless a test fails.
    pub(super) fn of_test(name: &str) -> anyhow::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let dir = crate::postgres::target_dir()?.join("test-logs");
        fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!("{}-{number}-{name}.log", std::process::id()));
        Self::create(path, false)
    }

    /// Creates the file at `path`, which is kept.
    pub(super) fn at(path: &Path) -> anyhow::Result<Self> {
        Self::create(path.to_owned(), true)
    }

    fn create(path: PathBuf, is_kept: bool) -> anyhow::Result<Self> {
        File::create(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(Self { path, is_kept })
    }

    /// Opens the file for standard output or error.
    pub(super) fn stdio(&self) -> io::Result<Stdio> {
        Ok(File::options().append(true).open(&self.path)?.into())
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.path).unwrap_or_default()).into_owned()
    }

    /// The last lines, after the path of the file.
    pub(super) fn tail(&self) -> String {
        let text = self.text();
        let lines: Vec<_> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        format!("--- {} ---\n{}", self.path.display(), last.join("\n"))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if !self.is_kept && !std::thread::panicking() {
            let _ = fs::remove_file(&self.path);
        }
    }
}
