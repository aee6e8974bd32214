//! Writes of PostgreSQL: bytes of write-ahead log, commits, and row versions that become dead.

use anyhow::Context as _;
use sqlx::{Connection as _, PgConnection};

/// Totals since the start of the server.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Totals {
    wal_bytes: f64,
    commits: f64,
    dead: f64,
}

/// Amounts written between two moments.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Writes {
    /// Bytes of write-ahead log.
    pub(crate) wal_bytes: f64,
    /// Commits of transactions in the watched databases, those without a change included.
    pub(crate) commits: f64,
    /// Row versions that updates and deletions left behind.
    pub(crate) dead: f64,
}

/// A measurement under way.
#[derive(Debug)]
pub(crate) struct WriteMeter {
    urls: Vec<String>,
    first: Totals,
}

impl WriteMeter {
    /// Starts to measure the databases at these URLs, which are on one server.
    pub(crate) async fn start(urls: Vec<String>) -> anyhow::Result<Self> {
        let first = totals(&urls).await.context("read the statistics of PostgreSQL")?;
        Ok(Self { urls, first })
    }

    /// Returns what was written since the start. Sessions report their commits at most a second
    /// late.
    pub(crate) async fn read(&self) -> anyhow::Result<Writes> {
        let last = totals(&self.urls).await.context("read the statistics of PostgreSQL")?;
        Ok(Writes {
            wal_bytes: last.wal_bytes - self.first.wal_bytes,
            commits: last.commits - self.first.commits,
            dead: last.dead - self.first.dead,
        })
    }
}

async fn totals(urls: &[String]) -> Result<Totals, sqlx::Error> {
    let mut totals = Totals { wal_bytes: 0.0, commits: 0.0, dead: 0.0 };
    for url in urls {
        let mut connection = PgConnection::connect(url).await?;
        let (wal_bytes, commits, dead): (f64, f64, f64) = sqlx::query_as(
            "select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8,
                (select xact_commit::float8 from pg_stat_database
                    where datname = current_database()),
                (select coalesce(sum(n_tup_upd + n_tup_del), 0)::float8 from pg_stat_user_tables)",
        )
        .fetch_one(&mut connection)
        .await?;
        // The log is one for the server.
        totals.wal_bytes = totals.wal_bytes.max(wal_bytes);
        totals.commits += commits;
        totals.dead += dead;
        connection.close().await?;
    }
    Ok(totals)
}
