//! Failures of a cluster.

use std::{io, path::PathBuf};

/// A failure to create, start, use or stop a cluster. The message states the failed operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("could not {attempt} {}", path.display())]
    File {
        /// The failed operation, as a verb phrase.
        attempt: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Error of the operating system.
        #[source]
        source: io::Error,
    },
    /// A program could not be run at all.
    #[error("could not run {}", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// Error of the operating system.
        #[source]
        source: io::Error,
    },
    /// This process runs as root, and there is no account for the server.
    #[error(
        "PostgreSQL does not run as root, and there is neither a user `postgres` nor a user \
         `nobody` to run it as"
    )]
    NoAccount,
    /// No server is installed and none could be downloaded.
    #[error(
        "no PostgreSQL (14 or newer) is installed, and it could not be downloaded from {url} \
         ({reason}); install it: `apt-get install postgresql` or `brew install postgresql`"
    )]
    Unavailable {
        /// URL of the download.
        url: &'static str,
        /// Reason of the failure.
        reason: String,
    },
    /// The data was written by a major version that is not installed.
    #[error(
        "the data in {} was written by PostgreSQL {wanted}, which is not installed (found: \
         {found}); install it or move the folder away",
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
    /// A server that this library did not start runs on the folder.
    #[error(
        "a PostgreSQL server that was started otherwise (process {pid}) runs on {}: stop it first",
        dir.display()
    )]
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
        /// Error output of `initdb`.
        output: String,
    },
    /// The requested port is in use.
    #[error("port {port} on 127.0.0.1 is in use")]
    PortTaken {
        /// The port.
        port: u16,
    },
    /// The server ended instead of accepting connections.
    #[error(
        "postgres ended ({status}) instead of accepting connections; its log {} ends: {tail}",
        log.display()
    )]
    Ended {
        /// Exit status.
        status: String,
        /// Log file of the server.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// The server did not accept connections in time.
    #[error(
        "postgres did not accept connections within {seconds} s; see its log {}",
        log.display()
    )]
    NotReady {
        /// Time that was waited, in seconds.
        seconds: u64,
        /// Log file of the server.
        log: PathBuf,
        /// Error of the last attempt to connect.
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
    /// The name of a database needs quoting.
    #[error("database name `{0}`: must have 1 to 63 lower-case letters, digits and `_`")]
    Name(String),
    /// A statement failed.
    #[error("could not {attempt}")]
    Database {
        /// The failed operation, as a verb phrase.
        attempt: &'static str,
        /// Error of the database.
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
