//! Update and deletion of a reminder.

use chrono::{DateTime, Utc};
use db::interval;
use service::outbox;
use sqlx::{PgConnection, PgExecutor, types::Json};
use uuid::Uuid;

use super::{
    row::{Row, Seen},
    unstamped::Unstamped,
};
use crate::domain::{
    precondition::Target,
    reminder::{Channels, Details, Reminder},
};

/// Reads one of a user's reminders and locks its row until the transaction ends.
///
/// # Errors
/// If the statement fails.
pub async fn lock(
    connection: &mut PgConnection,
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
               data as "data: _",
               expires_after_minutes, priority, locale, version, created_at, updated_at,
               coalesce(scheduled_at, created_at) as "scheduled_at!",
               statement_timestamp() as "now!", 0::int8 as "total!"
           from reminders where id = $1 and user_id = $2
           for update"#,
        id,
        user_id,
    )
    .fetch_optional(connection)
    .await?;
    row.map(Row::seen).transpose()
}

/// Updates a reminder and writes its event to the outbox in one statement. Returns the new version
/// and the time of the change, which is also stored as the time of the schedule if the schedule
/// changed.
///
/// # Errors
/// If the statement fails, or the reminder does not exist.
pub async fn update(
    connection: &mut PgConnection,
    reminder: &Reminder,
    is_rescheduled: bool,
    message: &Unstamped,
) -> Result<(i64, DateTime<Utc>), sqlx::Error> {
    let (details, message) = (&reminder.details, message.message());
    let snooze = reminder.handled.snooze;
    let changed_occurrences = changed_occurrences_of(reminder);
    let late = reminder.late_placements.iter().map(|placed| (placed.date, placed.placed_at));
    let (late_dates, late_placed_at): (Vec<_>, Vec<_>) = late.unzip();
    let row = sqlx::query!(
        r#"with changed as (
               update reminders
               set date = $2, time_zone = $3, is_floating = $28, notify_offsets = $4,
                   channels = $5, title = $6, message = $7, url = $8, data = $9,
                   expires_after_minutes = $10, priority = $11, locale = $12,
                   last_at = case when $25::timestamptz is null
                       then coalesce($13::timestamptz, 'infinity') else '-infinity' end,
                   recurrence = $14, paused_at = $25,
                   acknowledged = $15, acknowledged_at = $26, changed_occurrences = $27,
                   snooze_date = $16, snooze_until = $17,
                   late_dates = $23, late_placed_at = $24,
                   nothing_before = default,
                   scheduled_at = case when $22 then statement_timestamp() else scheduled_at end,
                   version = version + 1, updated_at = statement_timestamp()
               where id = $1
               returning version, updated_at
           ), told as (
               insert into outbox (event_id, body, attributes, lease_until)
               select $18, $19, $20::jsonb || jsonb_build_object('version', version::text,
                   'occurredAt', wire_time(updated_at)), now() + $21
               from changed
           )
           select version, updated_at from changed"#,
        reminder.id,
        details.schedule.date,
        details.schedule.time_zone.name(),
        details.schedule.offsets.as_slice(),
        &channel_words(&details.channels) as &[&str],
        details.title.as_ref().map(|title| title.as_str()),
        details.message.as_str(),
        details.url.as_ref().map(|url| url.as_str()),
        Json(details.data.as_map()) as _,
        details.expires_after.minutes(),
        details.priority.as_str(),
        details.locale.as_ref().map(|locale| locale.as_str()),
        reminder.last_at(),
        rule_of(details) as _,
        reminder.handled.acknowledged,
        snooze.map(|snooze| snooze.date),
        snooze.map(|snooze| snooze.until),
        message.event_id,
        message.message.body,
        Json(&message.message.attributes) as _,
        interval(outbox::LEASE),
        is_rescheduled,
        &late_dates,
        &late_placed_at,
        reminder.paused_at,
        reminder.handled.acknowledged_at,
        changed_occurrences as _,
        details.schedule.time_zone.is_floating(),
    )
    .fetch_one(connection)
    .await?;
    Ok((row.version, row.updated_at))
}

/// Makes an erasure of a user wait until the transaction ends, as a creation does.
///
/// # Errors
/// If the statement fails.
pub async fn hold_off_erasure(
    connection: &mut PgConnection,
    user_id: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!("select pg_advisory_xact_lock_shared(hashtextextended($1, 0))", user_id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Stores the occurrences with other texts of a reminder that was just created.
///
/// # Errors
/// If the statement fails.
pub async fn set_changed_occurrences(
    connection: &mut PgConnection,
    reminder: &Reminder,
) -> Result<(), sqlx::Error> {
    let Some(changed) = changed_occurrences_of(reminder) else { return Ok(()) };
    sqlx::query!(
        "update reminders set changed_occurrences = $2 where id = $1",
        reminder.id,
        changed as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes one of a user's reminders and writes its event to the outbox in one statement. Returns
/// the version and the time of the deletion; `None` if the reminder does not exist, or has another
/// version than those expected.
///
/// # Errors
/// If the statement fails.
pub async fn delete(
    executor: impl PgExecutor<'_>,
    user_id: &str,
    target: &Target,
    message: &Unstamped,
) -> Result<Option<(i64, DateTime<Utc>)>, sqlx::Error> {
    let message = message.message();
    let row = sqlx::query!(
        r#"with deleted as (
               delete from reminders
               where id = $1 and user_id = $2 and ($7::bigint[] is null or version = any($7))
               returning version + 1 as version
           ), told as (
               insert into outbox (event_id, body, attributes, lease_until)
               select $3, $4, $5::jsonb || jsonb_build_object('version', version::text,
                   'occurredAt', wire_time(now())), now() + $6
               from deleted
           )
           select version as "version!", now() as "now!" from deleted"#,
        target.id,
        user_id,
        message.event_id,
        message.message.body,
        Json(&message.message.attributes) as _,
        interval(outbox::LEASE),
        target.versions.as_deref(),
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(|row| (row.version, row.now)))
}

/// The rule in the form of the messages, in which it is also stored.
pub(super) fn rule_of(details: &Details) -> Option<Json<contract::Recurrence>> {
    details.schedule.recurrence.clone().map(|recurrence| Json(recurrence.into()))
}

/// The occurrences with other texts in the form of the messages; `None` if there are none.
pub(super) fn changed_occurrences_of(
    reminder: &Reminder,
) -> Option<Json<Vec<contract::ChangedOccurrence>>> {
    let changed = reminder.changed_occurrences.iter().cloned().map(Into::into);
    Some(Json(changed.collect::<Vec<_>>())).filter(|changed| !changed.0.is_empty())
}

pub(super) fn channel_words(channels: &Channels) -> Vec<&'static str> {
    channels.as_slice().iter().map(|channel| channel.as_str()).collect()
}
