//! Lists of a user's reminders, newest first.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use super::row::{Row, Seen};
use crate::domain::reminder::{Reminder, Status};

/// Part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Only reminders created before this one.
    pub before: Option<Uuid>,
    /// Number of reminders to skip.
    pub offset: u32,
    /// Largest number of reminders to return.
    pub limit: u32,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The reminders, each with the time at which it was read.
    pub items: Vec<Seen<Reminder>>,
    /// `true` if older reminders follow.
    pub more: bool,
    /// Number of reminders that match the filter, on all pages.
    pub total: i64,
}

impl Page {
    /// The page of a slice, of which one more row was read if there is one.
    pub(super) fn of(rows: Vec<Row>, slice: Slice, total: i64) -> Result<Self, sqlx::Error> {
        let limit = slice.limit as usize;
        let more = rows.len() > limit;
        let items = rows.into_iter().take(limit).map(Row::seen);
        Ok(Self { items: items.collect::<Result<_, _>>()?, more, total })
    }
}

/// Reads one page of a user's reminders, all or those with a status, and the total: one statement
/// on one index, and a second one only for an empty page.
///
/// # Errors
/// If a statement fails.
pub async fn list(
    pool: &PgPool,
    user_id: &str,
    status: Option<Status>,
    slice: Slice,
) -> Result<Page, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"with page as (
               select * from reminders
               where user_id = $1 and id < $2
                   and ($3::text is null or case $3 when 'scheduled' then last_at > now()
                       when 'paused' then last_at = '-infinity'
                       else last_at <= now() and last_at > '-infinity' end)
               order by id desc offset $4 limit $5
           )
           select id, date, time_zone, is_floating, notify_offsets,
               recurrence as "recurrence: _",
               acknowledged, acknowledged_at, snooze_date, snooze_until, late_dates,
               late_placed_at, paused_at,
               changed_occurrences as "changed_occurrences: _",
               channels, title, message, url,
               data as "data: _",
               expires_after_minutes, priority, locale, version, created_at, updated_at,
               coalesce(scheduled_at, created_at) as "scheduled_at!", now() as "now!",
               (select count(*) from reminders
                where user_id = $1
                   and ($3::text is null or case $3 when 'scheduled' then last_at > now()
                       when 'paused' then last_at = '-infinity'
                       else last_at <= now() and last_at > '-infinity' end)
               ) as "total!"
           from page order by id desc"#,
        user_id,
        slice.before.unwrap_or(Uuid::max()),
        status.map(Status::as_str),
        i64::from(slice.offset),
        i64::from(slice.limit) + 1,
    )
    .fetch_all(pool)
    .await?;
    let total = match rows.first() {
        Some(row) => row.total,
        None if slice.offset == 0 && slice.before.is_none() => 0,
        None => count(pool, user_id, status).await?,
    };
    Page::of(rows, slice, total)
}

/// Counts the reminders of a user, all or those with a status.
///
/// # Errors
/// If the statement fails.
pub async fn count(
    pool: &PgPool,
    user_id: &str,
    status: Option<Status>,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from reminders
           where user_id = $1
               and ($2::text is null or case $2 when 'scheduled' then last_at > now()
                   when 'paused' then last_at = '-infinity'
                   else last_at <= now() and last_at > '-infinity' end)"#,
        user_id,
        status.map(Status::as_str),
    )
    .fetch_one(pool)
    .await
}

/// Reads one page of an export: up to `limit` of a user's reminders, newest first, that were
/// created before the reminder `before`. Does not count the total.
///
/// # Errors
/// If the statement fails.
pub async fn page(
    pool: &PgPool,
    user_id: &str,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Seen<Reminder>>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id, date, time_zone, is_floating, notify_offsets,
               recurrence as "recurrence: _",
               acknowledged, acknowledged_at, snooze_date, snooze_until, late_dates,
               late_placed_at, paused_at,
               changed_occurrences as "changed_occurrences: _",
               channels, title, message, url,
               data as "data: _",
               expires_after_minutes, priority, locale, version, created_at, updated_at,
               coalesce(scheduled_at, created_at) as "scheduled_at!", now() as "now!",
               0::int8 as "total!"
           from reminders where user_id = $1 and id < $2
           order by id desc limit $3"#,
        user_id,
        before.unwrap_or(Uuid::max()),
        limit,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Row::seen).collect()
}

/// A time zone of some of a user's reminders, and the times that its definition must cover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneSpan {
    /// IANA name.
    pub time_zone: String,
    /// Earliest date of a reminder.
    pub first: DateTime<Utc>,
    /// Latest date or change of a reminder.
    pub last: DateTime<Utc>,
}

/// Reads the fixed time zones of a user's newest reminders, at most `most` reminders.
///
/// # Errors
/// If the statement fails.
pub async fn zones(pool: &PgPool, user_id: &str, most: i64) -> Result<Vec<ZoneSpan>, sqlx::Error> {
    sqlx::query_as!(
        ZoneSpan,
        r#"select time_zone, min(date) as "first!", max(greatest(date, updated_at)) as "last!"
           from (select time_zone, is_floating, date, updated_at from reminders
               where user_id = $1 order by id desc limit $2) as newest
           -- At the ends of the calendar a wall clock may have another year.
           where not is_floating and date between '0001-01-03' and '9999-12-29'
           group by time_zone order by time_zone"#,
        user_id,
        most,
    )
    .fetch_all(pool)
    .await
}
