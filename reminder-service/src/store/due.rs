//! List of a user's reminders that have an occurrence in a range, newest first.

use chrono::{DateTime, Utc};
use sqlx::{PgPool, types::Json};
use uuid::Uuid;

use super::{
    list::{Page, Slice},
    row::Row,
};
use crate::domain::reminder::{DueRange, NotifyOffsets, Recurrence, Schedule, Status, TimeZone};

/// Recurring reminders that may have an occurrence in a range.
#[derive(Debug, Clone, Copy)]
pub struct RecurringChoice {
    /// Only those with this status.
    pub status: Option<Status>,
    /// The range.
    pub range: DueRange,
    /// Time of the last delivery before which a reminder has no occurrence in the range; `None` if
    /// the range begins with the first time.
    pub last_at: Option<DateTime<Utc>>,
}

/// Schedule of a recurring reminder, with the id of the reminder.
#[derive(Debug, Clone)]
pub struct Recurring {
    /// Id of the reminder.
    pub id: Uuid,
    /// When its occurrences are. The offsets are not read.
    pub schedule: Schedule,
}

/// The reminders with an occurrence in a range, and the part of their list that is read.
#[derive(Debug, Clone, Copy)]
pub struct DueChoice<'a> {
    /// Only those with this status.
    pub status: Option<Status>,
    /// The range.
    pub range: DueRange,
    /// The recurring ones that may be on the page, and the number of those on all pages.
    pub recurring: (&'a [Uuid], i64),
    /// Part of the list.
    pub slice: Slice,
}

/// Reads up to `limit` of a user's recurring reminders that were created before the reminder
/// `before` and may have an occurrence in a range, newest first. Left out are those whose series
/// begins later or has ended, and those that are known to have nothing before the end of the range.
///
/// # Errors
/// If the statement fails.
pub async fn recurring(
    pool: &PgPool,
    user_id: &str,
    choice: RecurringChoice,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Recurring>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select id, date, time_zone, recurrence as "recurrence!: Json<contract::Recurrence>"
           from reminders
           where user_id = $1 and id < $2 and recurrence is not null
               and ($3::text is null or case $3 when 'scheduled' then last_at > now()
                   when 'paused' then last_at = '-infinity'
                   else last_at <= now() and last_at > '-infinity' end)
               -- In a pause, and once all is acknowledged, last_at says nothing about the rule.
               and ($4::timestamptz is null or last_at >= $4 or last_at = '-infinity'
                   or acknowledged >= $5)
               -- A listed date may be before the start, and an instant of the start's local time.
               and ($6::timestamptz is null or date < $6 + interval '2 days'
                   or recurrence -> 'rdates' <> '[]')
               -- A pause ends nothing_before as well, which is about times ahead.
               and ($5::timestamptz is null or $5 < now() or last_at = '-infinity'
                   or nothing_before < coalesce($6, '9999-12-31T00:00:00Z'))
           order by id desc limit $7"#,
        user_id,
        before.unwrap_or(Uuid::max()),
        choice.status.map(Status::as_str),
        choice.last_at,
        choice.range.from,
        choice.range.to,
        limit,
    )
    .fetch_all(pool)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let time_zone =
            TimeZone::parse(&row.time_zone).map_err(|_| Row::unknown(row.id, "time_zone"))?;
        let rule = Recurrence::from(row.recurrence.0).from_store();
        let schedule = Schedule::stored(row.date, time_zone, NotifyOffsets::default(), Some(rule));
        Ok(Recurring { id: row.id, schedule })
    });
    rows.collect()
}

/// Reads one page of the reminders with an occurrence in a range, and the total, newest first.
///
/// # Errors
/// If a statement fails.
pub async fn list_due(
    pool: &PgPool,
    user_id: &str,
    choice: DueChoice<'_>,
) -> Result<Page, sqlx::Error> {
    let DueChoice { status, range, recurring: (recurring, recurring_total), slice } = choice;
    let rows = sqlx::query_as!(
        Row,
        r#"with page as (
               select * from reminders
               where user_id = $1 and id < $2
                   and ($3::text is null or case $3 when 'scheduled' then last_at > now()
                       when 'paused' then last_at = '-infinity'
                       else last_at <= now() and last_at > '-infinity' end)
                   and (id = any($6) or recurrence is null
                       and ($4::timestamptz is null or date >= $4)
                       and ($5::timestamptz is null or date < $5))
               order by id desc offset $7 limit $8
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
               0::int8 as "total!"
           from page order by id desc"#,
        user_id,
        slice.before.unwrap_or(Uuid::max()),
        status.map(Status::as_str),
        range.from,
        range.to,
        recurring,
        i64::from(slice.offset),
        i64::from(slice.limit) + 1,
    )
    .fetch_all(pool)
    .await?;
    let total = recurring_total + count_single(pool, user_id, status, range).await?;
    Page::of(rows, slice, total)
}

/// Counts the reminders that do not recur and are due in a range.
async fn count_single(
    pool: &PgPool,
    user_id: &str,
    status: Option<Status>,
    range: DueRange,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from reminders
           where user_id = $1 and recurrence is null
               and ($2::text is null or case $2 when 'scheduled' then last_at > now()
                   when 'paused' then last_at = '-infinity'
                   else last_at <= now() and last_at > '-infinity' end)
               and ($3::timestamptz is null or date >= $3)
               and ($4::timestamptz is null or date < $4)"#,
        user_id,
        status.map(Status::as_str),
        range.from,
        range.to,
    )
    .fetch_one(pool)
    .await
}
