//! All SQL of the service. It owns the devices database; the tables of the outbox and of
//! idempotency keys are used through `shared`.

pub mod budgets;
pub mod change_feed;
pub mod deleted_devices;
pub mod delivery_status;
pub mod devices;
pub mod erasures;
pub mod export;
pub mod history;
pub mod inbox;
pub mod intake;
pub mod ledger;
pub mod outcomes;
mod payload;
pub mod pending_deliveries;
pub mod preferences;
pub mod recalls;
pub mod retention;
pub mod revisions;
pub mod ses_bounces;
pub mod zone_changes;

use chrono::{DateTime, Utc};
use db::interval;
use sqlx::{PgExecutor, migrate::Migrator};

/// Migrations of the devices database.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// Returns the database's time.
///
/// # Errors
/// If the statement fails.
pub async fn now(executor: impl PgExecutor<'_>) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(executor).await
}
