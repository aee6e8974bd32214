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
        r#"select id, date, time_zone, notify_offsets, recurrence as "recurrence: _",
               acknowledged, snooze_date, snooze_until, channels, title, message, url,
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
    let row = sqlx::query!(
        r#"with changed as (
               update reminders
               set date = $2, time_zone = $3, notify_offsets = $4, channels = $5, title = $6,
                   message = $7, url = $8, data = $9,
                   expires_after_minutes = $10, priority = $11, locale = $12,
                   last_at = coalesce($13::timestamptz, 'infinity'), recurrence = $14,
                   acknowledged = $15, snooze_date = $16, snooze_until = $17,
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
    )
    .fetch_one(connection)
    .await?;
    Ok((row.version, row.updated_at))
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

pub(super) fn channel_words(channels: &Channels) -> Vec<&'static str> {
    channels.as_slice().iter().map(|channel| channel.as_str()).collect()
}
