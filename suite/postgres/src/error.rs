//! Why a cluster could not be had.

use std::{io, path::PathBuf};

/// A failure to make, start, use or stop a cluster, saying what was attempted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("could not {attempt} {}", path.display())]
    File {
        /// What was attempted, as a verb phrase.
        attempt: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A program could not be run at all.
    #[error("could not run {}", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Root started us and there is nobody the server could run as.
    #[error(
        "PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody` to run it as"
    )]
    NoAccount,
    /// No server is installed and none could be fetched.
    #[error(
        "no PostgreSQL (14 or newer) is installed and it could not be fetched from {url} ({reason}); \
         install it: `apt-get install postgresql` or `brew install postgresql`"
    )]
    Unavailable {
        /// Where it was looked for.
        url: &'static str,
        /// Why it could not be had.
        reason: String,
    },
    /// The data was written by another major version than those found.
    #[error(
        "the data in {} was written by PostgreSQL {wanted}, and that version is not installed (found: {found}); \
         install it or move the folder away",
        dir.display()
    )]
    OtherVersion {
        /// The cluster's folder.
        dir: PathBuf,
        /// The major version that wrote the data.
        wanted: u32,
        /// The versions that were found.
        found: String,
    },
    /// Another process holds the folder.
    #[error("another process is using the cluster in {}: stop it first", dir.display())]
    InUse {
        /// The cluster's folder.
        dir: PathBuf,
    },
    /// A server that is not ours runs on the folder.
    #[error("a PostgreSQL server (process {pid}) that was not started from here runs on {}: stop it first", dir.display())]
    Running {
        /// The cluster's folder.
        dir: PathBuf,
        /// The server's process id.
        pid: i32,
    },
    /// `initdb` failed.
    #[error("initdb failed in {}: {output}", dir.display())]
    Initdb {
        /// The cluster's folder.
        dir: PathBuf,
        /// What it printed.
        output: String,
    },
    /// The chosen port is taken.
    #[error("port {port} on 127.0.0.1 is taken")]
    PortTaken {
        /// The port.
        port: u16,
    },
    /// The server ended instead of accepting connections.
    #[error("postgres ended ({status}) instead of accepting connections; its log {} ends: {tail}", log.display())]
    Ended {
        /// How it ended.
        status: String,
        /// Its log file.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// The server did not accept connections in time.
    #[error("postgres did not accept connections within {seconds} s; see its log {}", log.display())]
    NotReady {
        /// How long was waited.
        seconds: u64,
        /// Its log file.
        log: PathBuf,
        /// The last answer.
        #[source]
        source: Option<sqlx::Error>,
    },
    /// The server could not be stopped.
    #[error("the PostgreSQL server (process {pid}) on {} did not stop", dir.display())]
    NotStopped {
        /// The cluster's folder.
        dir: PathBuf,
        /// The server's process id.
        pid: i32,
    },
    /// A database name that would need quoting.
    #[error("`{0}` is no database name: lower-case letters, digits and `_`, at most 63")]
    Name(String),
    /// A statement failed.
    #[error("could not {attempt}")]
    Database {
        /// What was attempted, as a verb phrase.
        attempt: &'static str,
        /// The database's answer.
        #[source]
        source: sqlx::Error,
    },
}

impl Error {
    pub(crate) fn file(
        attempt: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { attempt, path, source }
    }

    pub(crate) fn run(program: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let program = program.into();
        move |source| Self::Run { program, source }
    }
}
