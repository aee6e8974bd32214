//! All SQL of the scheduler, on tables that event-service owns.
//!
//! Every comparison with the present is the database's: clocks of other machines decide nothing.

pub mod claim;
pub mod claimed;
pub mod commands;
pub mod leases;
pub mod outcomes;
pub mod quarantine;
pub mod releases;
pub mod series;
pub mod sleep;

use sqlx::PgExecutor;
use uuid::Uuid;

use crate::domain::claim::Lease;

/// Planner settings of the scheduler's sessions: by the index of due occurrences and by keys,
/// whatever the statistics say of a table that was just filled.
pub const SESSION: &[(&str, &str)] = &[
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_sort", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

/// Returns `true` if event-service's tables exist.
///
/// # Errors
/// When the database cannot be asked.
pub async fn has_tables(executor: impl PgExecutor<'_>) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select bool_and(to_regclass(name) is not null) as "there!"
                from unnest(array['occurrences', 'notifications', 'events', 'outbox',
                'releases']) as name"#
    )
    .fetch_one(executor)
    .await
}

/// Returns leases as arrays of ids and of fence tokens.
fn arrays(leases: &[Lease]) -> (Vec<Uuid>, Vec<i32>) {
    leases.iter().map(|lease| (lease.id, lease.fence)).unzip()
}
