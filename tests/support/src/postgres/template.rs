//! Template databases: filled once, copied for every test.

use anyhow::Context as _;
use sqlx::{AssertSqlSafe, PgConnection, migrate::Migrator};

/// Returns a key that changes with the migrations.
pub(super) fn key_of(migrations: &Migrator) -> String {
    let mut hash = Fnv::new();
    for migration in migrations.iter() {
        hash.add(&migration.version.to_be_bytes());
        hash.add(&migration.checksum);
    }
    format!("migrations {:016x}", hash.0)
}

/// Returns the name of the template for `key`, and fills it if it does not exist. One process
/// fills, the others wait.
pub(super) async fn ensure<F>(key: &str, fill: F) -> anyhow::Result<String>
where
    F: AsyncFnOnce(String) -> anyhow::Result<()>,
{
    let (shared, mut user) = super::connect_as_user().await?;
    let mut hash = Fnv::new();
    hash.add(key.as_bytes());
    let template = format!("template_{:016x}", hash.0);
    let lock = i64::from_ne_bytes(hash.0.to_ne_bytes());

    if exists(&mut user, &template).await? {
        return Ok(template);
    }
    sqlx::query("SELECT pg_advisory_lock($1)").bind(lock).execute(&mut user).await?;
    if !exists(&mut user, &template).await? {
        let unfinished = format!("{template}_unfinished");
        run(&mut user, format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)")).await?;
        run(&mut user, format!("CREATE DATABASE {unfinished}")).await?;
        fill(shared.url(&unfinished)).await.context("fill a template database")?;
        forbid_connections(&mut user, &unfinished).await?;
        run(&mut user, format!("ALTER DATABASE {unfinished} RENAME TO {template}")).await?;
    }
    // The lock ends with the connection.
    Ok(template)
}

/// Ends all connections to a database and allows no new one: copying and renaming need it unused,
/// and the server may not have ended a connection that was closed a moment ago.
async fn forbid_connections(user: &mut PgConnection, database: &str) -> anyhow::Result<()> {
    run(user, format!("ALTER DATABASE {database} ALLOW_CONNECTIONS false")).await?;
    let sql = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1";
    sqlx::query(sql).bind(database).execute(user).await.context("close a template database")?;
    Ok(())
}

async fn exists(user: &mut PgConnection, database: &str) -> anyhow::Result<bool> {
    let known = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)");
    known.bind(database).fetch_one(user).await.context("look for a template database")
}

async fn run(user: &mut PgConnection, sql: String) -> anyhow::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(user).await.context("make a template database")?;
    Ok(())
}

/// FNV-1a, 64 bits: the same in every process and release, unlike the standard library's hasher.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
