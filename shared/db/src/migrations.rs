//! Applies migrations while services are running.
//!
//! Migrations use a session without a statement timeout, as building an index of a large table may
//! take long. A statement waits for a lock for at most [`LOCK_TIMEOUT`], because other statements
//! queue behind a waiting `alter table`; then it is rolled back and retried. A migration without a
//! transaction (`-- no-transaction` in its first line) blocks no other session while it waits, and
//! waits without a limit. docs/adr/0012-migrations-beside-traffic.md has the rules for migrations.

use std::time::Duration;

use sqlx::{
    AssertSqlSafe, Connection as _, PgConnection, PgPool,
    migrate::{AppliedMigration, Migrate as _, MigrateError, Migration, Migrator},
    postgres::PgConnectOptions,
};
use tokio::time::{Instant, sleep};

/// Longest wait of a statement for a lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
/// Number of attempts to apply a migration or to take the lock of migrations: about ten minutes.
const MAX_ATTEMPTS: u32 = 100;
/// Pause between two attempts, in which sessions that were blocked by the migration continue.
const PAUSE: Duration = Duration::from_secs(4);
/// Delay of the first progress report of a migration, and interval of further ones.
const REPORT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// Error of a migration.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The session could not be opened or set up.
    #[error("open a session for migrations")]
    Session(#[source] sqlx::Error),
    /// Another process held the lock of migrations, or sessions held locks of tables, at every
    /// attempt.
    #[error(
        "{action}: locks were not available in {MAX_ATTEMPTS} attempts; the log names the sessions"
    )]
    Locked {
        /// The attempted action.
        action: String,
        /// The last error.
        #[source]
        source: MigrateError,
    },
    /// A migration failed, or an applied migration differs from that of this binary.
    #[error(transparent)]
    Failed(#[from] MigrateError),
}

/// Session of the migrations, with the options of another one that reports its progress.
struct Session {
    connection: PgConnection,
    pid: i32,
    options: PgConnectOptions,
    pause: Duration,
}

/// Applies the missing migrations of a service, one process at a time.
///
/// # Errors
/// [`MigrationError`]. A migration that failed is rolled back; those before it stay applied.
pub async fn migrate(pool: &PgPool, migrator: &Migrator) -> Result<(), MigrationError> {
    let options = (*pool.connect_options()).clone();
    let mut session = Session::open(options, PAUSE).await.map_err(MigrationError::Session)?;
    let result = session.run(migrator).await;
    let _ = session.connection.close().await;
    result
}

impl Session {
    async fn open(options: PgConnectOptions, pause: Duration) -> Result<Self, sqlx::Error> {
        let mut connection = PgConnection::connect_with(&options).await?;
        let settings = "set statement_timeout = 0; set idle_in_transaction_session_timeout = 0";
        sqlx::raw_sql(settings).execute(&mut connection).await?;
        let pid = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut connection).await?;
        Ok(Self { connection, pid, options, pause })
    }

    async fn run(&mut self, migrator: &Migrator) -> Result<(), MigrationError> {
        self.limit_locks(true).await?;
        self.lock_migrations().await?;
        self.connection.ensure_migrations_table(&migrator.table_name).await?;
        let applied = self.connection.list_applied_migrations(&migrator.table_name).await?;
        self.accept_replaced(migrator, &applied).await?;
        let pending: Vec<&Migration> = migrator
            .iter()
            .filter(|migration| !applied.iter().any(|applied| applied.version == migration.version))
            .collect();
        for (number, migration) in pending.iter().enumerate() {
            tracing::info!(
                migration.version = migration.version,
                migration = %migration.description,
                left = pending.len() - number,
                "migration started"
            );
            let began = Instant::now();
            self.apply(migrator, migration).await?;
            tracing::info!(
                migration.version = migration.version,
                seconds = began.elapsed().as_secs_f64(),
                "migration finished"
            );
        }
        self.rebuild_invalid_indexes(migrator).await?;
        // Compares the applied migrations with those of this binary.
        Ok(migrator.run_direct(None, &mut self.connection, false).await?)
    }

    /// Accepts a migration that was applied with a former text. The new text names the former one
    /// by its checksum (`-- replaces …`) and leads to the same schema.
    async fn accept_replaced(
        &mut self,
        migrator: &Migrator,
        applied: &[AppliedMigration],
    ) -> Result<(), MigrationError> {
        for migration in migrator.iter() {
            let former = applied.iter().find(|applied| applied.version == migration.version);
            let former =
                former.filter(|applied| replaces(migration.sql.as_str(), &applied.checksum));
            if former.is_some_and(|applied| applied.checksum != migration.checksum) {
                tracing::info!(
                    migration.version = migration.version,
                    "migration was applied with its former text, its checksum was updated"
                );
                let accept = AssertSqlSafe(format!(
                    "update {} set checksum = $2 where version = $1",
                    migrator.table_name
                ));
                let accept = sqlx::query(accept).bind(migration.version).bind(&*migration.checksum);
                accept.execute(&mut self.connection).await.map_err(MigrationError::Session)?;
            }
        }
        Ok(())
    }

    /// Waits for other processes that migrate the same database. It polls, because a session that
    /// waits in the server holds a snapshot, for which the concurrent index build of another
    /// process would wait in turn.
    async fn lock_migrations(&mut self) -> Result<(), MigrationError> {
        for attempt in 1.. {
            match self.connection.lock().await {
                Err(error) if is_lock_timeout(&error) => {
                    if attempt == MAX_ATTEMPTS {
                        return Err(MigrationError::Locked {
                            action: "lock migrations".to_owned(),
                            source: error,
                        });
                    }
                    tracing::info!(
                        attempt,
                        "another process migrates this database, waiting for it"
                    );
                    sleep(self.pause).await;
                }
                result => return Ok(result?),
            }
        }
        Ok(())
    }

    async fn apply(
        &mut self,
        migrator: &Migrator,
        migration: &Migration,
    ) -> Result<(), MigrationError> {
        self.limit_locks(!migration.no_tx).await?;
        for attempt in 1.. {
            self.drop_invalid_index(migration).await?;
            let report = report_progress(self.options.clone(), self.pid, migration.version);
            let version = Some(migration.version);
            let migration_run = migrator.run_direct(version, &mut self.connection, false);
            let result = tokio::select! {
                result = migration_run => result,
                never = report => match never {},
            };
            match result {
                Err(error) if is_lock_timeout(&error) => {
                    if attempt == MAX_ATTEMPTS {
                        let action = format!("apply migration {}", migration.version);
                        return Err(MigrationError::Locked { action, source: error });
                    }
                    tracing::warn!(
                        migration.version = migration.version,
                        attempt,
                        "migration did not get its locks in time, will retry"
                    );
                    sleep(self.pause).await;
                }
                result => return Ok(result?),
            }
        }
        Ok(())
    }

    async fn limit_locks(&mut self, is_limited: bool) -> Result<(), MigrationError> {
        let timeout = if is_limited { LOCK_TIMEOUT.as_millis() } else { 0 };
        let set = AssertSqlSafe(format!("set lock_timeout = {timeout}"));
        sqlx::raw_sql(set).execute(&mut self.connection).await.map_err(MigrationError::Session)?;
        Ok(())
    }

    /// Rebuilds indexes that are invalid although their migrations are applied, because `if not
    /// exists` accepted an index that an interrupted attempt had left behind.
    async fn rebuild_invalid_indexes(&mut self, migrator: &Migrator) -> Result<(), MigrationError> {
        self.limit_locks(false).await?;
        for migration in migrator.iter() {
            if self.drop_invalid_index(migration).await? {
                tracing::warn!(
                    migration.version = migration.version,
                    "index of a migration is invalid, will rebuild it"
                );
                let build =
                    sqlx::raw_sql(migration.sql.clone()).execute(&mut self.connection).await;
                build.map_err(|error| MigrateError::ExecuteMigration(error, migration.version))?;
            }
        }
        Ok(())
    }

    /// Drops the invalid index that an interrupted attempt of this migration left behind: it is
    /// never used, slows each write down, and `if not exists` would accept it. Returns whether
    /// there was one.
    async fn drop_invalid_index(&mut self, migration: &Migration) -> Result<bool, MigrationError> {
        let index = concurrent_index(migration.sql.as_str()).filter(|_| migration.no_tx);
        let Some(index) = index else { return Ok(false) };
        let invalid = "select exists (
            select from pg_index where indexrelid = to_regclass($1) and not indisvalid
        )";
        let is_invalid = sqlx::query_scalar(invalid).bind(index).fetch_one(&mut self.connection);
        let is_invalid: bool = is_invalid.await.map_err(MigrationError::Session)?;
        if is_invalid {
            tracing::warn!(index, "unfinished index is dropped");
            let drop = AssertSqlSafe(format!("drop index concurrently {index}"));
            sqlx::raw_sql(drop)
                .execute(&mut self.connection)
                .await
                .map_err(MigrationError::Session)?;
        }
        Ok(is_invalid)
    }
}

/// Returns whether an error is a lock timeout or a deadlock.
fn is_lock_timeout(error: &MigrateError) -> bool {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else {
        return false;
    };
    let sqlx::Error::Database(error) = error else { return false };
    error.code().is_some_and(|code| matches!(&*code, "55P03" | "40P01"))
}

/// Returns whether a migration replaces the one with this checksum: it names at least 40
/// hexadecimal digits of it in a comment.
fn replaces(sql: &str, checksum: &[u8]) -> bool {
    let checksum: String = checksum.iter().map(|byte| format!("{byte:02x}")).collect();
    let named =
        sql.lines().filter_map(|line| line.strip_prefix("-- replaces ")?.split([',', ' ']).next());
    named.filter(|digits| digits.len() >= 40).any(|digits| checksum.starts_with(digits))
}

/// Name of the index that a migration builds concurrently.
fn concurrent_index(sql: &str) -> Option<&str> {
    let lines = sql.lines().filter(|line| !line.trim_start().starts_with("--"));
    let mut words = lines.flat_map(str::split_whitespace);
    words.find(|word| word.eq_ignore_ascii_case("concurrently"))?;
    words.find(|word| !["if", "not", "exists"].iter().any(|known| word.eq_ignore_ascii_case(known)))
}

/// Logs periodically the sessions that a session waits for, and the progress of its index.
async fn report_progress(
    options: PgConnectOptions,
    pid: i32,
    version: i64,
) -> std::convert::Infallible {
    let mut connection = None;
    sleep(REPORT.0).await;
    loop {
        if connection.is_none() {
            connection = PgConnection::connect_with(&options).await.ok();
        }
        if let Some(open) = &mut connection
            && let Err(error) = report(open, pid, version).await
        {
            tracing::debug!(
                error = %error,
                "sessions that block the migration were not read"
            );
            connection = None;
        }
        sleep(REPORT.1).await;
    }
}

async fn report(connection: &mut PgConnection, pid: i32, version: i64) -> Result<(), sqlx::Error> {
    let blockers: Vec<(i32, String, String, f64)> = sqlx::query_as(
        "select pid, application_name, coalesce(state, ''),
            coalesce(extract(epoch from now() - xact_start), 0)::float8
        from pg_stat_activity where pid = any(pg_blocking_pids($1))",
    )
    .bind(pid)
    .fetch_all(&mut *connection)
    .await?;
    for (pid, application, state, seconds) in blockers {
        tracing::warn!(
            migration.version = version,
            session.pid = pid,
            session.application = application,
            session.state = state,
            session.transaction_seconds = seconds,
            "migration waits for another session"
        );
    }
    let progress: Option<(String, i64, i64)> = sqlx::query_as(
        "select phase, blocks_done, blocks_total from pg_stat_progress_create_index where pid = $1",
    )
    .bind(pid)
    .fetch_optional(connection)
    .await?;
    if let Some((phase, done, total)) = progress {
        tracing::info!(
            migration.version = version,
            phase,
            blocks.done = done,
            blocks.total = total,
            "index build in progress"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
