//! Access to PostgreSQL: settings, pools, migrations, and the classification of errors.

mod error_class;
mod failure_class;
mod interval;
mod migrations;
pub mod pool_metrics;
mod probe;
mod settings;
mod stored_time;
mod tls;
mod url;
pub mod wake;

use std::time::Duration;

use sqlx::{
    Connection, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};

pub use error_class::{ErrorClass, is_transient, is_unstorable_character};
pub use failure_class::{FailureClass, failure_class};
pub use interval::interval;
pub use migrations::{MigrationError, migrate};
pub use probe::Probe;
pub use settings::DbSettings;
pub use stored_time::StoredTime;
pub use tls::Tls;
pub use url::DbUrl;

/// Longest idle time after which a connection is used without a ping, which would double the round
/// trips under load.
const NO_PING_WITHIN: Duration = Duration::from_secs(1);
/// Time limit of a ping; a connection that does not answer within it is replaced.
const PING_LIMIT: Duration = Duration::from_millis(500);

/// Options of a pool that pings idle connections before use, and waits for a connection for at most
/// `acquire_timeout`.
#[must_use]
pub fn pool_options(max_connections: u32, acquire_timeout: Duration) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(acquire_timeout)
        .idle_timeout(Duration::from_secs(300))
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for < NO_PING_WITHIN {
                    return Ok(true);
                }
                // A stopped server, or a network that drops packets, never answers.
                let answered = tokio::time::timeout(PING_LIMIT, connection.ping()).await;
                answered.map_err(|_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))??;
                Ok(true)
            })
        })
}

/// Updates the connect options of a pool whenever its secrets change, until the pool is closed.
/// Open connections stay.
pub fn follow_changes(
    pool: &PgPool,
    secrets: impl IntoIterator<Item = tokio::sync::watch::Receiver<secrecy::SecretString>>,
    options: impl Fn() -> Option<PgConnectOptions> + Clone + Send + 'static,
) {
    for mut changes in secrets {
        let (pool, options) = (pool.clone(), options.clone());
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    changed = changes.changed() => if changed.is_err() { return },
                    () = pool.close_event() => return,
                }
                match options() {
                    Some(options) => pool.set_connect_options(options),
                    None => tracing::warn!(
                        "changed database secret is malformed, the last one stays in use"
                    ),
                }
            }
        });
    }
}

/// Returns whether every migration of this binary is applied, as `/readyz` requires.
///
/// # Errors
/// If the query fails.
pub async fn is_migrated(pool: &PgPool, migrator: &Migrator) -> Result<bool, sqlx::Error> {
    let newest = migrator.iter().map(|migration| migration.version).max().unwrap_or(0);
    let applied = sqlx::query_scalar::<_, Option<i64>>(
        "select max(version) from _sqlx_migrations where success",
    )
    .fetch_one(pool)
    .await;
    match applied {
        Ok(version) => Ok(version.unwrap_or(0) >= newest),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reason that a database is unreachable, for `/readyz`, without passwords, users or addresses.
#[must_use]
pub fn unreachable_reason(error: &sqlx::Error) -> &'static str {
    let code = match error {
        sqlx::Error::Tls(_) => {
            return "TLS to the database failed: see DB_SSLMODE and DB_SSLROOTCERT";
        }
        sqlx::Error::Database(error) => error.code(),
        _ => None,
    };
    match code.as_deref() {
        Some(code) if code.starts_with("28") => "the database refuses the user or the password",
        Some(code) if code.starts_with("3D") => "the database does not exist on its server",
        Some("42501") => "the database's user lacks a right",
        _ => "the database does not answer",
    }
}

#[cfg(test)]
mod tests;
