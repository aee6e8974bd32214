//! Figures for alarms, at a bounded cost.

use sqlx::PgPool;

use super::statistics::COUNTED;

/// Figures of occurrences that are due and not released, and of erasures under way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signals {
    /// Age of the oldest pending occurrence whose time has come, in seconds; 0 when there is none.
    pub oldest_overdue_seconds: f64,
    /// Pending occurrences whose time has come; counting stops at [`COUNTED`].
    pub backlog: i64,
    /// Age of the oldest unfinished erasure, in seconds; 0 when there is none.
    pub oldest_erasure_seconds: f64,
}

/// Reads the figures, each from the head of an index.
///
/// # Errors
/// If the query fails.
pub async fn signals(pool: &PgPool) -> Result<Signals, sqlx::Error> {
    sqlx::query_as!(
        Signals,
        r#"select
                coalesce(extract(epoch from now() - (
                    select due_at from occurrences where pending and due_at <= now()
                        order by due_at limit 1
                )), 0)::float8 as "oldest_overdue_seconds!",
                (select count(*) from (
                    select from occurrences where pending and due_at <= now() order by due_at
                        limit $1
                ) as due) as "backlog!",
                coalesce(extract(epoch
                    from now() - (select min(requested_at) from pending_erasures)), 0)::float8
                    as "oldest_erasure_seconds!""#,
        COUNTED,
    )
    .fetch_one(pool)
    .await
}
