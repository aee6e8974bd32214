//! Floating reminders, and how far the changes of their users' zones are applied.

use std::time::Duration;

use db::interval;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::row::{Row, Seen};
use crate::domain::reminder::{Reminder, TimeZone};

/// Right of one process to read the changes of zones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedLease {
    /// The process has it for a time.
    Held {
        /// Cursor behind the changes that are applied; `None` before the first.
        position: Option<String>,
        /// `true` if it did not have the lease before, or another process had it meanwhile.
        is_new: bool,
    },
    /// Another process has it.
    Other,
    /// There is no floating reminder, so nobody needs it.
    Unneeded,
}

/// Takes or renews the lease of a process. `applied` is the cursor behind the changes that it has
/// applied, if it has read any.
///
/// # Errors
/// If the statement fails.
pub async fn lease_feed(
    pool: &PgPool,
    holder: Uuid,
    lease: Duration,
    applied: Option<&str>,
) -> Result<FeedLease, sqlx::Error> {
    let row = sqlx::query!(
        r#"with needed as materialized (
               select exists (select from reminders where is_floating) as is_needed
           ), taken as (
               update zone_feed
               set position = case when holder = $1 then coalesce($3, position) else position end,
                   holder = $1, lease_until = clock_timestamp() + $2
               where (select is_needed from needed)
                   and (holder = $1 or lease_until < clock_timestamp())
               returning position
           )
           select is_needed as "is_needed!", exists (select from taken) as "is_held!",
               (select position from taken) as position,
               -- As it was before this statement.
               exists (select from zone_feed where holder = $1) as "was_held!"
           from needed"#,
        holder,
        interval(lease),
        applied,
    )
    .fetch_one(pool)
    .await?;
    Ok(match (row.is_needed, row.is_held) {
        (false, _) => FeedLease::Unneeded,
        (true, false) => FeedLease::Other,
        (true, true) => FeedLease::Held { position: row.position, is_new: !row.was_held },
    })
}

/// Returns `true` if a process has the lease. It keeps it until the transaction ends.
///
/// # Errors
/// If the statement fails.
pub async fn hold_feed(connection: &mut PgConnection, holder: Uuid) -> Result<bool, sqlx::Error> {
    let held = sqlx::query_scalar!(
        "select true from zone_feed where holder = $1 and lease_until > clock_timestamp()
         for share",
        holder,
    )
    .fetch_optional(connection)
    .await?;
    Ok(held.is_some())
}

/// Returns those of some users, each with the name of a zone, who have floating reminders in
/// another one.
///
/// # Errors
/// If the statement fails.
pub async fn users_elsewhere(
    pool: &PgPool,
    user_ids: &[&str],
    zones: &[&str],
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select user_id as "user_id!" from unnest($1::text[], $2::text[]) as moved (user_id, zone)
           where exists (select from reminders
               where reminders.user_id = moved.user_id and is_floating and time_zone <> zone)"#,
        user_ids as &[&str],
        zones as &[&str],
    )
    .fetch_all(pool)
    .await
}

/// Returns up to `limit` of a user's floating reminders in another zone than this one, in the order
/// of their ids after one. A row that this version cannot read is an error of its own.
///
/// # Errors
/// If the statement fails.
pub async fn floating_elsewhere(
    pool: &PgPool,
    user_id: &str,
    zone: TimeZone,
    after: Uuid,
    limit: i64,
) -> Result<Vec<(Uuid, Result<Seen<Reminder>, sqlx::Error>)>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id, date, time_zone, is_floating, notify_offsets,
               recurrence as "recurrence: _",
               acknowledged, acknowledged_at, snooze_date, snooze_until, late_dates,
               late_placed_at, paused_at,
               changed_occurrences as "changed_occurrences: _",
               channels, title, message, url,
               data as "data: _", expires_after_minutes, priority, locale, version, created_at,
               updated_at, coalesce(scheduled_at, created_at) as "scheduled_at!",
               statement_timestamp() as "now!", 0::int8 as "total!"
           from reminders
           where user_id = $1 and is_floating and time_zone <> $2 and id > $3
           order by id limit $4"#,
        user_id,
        zone.name(),
        after,
        limit,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.seen())).collect())
}
