//! Secrets that may change while the process runs, because they are mounted as files.
//!
//! Kubernetes replaces the files of a mounted Secret about a minute after its change, by swapping a
//! symbolic link. One thread of the process reads the files periodically. If a file is missing,
//! empty or unreadable, the last valid value stays in use.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, Once, PoisonError, Weak},
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;

use super::secret_file::{self, FileProblem};

/// Interval at which the files are read.
const READ_INTERVAL: Duration = Duration::from_secs(1);

/// Secret that is read again while the process runs when it comes from a file. Clones share one
/// value.
#[derive(Clone)]
pub struct LiveSecret(Arc<Source>);

struct Source {
    name: &'static str,
    file: Option<PathBuf>,
    value: watch::Sender<SecretString>,
    /// Last problem with the file, so that each is logged once.
    problem: Mutex<Option<FileProblem>>,
}

impl LiveSecret {
    /// Secret that never changes.
    #[must_use]
    pub fn fixed(value: SecretString) -> Self {
        Self::new("", None, value)
    }

    /// Secret in a file, which is read periodically from now on; `name` is logged when it changes.
    ///
    /// # Errors
    /// If the file cannot be read now.
    pub fn open(name: &'static str, file: PathBuf) -> Result<Self, FileProblem> {
        let value = secret_file::read(&file)?;
        Ok(Self::from_file(name, file, value.into()))
    }

    /// Secret whose file is read periodically from now on; `value` is its current content.
    pub(super) fn from_file(name: &'static str, file: PathBuf, value: SecretString) -> Self {
        let secret = Self::new(name, Some(file), value);
        watch_file(&secret.0);
        secret
    }

    fn new(name: &'static str, file: Option<PathBuf>, value: SecretString) -> Self {
        let value = watch::Sender::new(value);
        Self(Arc::new(Source { name, file, value, problem: Mutex::new(None) }))
    }

    /// Current value.
    #[must_use]
    pub fn current(&self) -> SecretString {
        self.0.value.borrow().clone()
    }

    /// Receiver of changes; `None` if the secret never changes.
    #[must_use]
    pub fn changes(&self) -> Option<watch::Receiver<SecretString>> {
        self.0.file.is_some().then(|| self.0.value.subscribe())
    }

    /// Reads the file now, before the next periodic read.
    pub fn refresh(&self) {
        self.0.refresh();
    }
}

impl std::fmt::Debug for LiveSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveSecret").field("file", &self.0.file).finish_non_exhaustive()
    }
}

impl Source {
    fn refresh(&self) {
        let Some(file) = &self.file else { return };
        let read = secret_file::read(file);
        let problem = read.as_ref().err().copied();
        let previous = std::mem::replace(
            &mut *self.problem.lock().unwrap_or_else(PoisonError::into_inner),
            problem,
        );
        match read {
            Ok(text) => {
                let changed = self.value.send_if_modified(|value| {
                    let differs = value.expose_secret() != text;
                    if differs {
                        *value = SecretString::from(text);
                    }
                    differs
                });
                if changed {
                    tracing::info!(
                        variable = self.name,
                        "secret file changed, the new value is in use"
                    );
                }
            }
            Err(problem) if previous != Some(problem) => tracing::warn!(
                variable = self.name,
                problem = %problem,
                "secret file is unreadable, the last value stays in use"
            ),
            Err(_) => {}
        }
    }
}

static WATCHED: Mutex<Vec<Weak<Source>>> = Mutex::new(Vec::new());

/// Adds a file to those that the thread reads, until its secret is dropped.
fn watch_file(source: &Arc<Source>) {
    static STARTED: Once = Once::new();
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(source));
    STARTED.call_once(|| {
        let started = std::thread::Builder::new().name("secrets".to_owned()).spawn(|| {
            loop {
                std::thread::sleep(READ_INTERVAL);
                let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
                watched.retain(|source| source.strong_count() > 0);
                let sources: Vec<Arc<Source>> = watched.iter().filter_map(Weak::upgrade).collect();
                drop(watched);
                sources.iter().for_each(|source| source.refresh());
            }
        });
        if let Err(error) = started {
            tracing::error!(
                error = %error,
                "thread that watches secret files did not start, changed secrets need a restart"
            );
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_new_content_and_keeps_last_valid() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        std::fs::write(&path, "first").expect("written");
        let secret = LiveSecret::new("SECRET", Some(path.clone()), "first".into());
        let changes = secret.changes().expect("a file may change");
        std::fs::write(&path, "second\n").expect("written");
        secret.refresh();
        assert_eq!(secret.current().expose_secret(), "second");
        assert!(changes.has_changed().expect("the secret lives"));
        std::fs::write(&path, "").expect("emptied");
        secret.refresh();
        std::fs::remove_file(&path).expect("removed");
        secret.refresh();
        assert_eq!(secret.current().expose_secret(), "second");
    }

    #[test]
    fn never_shows_its_value() {
        let secret = LiveSecret::fixed("hunter2".into());
        assert!(!format!("{secret:?}").contains("hunter2"));
    }
}
