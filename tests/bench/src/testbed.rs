//! What stands for all rows: a private PostgreSQL that is as durable as production's, and the fast
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
use tempfile::TempDir;

use crate::{
    load::{self, request},
    machine::Machine,
    process::{Program, Running},
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

/// PostgreSQL, the provider and a folder, all gone with this value.
pub(crate) struct House {
    pub(crate) provider: Provider,
    pub(crate) machine: Machine,
    pub(crate) cluster: Cluster,
    /// Kept when asked for.
    pub(crate) statements: Option<Statements>,
    pub(crate) logs: PathBuf,
    // Removed last.
    _dir: TempDir,
}

impl House {
    /// Builds it; what its processes print goes to `logs`, emptied first.
    pub(crate) async fn build(logs: &Path, with_statements: bool) -> anyhow::Result<Self> {
        let mut folder = tempfile::Builder::new();
        // PostgreSQL runs as another account when the bench runs as root, and has to get in.
        #[cfg(unix)]
        folder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755));
        let dir = folder.prefix("reminders-bench-").tempdir().context("make a folder")?;
        empty(logs).with_context(|| format!("empty {}", logs.display()))?;
        let mut options = Options::new(dir.path().join("postgres"));
        options.settings.extend(SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())));
        if with_statements {
            options.settings.extend(
                statements::SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())),
            );
        }
        let cluster = Cluster::start(options).await.context("start PostgreSQL")?;
        let version = postgres_version(&cluster).await.context("ask PostgreSQL for its version")?;
        let machine = Machine::look(dir.path(), version)?;
        let provider = Provider::start(logs).await?;
        let statements = if with_statements {
            Some(Statements::open(cluster.url("postgres")).await?)
        } else {
            None
        };
        Ok(Self { provider, machine, cluster, statements, logs: logs.to_owned(), _dir: dir })
    }

    /// Begins the accounts of statements anew.
    pub(crate) async fn count_statements(&self) -> anyhow::Result<()> {
        match &self.statements {
            Some(statements) => statements.reset().await,
            None => Ok(()),
        }
    }

    /// Tells the statements since then, for `items` of what they served.
    pub(crate) async fn tell_statements(&self, name: &str, items: usize) -> anyhow::Result<()> {
        if let Some(statements) = &self.statements {
            eprintln!("{}", statements.told(name, items).await?);
        }
        Ok(())
    }

    /// Ends it all in good order.
    pub(crate) async fn leave(self) -> anyhow::Result<()> {
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
        let process = Program {
            name: "provider",
            file: std::env::current_exe().context("find the bench's own file")?,
            arguments: vec!["provider".to_owned()],
            environment: Vec::new(),
        }
        .start(logs)?;
        let addr = process.listening().await?.rest()?;
        Ok(Self { process, addr })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Forgets what arrived, and answers after `latency_ms` from now on.
    pub(crate) async fn reset(&self, latency_ms: u64) -> anyhow::Result<()> {
        self.call(Method::DELETE, "/_bench/records", String::new()).await?;
        self.call(Method::PUT, "/_bench/latency", latency_ms.to_string()).await?;
        Ok(())
    }

    /// How many messages arrived, and how many that are not the bench's.
    pub(crate) async fn count(&self) -> anyhow::Result<(usize, usize)> {
        let text = self.call(Method::GET, "/_bench/count", String::new()).await?;
        let text = String::from_utf8_lossy(&text);
        let counts =
            text.split_once(' ').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        counts.with_context(|| format!("the provider counts {text:?}"))
    }

    /// What arrived, in order.
    pub(crate) async fn records(&self) -> anyhow::Result<Vec<Record>> {
        Ok(record::decode(&self.call(Method::GET, "/_bench/records", String::new()).await?))
    }

    async fn call(&self, method: Method, path: &str, body: String) -> anyhow::Result<Bytes> {
        load::call(self.addr, request(method, self.addr, path, "bench", body)).await
    }
}
