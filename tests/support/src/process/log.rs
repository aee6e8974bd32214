//! What a process prints, in a file that stays when the test fails.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
};

/// How many lines of a log a failure shows.
const TAIL_LINES: usize = 40;

/// A log file in `<target>/test-logs`.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
}

impl Log {
    pub(super) fn create(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let dir = crate::postgres::target_dir().expect("a cargo target folder").join("test-logs");
        fs::create_dir_all(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!("{}-{number}-{name}.log", std::process::id()));
        File::create(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { path }
    }

    /// The file, for standard output or error.
    pub(super) fn file(&self) -> Stdio {
        let file = File::options().append(true).open(&self.path);
        file.unwrap_or_else(|error| panic!("{}: {error}", self.path.display())).into()
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.path).unwrap_or_default()).into_owned()
    }

    /// The last lines, and where the whole is.
    pub(super) fn tail(&self) -> String {
        let text = self.text();
        let lines: Vec<_> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        format!("--- {} ---\n{}", self.path.display(), last.join("\n"))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_file(&self.path);
        }
    }
}
