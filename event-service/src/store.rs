//! All SQL of event-service.

mod apply;
mod catalogue;
mod export;
mod notifications;
mod partitions;
mod retention;
mod statistics;
mod unsettled;

use sqlx::{PgPool, migrate::Migrator};

pub use apply::ApplyError;
pub use catalogue::{Applied, Cursor, EventFilter, EventRow, StreamPosition};
pub use export::{Held, MOST as MOST_EXPORTED};
pub use notifications::{NotificationFilter, NotificationRow, NotificationState, OccurrenceRow, OccurrenceState};
pub use retention::LetGo;
pub use statistics::{COUNTED, Count, Statistics};
pub use unsettled::{Unsettled, Watched};

/// The migrations of the notifications database.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// How its sessions plan: with the values of each call. A plan for all values would not know which of the filters are given, nor
/// that a batch of a retry holds one event.
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
