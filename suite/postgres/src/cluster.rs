//! A cluster that lives as long as the process that started it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::signal::Signal;
use sqlx::{AssertSqlSafe, Connection};

use crate::{
    Error, Options, binaries,
    folder::Folder,
    initdb,
    postmaster::{self, Life},
    process::Process,
    server::{self, Address},
    shared::{self, Shared},
};

/// How long open transactions get to end after the fast shutdown, and the server after the
/// immediate one.
const FAST_LIMIT: Duration = Duration::from_secs(60);
const IMMEDIATE_LIMIT: Duration = Duration::from_secs(10);

/// A running private cluster. Dropping it asks the server to shut down; [`Cluster::stop`] also
/// waits for that.
#[derive(Debug)]
pub struct Cluster {
    folder: Folder,
    relocated: bool,
    address: Address,
    process: Process,
    _lock: File,
}

impl Cluster {
    /// Starts the cluster in `options.dir`, making it first if there is none.
    ///
    /// The server ends with this process, even when it is killed (on Linux by the kernel's doing;
    /// elsewhere the next start ends the one left behind).
    ///
    /// # Errors
    ///
    /// When the folder is used by another process, no server can be found or fetched, or it does
    /// not start.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let folder = Folder::prepare(&options.dir)?;
        let lock = folder.try_lock()?.ok_or_else(|| Error::InUse { dir: folder.root.clone() })?;
        postmaster::end_orphan(&folder).await?;
        let unclean = postmaster::clear_stale(&folder)?;
        if unclean && !options.durable {
            forget_data(&folder)?;
        }
        let binaries = binaries::choose(&folder).await?;
        initdb::ensure(&folder, &binaries, options.durable).await?;
        let (process, address) = server::start(&folder, &binaries, &options, Life::Owned).await?;
        tracing::info!(
            dir = %folder.root.display(),
            port = address.port,
            version = binaries.major,
            "PostgreSQL started"
        );
        let relocated = options.dir.canonicalize().is_ok_and(|wanted| wanted != folder.root);
        Ok(Self { folder, relocated, address, process, _lock: lock })
    }

    /// Joins the cluster in `options.dir`, starting it when it does not run. It stays when this
    /// process ends. A shared cluster starts empty, every time.
    ///
    /// # Errors
    ///
    /// When the folder is used in the other way, no server can be found or fetched, or it does not
    /// start.
    pub async fn share(options: Options) -> Result<Shared, Error> {
        shared::join(options).await
    }

    /// Where a client connects to use `database`, password included.
    pub fn url(&self, database: &str) -> String {
        self.address.url(database)
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port
    }

    /// The folder that is used.
    pub fn dir(&self) -> &Path {
        &self.folder.root
    }

    /// Whether that is another folder than the wanted one, which the server's account cannot enter.
    pub fn is_relocated(&self) -> bool {
        self.relocated
    }

    /// The server's log file.
    pub fn log(&self) -> PathBuf {
        self.folder.log()
    }

    /// The process id of `postgres`.
    pub fn pid(&self) -> i32 {
        self.process.pid().as_raw()
    }

    /// Makes the database unless it is there.
    ///
    /// # Errors
    ///
    /// When the name would need quoting or the server refuses.
    pub async fn create_database(&self, name: &str) -> Result<(), Error> {
        create_database(&self.address, name).await
    }

    /// Waits until the server has ended by itself: it should not, while the cluster is in use.
    pub async fn ended(&mut self) {
        while !self.process.ended_within(Duration::from_secs(3_600)).await {}
    }

    /// Shuts the server down: open transactions are rolled back, committed ones are on disk.
    ///
    /// # Errors
    ///
    /// When the server is still there after an immediate shutdown as well.
    pub async fn stop(mut self) -> Result<(), Error> {
        for (signal, limit) in [(Signal::SIGINT, FAST_LIMIT), (Signal::SIGQUIT, IMMEDIATE_LIMIT)] {
            self.process.signal(signal);
            if self.process.ended_within(limit).await {
                tracing::info!(dir = %self.folder.root.display(), "PostgreSQL stopped");
                return Ok(());
            }
        }
        Err(Error::NotStopped { dir: self.folder.root.clone(), pid: self.process.pid().as_raw() })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.process.signal(Signal::SIGINT);
    }
}

/// Removes the data, so that the next start makes it anew.
pub(crate) fn forget_data(folder: &Folder) -> Result<(), Error> {
    let data = folder.data();
    match fs::remove_dir_all(&data) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::file("remove", &data)(error))
        }
        _ => Ok(()),
    }
}

pub(crate) async fn create_database(address: &Address, name: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || name.len() > 63 || !name.chars().all(plain) {
        return Err(Error::Name(name.to_owned()));
    }
    let failed = |source| Error::Database { attempt: "create a database", source };
    let mut connection = address.connect("postgres").await.map_err(failed)?;
    let known =
        sqlx::query_scalar::<_, bool>("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)");
    if known.bind(name).fetch_one(&mut connection).await.map_err(failed)? {
        return Ok(());
    }
    let created = sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&mut connection)
        .await;
    let _ = connection.close().await;
    match created {
        Err(error) if !made_by_another(&error) => Err(failed(error)),
        _ => Ok(()),
    }
}

/// Whether the database was made by somebody else in the same moment: duplicate_database, or the
/// catalog's own index.
fn made_by_another(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code == "42P04" || code == "23505")
}
