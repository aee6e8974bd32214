//! Reminders of a user in the order of the times before which they have nothing.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, PgPool, types::Json};
use uuid::Uuid;

use super::row::{Row, Seen};
use crate::domain::reminder::{Reminder, Status};

/// Place of a reminder: the time before which it has nothing (`nothing_before`), and its id.
pub type Place = (DateTime<Utc>, Uuid);
/// Place before all reminders.
pub const FIRST_PLACE: Place = (DateTime::<Utc>::UNIX_EPOCH, Uuid::nil());
/// Time of a reminder that has no occurrence left: 9999-12-31.
pub const NEVER: DateTime<Utc> = match DateTime::from_timestamp(253_402_214_400, 0) {
    Some(never) => never,
    None => DateTime::<Utc>::MAX_UTC,
};

/// Reminders that are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Choice {
    /// Only those whose last delivery is at this time or later.
    pub last_at: Option<DateTime<Utc>>,
    /// Only those that recur, or are due or snoozed to a time before this one.
    pub to: Option<DateTime<Utc>>,
    /// Only those with this status.
    pub status: Option<Status>,
}

/// Reminder with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The reminder, with the time at which it was read.
    pub seen: Seen<Reminder>,
    /// Place of the reminder.
    pub place: Place,
}

/// Returns up to `limit` of a user's reminders after a place.
///
/// # Errors
/// If the statement fails.
pub async fn candidates(
    pool: &PgPool,
    user_id: &str,
    after: Place,
    choice: Choice,
    limit: i64,
) -> Result<Vec<Candidate>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select id, date, time_zone, is_floating, notify_offsets,
               recurrence as "recurrence: Json<contract::Recurrence>",
               acknowledged, acknowledged_at, snooze_date, snooze_until, late_dates,
               late_placed_at, paused_at,
               changed_occurrences as "changed_occurrences: Json<Vec<contract::ChangedOccurrence>>",
               channels, title, message, url,
               data as "data: Json<BTreeMap<String, String>>",
               expires_after_minutes, priority, locale, version, created_at, updated_at,
               coalesce(scheduled_at, created_at) as "scheduled_at!", now() as "now!",
               nothing_before
           from reminders
           where user_id = $1 and (nothing_before, id) > ($2, $3) 
               and ($4::timestamptz is null or last_at >= $4)
               and ($5::timestamptz is null or recurrence is not null or date < $5 or snooze_until < $5)
               and ($6::text is null or case $6 when 'scheduled' then last_at > now()
                   when 'paused' then last_at = '-infinity'
                   else last_at <= now() and last_at > '-infinity' end)
           order by nothing_before, id limit $7"#,
        user_id,
        after.0,
        after.1,
        choice.last_at,
        choice.to,
        choice.status.map(Status::as_str),
        limit,
    )
    .fetch_all(pool)
    .await?;
    let candidate = |row: Row, at| {
        let place = (at, row.id);
        Ok(Candidate { seen: row.seen()?, place })
    };
    let rows = rows.into_iter().map(|row| {
        let at = row.nothing_before;
        let row = Row {
            id: row.id,
            date: row.date,
            time_zone: row.time_zone,
            is_floating: row.is_floating,
            notify_offsets: row.notify_offsets,
            recurrence: row.recurrence,
            acknowledged: row.acknowledged,
            acknowledged_at: row.acknowledged_at,
            snooze_date: row.snooze_date,
            snooze_until: row.snooze_until,
            late_dates: row.late_dates,
            late_placed_at: row.late_placed_at,
            paused_at: row.paused_at,
            changed_occurrences: row.changed_occurrences,
            channels: row.channels,
            title: row.title,
            message: row.message,
            url: row.url,
            data: row.data,
            expires_after_minutes: row.expires_after_minutes,
            priority: row.priority,
            locale: row.locale,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            scheduled_at: row.scheduled_at,
            now: row.now,
            total: 0,
        };
        candidate(row, at)
    });
    rows.collect()
}

/// Reminder whose place is outdated: the id, the version, and the new `nothing_before`.
pub type Moved = (Uuid, i64, DateTime<Utc>);

/// Stores the new places of reminders that were not changed since they were read. Rows that a
/// change holds are left out: their place is computed again at the next reading.
///
/// # Errors
/// If the statement fails.
pub async fn store_places(
    executor: impl PgExecutor<'_>,
    moved: &[Moved],
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = moved.iter().map(|moved| moved.0).collect();
    let versions: Vec<i64> = moved.iter().map(|moved| moved.1).collect();
    let places: Vec<DateTime<Utc>> = moved.iter().map(|moved| moved.2).collect();
    sqlx::query!(
        "update reminders set nothing_before = free.place
         from (
             select reminders.id, moved.place
             from unnest($1::uuid[], $2::bigint[], $3::timestamptz[]) as moved (id, version, place)
                 join reminders on reminders.id = moved.id and reminders.version = moved.version
             order by reminders.id for update of reminders skip locked
         ) as free
         where reminders.id = free.id",
        &ids,
        &versions,
        &places,
    )
    .execute(executor)
    .await?;
    Ok(())
}
