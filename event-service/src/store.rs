//! All SQL of event-service. It owns the notifications database; the crate `service` writes the
//! outbox.

pub mod audit;
pub mod backlog;
pub mod catalogue;
pub mod commands;
pub mod erased_users;
pub mod erasures;
pub mod export;
pub mod notification_versions;
pub mod notifications;
pub mod occurrences;
mod page;
pub mod partitions;
pub mod purge;
pub mod statistics;
pub mod stream;
pub mod unsettled;

use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, migrate::Migrator};

pub use page::{PAGE_BYTES, Page};

/// The migrations of the notifications database.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// Planner settings of this service's sessions: each call is planned with its own values. A generic
/// plan would not know which of the filters are given, nor that a retried batch holds one event.
pub const SESSION: &[(&str, &str)] = &[("plan_cache_mode", "force_custom_plan"), ("jit", "off")];

/// Returns the database's time.
///
/// # Errors
/// If the query fails.
pub async fn now(executor: impl PgExecutor<'_>) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar!(r#"select now() as "now!""#).fetch_one(executor).await
}
