//! A cluster that keeps running when the process that started it ends, for many short-lived
//! processes.

use std::{fs::File, path::Path, time::Duration};

use crate::{
    Error, Options, binaries, cluster,
    folder::Folder,
    initdb,
    postmaster::{self, Lifetime},
    server::{self, Address},
};

/// Longest time that another process may take to start the cluster.
const JOIN_LIMIT: Duration = Duration::from_secs(180);
/// Longest time of a shutdown.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// A running cluster that other processes use too. Dropping it does not stop the server.
#[derive(Debug, Clone)]
pub struct Shared {
    folder: Folder,
    address: Address,
}

impl Shared {
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

    /// Creates the database if it does not exist.
    ///
    /// # Errors
    ///
    /// If the name needs quoting or the server refuses.
    pub async fn create_database(&self, name: &str) -> Result<(), Error> {
        cluster::create_database(&self.address, name).await
    }

    /// Stops the shared server on `dir`, even if it is in use. Returns `true` if one ran.
    ///
    /// # Errors
    ///
    /// If the server does not end, or was not started by this library.
    pub async fn stop(dir: &Path) -> Result<bool, Error> {
        if !dir.exists() {
            return Ok(false);
        }
        let folder = Folder::prepare(dir)?;
        let _lock = lock(&folder).await?;
        let Some(server) = postmaster::find(&folder) else {
            return Ok(false);
        };
        if postmaster::noted(&folder, server.pid) != Some(Lifetime::Shared) {
            return Err(Error::Running { dir: folder.root, pid: server.pid.as_raw() });
        }
        postmaster::stop(server.pid, &folder.root, STOP_LIMIT).await?;
        Ok(true)
    }
}

pub(crate) async fn join(options: Options) -> Result<Shared, Error> {
    let folder = Folder::prepare(&options.dir)?;
    let _lock = lock(&folder).await?;
    if let Some(address) = running(&folder).await? {
        return Ok(Shared { folder, address });
    }
    postmaster::clear_stale(&folder)?;
    cluster::remove_data(&folder)?;
    let binaries = binaries::choose(&folder).await?;
    initdb::ensure(&folder, &binaries, options.durable).await?;
    let (_, address) = server::start(&folder, &binaries, &options, Lifetime::Shared).await?;
    Ok(Shared { folder, address })
}

/// Returns the shared server that runs on the folder and answers. Waits for one that is shutting
/// down, and stops an owned one without an owner.
async fn running(folder: &Folder) -> Result<Option<Address>, Error> {
    let Some(server) = postmaster::find(folder) else {
        return Ok(None);
    };
    if postmaster::noted(folder, server.pid) != Some(Lifetime::Shared) {
        postmaster::end_orphan(folder).await?;
        return Ok(None);
    }
    if let Some(port) = server.port {
        let address = Address { port, password: folder.password()? };
        if let Ok(connection) = address.connect("postgres").await {
            drop(connection);
            return Ok(Some(address));
        }
    }
    postmaster::stop(server.pid, &folder.root, STOP_LIMIT).await?;
    Ok(None)
}

async fn lock(folder: &Folder) -> Result<File, Error> {
    let waiting = async {
        loop {
            if let Some(lock) = folder.try_lock()? {
                return Ok(lock);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(JOIN_LIMIT, waiting).await;
    in_time.unwrap_or_else(|_| Err(Error::InUse { dir: folder.root.clone() }))
}
