//! SQL of the reminders database. Every change of a reminder is one statement together with its
//! event. The clock of the database decides the time of a change, and if a delivery is in the
//! future.

mod addresses;
mod change;
mod change_many;
mod create;
mod due;
mod erase;
mod feeds;
mod imported;
mod list;
mod places;
pub mod reconciliation;
mod row;
mod unstamped;
mod zone_feed;

use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, migrate::Migrator};
use uuid::Uuid;

use crate::domain::reminder::Reminder;
use row::Row;

pub use addresses::{purge_addresses, record_address};
pub use change::{delete, hold_off_erasure, lock, set_changed_occurrences, update};
pub use change_many::{ChangedReminder, Condition, update_many};
pub use create::{Created, NewReminder, create, create_many};
pub use due::{DueChoice, Recurring, RecurringChoice, list_due, recurring};
pub use erase::erase;
pub use feeds::{create_feed, feeds, revoke_feed, rotate_feed, user_of_feed, versions};
pub use imported::{counterparts, lock_imports, read_some, record_imports};
pub use list::{Page, Slice, ZoneSpan, count, list, page, zones};
pub use places::{Candidate, Choice, FIRST_PLACE, Moved, NEVER, Place, candidates, store_places};
pub use row::Seen;
pub use unstamped::Unstamped;
pub use zone_feed::{FeedLease, floating_elsewhere, hold_feed, lease_feed, users_elsewhere};

/// The migrations of the reminders database.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// Planner settings of this service's sessions: a statement is planned once for each connection.
/// All of them find their rows by a key or by the index of a user, whatever their values, and
/// planning a list anew took as long as half of its execution.
pub const SESSION: &[(&str, &str)] = &[("plan_cache_mode", "force_generic_plan"), ("jit", "off")];

/// Returns the time of the database.
///
/// # Errors
/// If the statement fails.
pub async fn now(executor: impl PgExecutor<'_>) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar!(r#"select now() as "now!""#).fetch_one(executor).await
}

/// Reads one of a user's reminders, with the time of the reading.
///
/// # Errors
/// If the statement fails.
pub async fn get(
    executor: impl PgExecutor<'_>,
    user_id: &str,
    id: Uuid,
) -> Result<Option<Seen<Reminder>>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"select id, date, time_zone, is_floating, notify_offsets,
               recurrence as "recurrence: _",
               acknowledged, acknowledged_at, snooze_date, snooze_until, late_dates,
               late_placed_at, paused_at,
               changed_occurrences as "changed_occurrences: _",
               channels, title, message, url,
               data as "data: _", expires_after_minutes, priority, locale, version, created_at,
               updated_at, coalesce(scheduled_at, created_at) as "scheduled_at!", now() as "now!",
               0::int8 as "total!"
           from reminders where id = $1 and user_id = $2"#,
        id,
        user_id,
    )
    .fetch_optional(executor)
    .await?;
    row.map(Row::seen).transpose()
}
