//! A cluster that outlives the process that started it, for processes that come and go.

use std::{fs::File, path::Path, time::Duration};

use crate::{
    Error, Options, binaries, cluster,
    folder::Folder,
    initdb,
    postmaster::{self, Life},
    server::{self, Address},
};

/// How long another process may take to start the cluster.
const JOIN_LIMIT: Duration = Duration::from_secs(180);
/// How long a shutdown may take.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// A running cluster that others use too. Dropping it leaves the server as it is.
#[derive(Debug, Clone)]
pub struct Shared {
    folder: Folder,
    address: Address,
}

impl Shared {
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

    /// Makes the database unless it is there.
    ///
    /// # Errors
    ///
    /// When the name would need quoting or the server refuses.
    pub async fn create_database(&self, name: &str) -> Result<(), Error> {
        cluster::create_database(&self.address, name).await
    }

    /// Stops the shared server on `dir`, whoever uses it. Answers whether one ran.
    ///
    /// # Errors
    ///
    /// When the server does not end, or is not one that was started here.
    pub async fn stop(dir: &Path) -> Result<bool, Error> {
        if !dir.exists() {
            return Ok(false);
        }
        let folder = Folder::prepare(dir)?;
        let _lock = lock(&folder).await?;
        let Some(server) = postmaster::find(&folder) else {
            return Ok(false);
        };
        if postmaster::noted(&folder, server.pid) != Some(Life::Shared) {
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
    cluster::forget_data(&folder)?;
    let binaries = binaries::choose(&folder).await?;
    initdb::ensure(&folder, &binaries, options.durable).await?;
    let (_, address) = server::start(&folder, &binaries, &options, Life::Shared).await?;
    Ok(Shared { folder, address })
}

/// The shared server that runs on the folder and answers. One that is going down is waited for, one
/// that another way of life left behind is ended.
async fn running(folder: &Folder) -> Result<Option<Address>, Error> {
    let Some(server) = postmaster::find(folder) else {
        return Ok(None);
    };
    if postmaster::noted(folder, server.pid) != Some(Life::Shared) {
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
