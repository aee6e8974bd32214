//! All SQL of event-service.

mod audit;
mod backlog;
mod catalogue;
pub mod commands;
pub mod erased_users;
pub mod erasures;
mod export;
pub mod notification_versions;
mod notifications;
pub mod occurrences;
mod page;
mod partitions;
mod purge;
mod statistics;
mod stream;
pub mod unsettled;

use sqlx::{PgPool, migrate::Migrator};

pub use audit::{Action, NewAction};
pub use backlog::Signals;
pub use catalogue::{Cursor, EventFilter, EventRow};
pub use export::{ExportedOccurrence, MOST as MOST_EXPORTED};
pub use notifications::{
    NotificationFilter, NotificationRow, NotificationState, OccurrenceRow, OccurrenceState,
};
pub use page::{PAGE_BYTES, Page};
pub use purge::{CHUNK as PURGED_AT_ONCE, Kind, Purged};
pub use statistics::{COUNTED, Count, Statistics};
pub use stream::{AppliedSnapshot, FoundEvent, SCAN_LIMIT, StreamPosition};

/// The migrations of the notifications database.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// Planner settings of this service's sessions: each call is planned with its own values. A generic
/// plan would not know which of the filters are given, nor that a retried batch holds one event.
pub const SESSION: &[(&str, &str)] = &[("plan_cache_mode", "force_custom_plan"), ("jit", "off")];

/// The notifications database.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
}

impl Store {
    /// The store behind a pool.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }
}
