//! Time that PostgreSQL spends in each statement, from pg_stat_statements: shows where an
//! optimization pays.

use anyhow::Context as _;
use sqlx::{Connection as _, PgConnection};

/// Server settings that turn the statistics on.
pub(crate) const SETTINGS: [(&str, &str); 3] = [
    ("shared_preload_libraries", "pg_stat_statements"),
    ("pg_stat_statements.track_planning", "on"),
    ("pg_stat_statements.track", "all"),
];

/// Number of statements that are reported.
const REPORTED: i64 = 25;

#[derive(sqlx::FromRow)]
struct Statement {
    database: String,
    calls: i64,
    rows: i64,
    executing_ms: f64,
    planning_ms: f64,
    text: String,
}

/// Statement statistics of a server.
#[derive(Debug, Clone)]
pub(crate) struct Statements {
    url: String,
}

impl Statements {
    /// Opens the statistics of the server whose `postgres` database is at `url`.
    pub(crate) async fn open(url: String) -> anyhow::Result<Self> {
        let statements = Self { url };
        let made = sqlx::query("create extension if not exists pg_stat_statements")
            .execute(&mut statements.connect().await?)
            .await;
        made.context(
            "pg_stat_statements is not installed (it comes with PostgreSQL's contrib package)",
        )?;
        Ok(statements)
    }

    /// Resets the statistics.
    pub(crate) async fn reset(&self) -> anyhow::Result<()> {
        let reset = sqlx::query("select pg_stat_statements_reset()")
            .execute(&mut self.connect().await?)
            .await;
        reset.context("reset the statement statistics")?;
        Ok(())
    }

    /// Lists the most expensive statements since the last reset, which served `items`.
    pub(crate) async fn report(&self, name: &str, items: usize) -> anyhow::Result<String> {
        let sql = r"select datname::text as database, calls, rows,
                        total_exec_time as executing_ms, total_plan_time as planning_ms,
                        left(regexp_replace(query, '\s+', ' ', 'g'), 110) as text
                    from pg_stat_statements(true) as statistics
                    join pg_database on pg_database.oid = statistics.dbid
                    where toplevel order by total_exec_time + total_plan_time desc limit $1";
        let rows: Result<Vec<Statement>, _> =
            sqlx::query_as(sql).bind(REPORTED).fetch_all(&mut self.connect().await?).await;
        let mut lines = vec![format!(
            "{name}: µs per item ({items}), executing + planning; calls; rows per call"
        )];
        for statement in rows.context("read the statement statistics")? {
            let each = |ms: f64| ms * 1e3 / items.max(1) as f64;
            let rows = statement.rows as f64 / statement.calls.max(1) as f64;
            let Statement { database, calls, executing_ms, planning_ms, text, .. } = statement;
            lines.push(format!(
                "{:7.1} + {:5.1}  {calls:7}  {rows:7.1}  {database:24}  {text}",
                each(executing_ms),
                each(planning_ms)
            ));
        }
        Ok(lines.join("\n"))
    }

    async fn connect(&self) -> anyhow::Result<PgConnection> {
        PgConnection::connect(&self.url).await.context("connect to PostgreSQL")
    }
}
