//! Environment of all rows: a private PostgreSQL that is as durable as in production, and the fast
//! provider.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use bytes::Bytes;
use http::Method;
use private_postgres::{Cluster, Options};
use sqlx::{Connection as _, PgConnection};
use support::process::{Command, Running};
use tempfile::TempDir;

use crate::{
    load::{self, request},
    machine::Machine,
    readiness,
    record::{self, Record},
    statements::{self, Statements},
};

/// PostgreSQL as a small production server would have it; fsync and synchronous_commit are on by
/// default.
const SETTINGS: [(&str, &str); 5] = [
    ("shared_buffers", "512MB"),
    ("wal_level", "replica"),
    ("max_wal_size", "4GB"),
    ("fsync", "on"),
    ("synchronous_commit", "on"),
];

/// PostgreSQL, the provider and a temporary folder. All are removed with this value.
pub(crate) struct Testbed {
    pub(crate) provider: Provider,
    pub(crate) machine: Machine,
    pub(crate) cluster: Cluster,
    /// Statement statistics, if requested.
    pub(crate) statements: Option<Statements>,
    pub(crate) logs: PathBuf,
    // Removed last.
    _dir: TempDir,
}

impl Testbed {
    /// Starts everything. The processes write their output to `logs`, which is emptied first.
    pub(crate) async fn start(logs: &Path, with_statements: bool) -> anyhow::Result<Self> {
        let mut folder = tempfile::Builder::new();
        // PostgreSQL runs as another account if the bench runs as root, and must be able to enter.
        #[cfg(unix)]
        folder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755));
        let dir = folder.prefix("reminders-bench-").tempdir().context("create a folder")?;
        empty(logs).with_context(|| format!("empty {}", logs.display()))?;
        let mut options = Options::new(dir.path().join("postgres"));
        options.settings.extend(SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())));
        if with_statements {
            options.settings.extend(
                statements::SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())),
            );
        }
        let cluster = Cluster::start(options).await.context("start PostgreSQL")?;
        let version = postgres_version(&cluster).await.context("read the version of PostgreSQL")?;
        let machine = Machine::inspect(dir.path(), version)?;
        let provider = Provider::start(logs).await?;
        let statements = if with_statements {
            Some(Statements::open(cluster.url("postgres")).await?)
        } else {
            None
        };
        Ok(Self { provider, machine, cluster, statements, logs: logs.to_owned(), _dir: dir })
    }

    /// Resets the statement statistics.
    pub(crate) async fn reset_statements(&self) -> anyhow::Result<()> {
        match &self.statements {
            Some(statements) => statements.reset().await,
            None => Ok(()),
        }
    }

    /// Prints the statement statistics since the last reset, which served `items`.
    pub(crate) async fn print_statements(&self, name: &str, items: usize) -> anyhow::Result<()> {
        if let Some(statements) = &self.statements {
            eprintln!("{}", statements.report(name, items).await?);
        }
        Ok(())
    }

    /// Stops PostgreSQL and removes its data.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        let relocated = self.cluster.is_relocated().then(|| self.cluster.dir().to_owned());
        self.cluster.stop().await.context("stop PostgreSQL")?;
        if let Some(dir) = relocated {
            fs::remove_dir_all(&dir).with_context(|| format!("remove {}", dir.display()))?;
        }
        Ok(())
    }
}

fn empty(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::create_dir_all(dir),
    }
}

async fn postgres_version(cluster: &Cluster) -> Result<String, sqlx::Error> {
    let mut connection = PgConnection::connect(&cluster.url("postgres")).await?;
    sqlx::query_scalar("select current_setting('server_version')").fetch_one(&mut connection).await
}

/// The fast provider, in a process of its own.
pub(crate) struct Provider {
    pub(crate) process: Running,
    addr: SocketAddr,
}

impl Provider {
    pub(crate) async fn start(logs: &Path) -> anyhow::Result<Self> {
        let file = std::env::current_exe().context("find the bench's own file")?;
        let process = Command::program("provider", file).arg("provider").log_to(logs).spawn()?;
        let addr = process.listening(readiness::PAUSE).await?.rest()?;
        Ok(Self { process, addr })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Removes the recorded messages, and delays each answer by `latency_ms` from now on.
    pub(crate) async fn reset(&self, latency_ms: u64) -> anyhow::Result<()> {
        self.call(Method::DELETE, "/_bench/records", String::new()).await?;
        self.call(Method::PUT, "/_bench/latency", latency_ms.to_string()).await?;
        Ok(())
    }

    /// Number of messages of the bench that arrived, and number of others.
    pub(crate) async fn count(&self) -> anyhow::Result<(usize, usize)> {
        let text = self.call(Method::GET, "/_bench/count", String::new()).await?;
        let text = String::from_utf8_lossy(&text);
        let counts =
            text.split_once(' ').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        counts.with_context(|| format!("the provider answered {text:?} instead of two counts"))
    }

    /// The messages in order of arrival.
    pub(crate) async fn records(&self) -> anyhow::Result<Vec<Record>> {
        Ok(record::decode(&self.call(Method::GET, "/_bench/records", String::new()).await?))
    }

    async fn call(&self, method: Method, path: &str, body: String) -> anyhow::Result<Bytes> {
        load::call(self.addr, request(method, self.addr, path, "bench", body)).await
    }
}
