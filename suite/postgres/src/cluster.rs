//! A cluster that runs as long as the process that started it.

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
    postmaster::{self, Lifetime},
    process::Process,
    server::{self, Address},
    shared::{self, Shared},
};

/// Longest time of a fast shutdown, which rolls back open transactions.
const FAST_LIMIT: Duration = Duration::from_secs(60);
/// Longest time of an immediate shutdown.
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
    /// Starts the cluster in `options.dir`, and creates it first if there is none.
    ///
    /// The server ends with this process, even if it is killed: on Linux the kernel ends it,
    /// elsewhere the next start does.
    ///
    /// # Errors
    ///
    /// If another process uses the folder, no server can be found or downloaded, or it does not
    /// start.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let folder = Folder::prepare(&options.dir)?;
        let lock = folder.try_lock()?.ok_or_else(|| Error::InUse { dir: folder.root.clone() })?;
        postmaster::end_orphan(&folder).await?;
        let unclean = postmaster::clear_stale(&folder)?;
        if unclean && !options.durable {
            remove_data(&folder)?;
        }
        let binaries = binaries::choose(&folder).await?;
        initdb::ensure(&folder, &binaries, options.durable).await?;
        let (process, address) =
            server::start(&folder, &binaries, &options, Lifetime::Owned).await?;
        tracing::info!(
            dir = %folder.root.display(),
            port = address.port,
            version = binaries.major,
            "PostgreSQL started"
        );
        let relocated = options.dir.canonicalize().is_ok_and(|wanted| wanted != folder.root);
        Ok(Self { folder, relocated, address, process, _lock: lock })
    }

    /// Connects to the shared cluster in `options.dir`, and starts it if it does not run. It keeps
    /// running when this process ends. A shared cluster starts empty every time.
    ///
    /// # Errors
    ///
    /// If the folder has an owned cluster, no server can be found or downloaded, or it does not
    /// start.
    pub async fn share(options: Options) -> Result<Shared, Error> {
        shared::join(options).await
    }

    /// Connection URL of `database`, with the password.
    pub fn url(&self, database: &str) -> String {
        self.address.url(database)
    }

    /// TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port
    }

    /// Folder of the cluster.
    pub fn dir(&self) -> &Path {
        &self.folder.root
    }

    /// Returns `true` if that is not the requested folder, because the server's account cannot
    /// enter it.
    pub fn is_relocated(&self) -> bool {
        self.relocated
    }

    /// Log file of the server.
    pub fn log(&self) -> PathBuf {
        self.folder.log()
    }

    /// Process id of `postgres`.
    pub fn pid(&self) -> i32 {
        self.process.pid().as_raw()
    }

    /// Creates the database if it does not exist.
    ///
    /// # Errors
    ///
    /// If the name needs quoting or the server refuses.
    pub async fn create_database(&self, name: &str) -> Result<(), Error> {
        create_database(&self.address, name).await
    }

    /// Waits until the server has ended by itself, which it should not while the cluster is in use.
    pub async fn ended(&mut self) {
        while !self.process.ended_within(Duration::from_secs(3_600)).await {}
    }

    /// Shuts the server down. Open transactions are rolled back, committed ones are on disk.
    ///
    /// # Errors
    ///
    /// If the server runs even after an immediate shutdown.
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

/// Removes the data, so that the next start creates it again.
pub(crate) fn remove_data(folder: &Folder) -> Result<(), Error> {
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
        Err(error) if !created_by_another(&error) => Err(failed(error)),
        _ => Ok(()),
    }
}

/// Returns `true` if another client created the database in the same moment: duplicate_database, or
/// a conflict in the catalog's unique index.
fn created_by_another(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code == "42P04" || code == "23505")
}
