//! Access to PostgreSQL: settings, pools, migrations, and which errors pass by themselves.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    Connection, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::config::Reader;

/// A connection that was idle no longer than this is used without asking whether it still lives: under load that would
/// double the round trips.
const TRUSTED: Duration = Duration::from_secs(1);

/// How to reach a database.
#[derive(Debug, Clone)]
pub struct DbSettings {
    /// The connection options, with the password inside.
    options: PgConnectOptions,
    /// The most connections this process opens.
    pub max_connections: u32,
}

impl DbSettings {
    /// Reads `DATABASE_URL`, or `DB_HOST DB_PORT DB_NAME DB_USER DB_PASS`; and `DB_MAX_CONNECTIONS`.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let url = reader.secret("DATABASE_URL", "PostgreSQL, as postgres://user:password@host:port/name");
        let host = reader.optional::<String>("DB_HOST", "PostgreSQL host, instead of DATABASE_URL");
        let port = reader.or("DB_PORT", "PostgreSQL port", 5432);
        let name = reader.optional::<String>("DB_NAME", "PostgreSQL database");
        let user = reader.optional::<String>("DB_USER", "PostgreSQL user");
        let password = reader.secret("DB_PASS", "PostgreSQL password");
        let max_connections = reader.or("DB_MAX_CONNECTIONS", "connections to PostgreSQL", 10)?;
        let options = match url {
            Some(url) => Self::parse(reader, &url)?,
            None => {
                if host.is_none() {
                    reader.fault("DATABASE_URL", "is not set, and neither is DB_HOST");
                } else {
                    for (variable, value) in [("DB_NAME", &name), ("DB_USER", &user)] {
                        if value.is_none() {
                            reader.fault(variable, "is not set, and DB_HOST needs it");
                        }
                    }
                }
                let options =
                    PgConnectOptions::new_without_pgpass().host(&host?).port(port?).database(&name?).username(&user?);
                password.iter().fold(options, |options, password| options.password(password.expose_secret()))
            }
        };
        Some(Self { options, max_connections })
    }

    fn parse(reader: &mut Reader<'_>, url: &SecretString) -> Option<PgConnectOptions> {
        let text = url.expose_secret();
        let is_postgres = text.starts_with("postgres://") || text.starts_with("postgresql://");
        let parsed = text.parse::<PgConnectOptions>().ok().filter(|_| is_postgres);
        if parsed.is_none() {
            reader.fault("DATABASE_URL", "is malformed: expected postgres://user:password@host:port/name");
        }
        parsed
    }

    /// A pool that connects when it is first used, so that a process starts while its database is away.
    #[must_use]
    pub fn pool(&self, application: &str) -> PgPool {
        self.pool_with(application, &[])
    }

    /// The same, with further settings of its sessions.
    #[must_use]
    pub fn pool_with(&self, application: &str, session: &[(&str, &str)]) -> PgPool {
        let options = self.options.clone().application_name(application).options([
            ("statement_timeout", "30s"),
            ("idle_in_transaction_session_timeout", "30s"),
            ("timezone", "UTC"),
        ]);
        let options = options.options(session.iter().copied());
        PgPoolOptions::new()
            .max_connections(self.max_connections)
            .acquire_timeout(Duration::from_secs(5))
            .idle_timeout(Duration::from_secs(300))
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move { Ok(meta.idle_for < TRUSTED || connection.ping().await.is_ok()) })
            })
            .connect_lazy_with(options)
    }
}

/// Applies what is missing of a service's migrations.
///
/// # Errors
/// When the database cannot be reached or a migration fails; the failed one is rolled back.
pub async fn migrate(pool: &PgPool, migrator: &Migrator) -> Result<(), sqlx::migrate::MigrateError> {
    migrator.run(pool).await
}

/// Whether every migration of this binary is applied: what `/readyz` asks of a schema.
///
/// # Errors
/// When the database cannot be asked.
pub async fn is_migrated(pool: &PgPool, migrator: &Migrator) -> Result<bool, sqlx::Error> {
    let newest = migrator.iter().map(|migration| migration.version).max().unwrap_or(0);
    let applied = sqlx::query_scalar::<_, Option<i64>>("select max(version) from _sqlx_migrations where success")
        .fetch_one(pool)
        .await;
    match applied {
        Ok(version) => Ok(version.unwrap_or(0) >= newest),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether the same statement may succeed later without anything being mended: the connection was lost, the
/// server restarts, is overloaded, or two transactions were in each other's way (SQLSTATE classes 08, 40, 53, 57).
#[must_use]
pub fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| ["08", "40", "53", "57"].iter().any(|class| code.starts_with(class)))
        }
        _ => false,
    }
}
