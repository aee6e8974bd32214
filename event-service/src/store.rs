//! All SQL of event-service.

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
mod partitions;
mod purge;
pub mod statistics;
pub mod stream;
pub mod unsettled;

use sqlx::{PgPool, migrate::Migrator};

pub use page::{PAGE_BYTES, Page};
pub use purge::{CHUNK as PURGED_AT_ONCE, Kind, Purged};

/// The migrations of the notifications database.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// Planner settings of this service's sessions: each call is planned with its own values. A generic
/// plan would not know which of the filters are given, nor that a retried batch holds one event.
pub const SESSION: &[(&str, &str)] = &[("plan_cache_mode", "force_custom_plan"), ("jit", "off")];

/// The notifications database.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) pool: PgPool,
}

impl Store {
    /// The store behind a pool.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }
}
