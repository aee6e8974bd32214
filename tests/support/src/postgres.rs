//! A real database for every test, created within milliseconds.
//!
//! All test processes of a target folder share one throw-away cluster in `<target>/test-postgres`.
//! The first process starts it, under a file lock. A statement that runs inside the server shuts it
//! down after ten minutes without a user; `test-postgres stop` does so at once.
//!
//! ```no_run
//! # static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate::Migrator::DEFAULT;
//! # async fn test() {
//! let database = support::postgres::migrated("reminders", &MIGRATIONS).await;
//! let pool = database.pool().await;
//! # }
//! ```

mod template;
mod watchdog;

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::Context as _;
use private_postgres::{Cluster, Options, Shared};
use sqlx::{
    AssertSqlSafe, Connection, PgConnection, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};

/// A database of one test. It is dropped with this value.
#[derive(Debug)]
pub struct Database {
    name: String,
    url: String,
    admin_url: String,
    /// Shows the watchdog that the cluster is in use.
    _user: PgConnection,
}

impl Database {
    /// Connection URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Name of the database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Opens a small connection pool.
    pub async fn pool(&self) -> PgPool {
        let pool = PgPoolOptions::new().max_connections(8).connect(&self.url).await;
        pool.expect("the test database accepts connections")
    }
}

impl Drop for Database {
    /// Drops the database and ends its connections. Best effort: the cluster starts empty the next
    /// time.
    fn drop(&mut self) {
        let (url, name) = (self.admin_url.clone(), self.name.clone());
        let dropping = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(async {
                let mut admin = PgConnection::connect(&url).await.ok()?;
                let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut admin).await.ok()
            })
        });
        let _ = dropping.join();
    }
}

/// Creates an empty database. `hint` becomes part of its name.
pub async fn database(hint: &str) -> Database {
    make(hint, None)
        .await
        .unwrap_or_else(|error| panic!("could not create a test database: {error:#}"))
}

/// Creates a database with these migrations applied. They run once per cluster; every further
/// database is a copy.
pub async fn migrated(hint: &str, migrations: &'static Migrator) -> Database {
    let key = template::key_of(migrations);
    database_from(hint, &key, async |url: String| {
        let mut connection = PgConnection::connect(&url).await?;
        migrations.run(&mut connection).await?;
        Ok(connection.close().await?)
    })
    .await
}

/// Creates a copy of a template database. `fill` fills the template, given its URL; it is called
/// once per `key` and cluster, and must leave no connection open.
pub async fn database_from<F>(hint: &str, key: &str, fill: F) -> Database
where
    F: AsyncFnOnce(String) -> anyhow::Result<()>,
{
    let made = async {
        let template = template::ensure(key, fill).await?;
        make(hint, Some(&template)).await
    };
    made.await.unwrap_or_else(|error| panic!("could not create a test database: {error:#}"))
}

/// Returns the URL of the test cluster's `postgres` database, for tools beside the tests. Starts
/// the cluster if it does not run.
///
/// # Errors
///
/// If the cluster cannot be started or reached.
pub async fn cluster_url() -> anyhow::Result<String> {
    let (shared, _user) = connect_as_user().await?;
    Ok(shared.url("postgres"))
}

/// Stops the test cluster of this target folder. Returns `true` if it ran.
///
/// # Errors
///
/// If it does not stop.
pub async fn stop() -> anyhow::Result<bool> {
    Shared::stop(&dir()?).await.context("stop the test cluster")
}

async fn make(hint: &str, template: Option<&str>) -> anyhow::Result<Database> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let (shared, mut user) = connect_as_user().await?;
    let hint: String =
        hint.to_lowercase().chars().filter(char::is_ascii_alphanumeric).take(24).collect();
    let name =
        format!("test_{hint}_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let sql = match template {
        Some(template) => format!("CREATE DATABASE {name} TEMPLATE {template}"),
        None => format!("CREATE DATABASE {name}"),
    };
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut user).await.context("create a test database")?;
    Ok(Database { url: shared.url(&name), admin_url: shared.url("postgres"), name, _user: user })
}

/// Connects to the cluster, which counts the connection as one of its users.
async fn connect_as_user() -> anyhow::Result<(Shared, PgConnection)> {
    let mut options = Options::throwaway(dir()?);
    // The fixtures of many tests connect at once.
    options.settings.push(("max_connections".to_owned(), "500".to_owned()));
    let mut last = None;
    for _ in 0..5 {
        let shared = Cluster::share(options.clone()).await.context("start the test cluster")?;
        match watchdog::use_cluster(&shared.url("postgres")).await {
            Ok(user) => return Ok((shared, user)),
            // The watchdog was just shutting the server down.
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or_else(
        || anyhow::anyhow!("could not connect to the test cluster"),
        anyhow::Error::from,
    ))
}

/// Folder of the cluster: `<target>/test-postgres`.
fn dir() -> anyhow::Result<PathBuf> {
    Ok(target_dir()?.join("test-postgres"))
}

/// Cargo target folder that this program was built in.
pub(crate) fn target_dir() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("find this program's file")?;
    let marked = program.ancestors().find(|dir| dir.join("CACHEDIR.TAG").exists());
    marked
        .map(Path::to_owned)
        .with_context(|| format!("{} is not in a cargo target folder", program.display()))
}

async fn connect(url: &str) -> Result<PgConnection, sqlx::Error> {
    let options: PgConnectOptions = url.parse()?;
    PgConnection::connect_with(&options).await
}
