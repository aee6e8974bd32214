//! Update of several reminders.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use db::interval;
use serde_json::{Value, json};
use service::outbox;
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::{
    change::{changed_occurrences_of, channel_words, rule_of},
    unstamped::Unstamped,
};
use crate::domain::reminder::Reminder;

/// A reminder to write, with its event.
#[derive(Debug)]
pub struct ChangedReminder {
    /// The reminder after the change.
    pub reminder: Reminder,
    /// `true` if its schedule changed.
    pub is_rescheduled: bool,
    /// Conditions of a change that nobody requested; `None` of one that a user did.
    pub condition: Option<Condition>,
    /// Event.
    pub message: Unstamped,
}

/// Conditions under which a floating reminder gets another zone. Unlike other changes, it may leave
/// no delivery in the future.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// Time of the event and of the new schedule, if it is earlier than the change.
    pub effective_at: Option<DateTime<Utc>>,
    /// Time from which on the change is not made any more.
    pub valid_until: Option<DateTime<Utc>>,
}

/// Updates reminders of one user and writes their events to the outbox in one statement, like
/// [`super::update`]. Returns the new version of each and the time of its event. A reminder whose
/// new schedule has no delivery in the future, or whose condition does not hold, as it has another
/// version meanwhile, is not changed and not in the result.
///
/// # Errors
/// If the statement fails.
pub async fn update_many(
    connection: &mut PgConnection,
    user_id: &str,
    changes: &[ChangedReminder],
) -> Result<HashMap<Uuid, (i64, DateTime<Utc>)>, sqlx::Error> {
    let rows: Vec<Value> = changes.iter().map(row_of).collect();
    let written = sqlx::query!(
        r#"with new as materialized (
               select * from jsonb_to_recordset($2) as new (id uuid, date timestamptz,
                   time_zone text, is_floating bool, notify_offsets int[], recurrence jsonb,
                   channels text[], title text, message text, url text, data jsonb,
                   expires_after_minutes int, priority text, locale text, last_at timestamptz,
                   paused_at timestamptz, acknowledged timestamptz, acknowledged_at timestamptz,
                   changed_occurrences jsonb, snooze_date timestamptz, snooze_until timestamptz,
                   late_dates timestamptz[], late_placed_at timestamptz[], is_rescheduled bool,
                   expected int8, effective_at timestamptz, valid_until timestamptz,
                   event_id uuid, body text, attributes jsonb)
           ), changed as (
               update reminders
               set date = new.date, time_zone = new.time_zone, is_floating = new.is_floating,
                   notify_offsets = new.notify_offsets, recurrence = new.recurrence,
                   channels = new.channels, title = new.title, message = new.message,
                   url = new.url, data = new.data,
                   expires_after_minutes = new.expires_after_minutes, priority = new.priority,
                   locale = new.locale,
                   last_at = case when new.paused_at is null
                       then coalesce(new.last_at, 'infinity') else '-infinity' end,
                   acknowledged = new.acknowledged, acknowledged_at = new.acknowledged_at,
                   changed_occurrences = new.changed_occurrences,
                   snooze_date = new.snooze_date, snooze_until = new.snooze_until,
                   late_dates = new.late_dates, late_placed_at = new.late_placed_at,
                   nothing_before = default,
                   scheduled_at = case when new.is_rescheduled
                       then coalesce(new.effective_at, statement_timestamp())
                       else scheduled_at end,
                   version = version + 1, updated_at = statement_timestamp()
               from new where reminders.id = new.id and reminders.user_id = $1
                   and case when new.expected is null
                       then not is_rescheduled
                           or coalesce(new.last_at, 'infinity') > statement_timestamp()
                       else reminders.version = new.expected
                           and coalesce(new.valid_until, 'infinity') > statement_timestamp() end
               returning reminders.id, reminders.version, reminders.updated_at
           ), events as (
               insert into outbox (event_id, body, attributes, lease_until)
               select event_id, body, attributes || jsonb_build_object(
                   'version', changed.version::text,
                   'occurredAt', wire_time(coalesce(effective_at, updated_at))), now() + $3
               from changed join new using (id)
           )
           select id as "id!", changed.version as "version!",
               coalesce(effective_at, updated_at) as "occurred_at!"
           from changed join new using (id)"#,
        user_id,
        Json(rows) as _,
        interval(outbox::LEASE),
    )
    .fetch_all(connection)
    .await?;
    Ok(written.into_iter().map(|row| (row.id, (row.version, row.occurred_at))).collect())
}

fn row_of(change: &ChangedReminder) -> Value {
    let ChangedReminder { reminder, is_rescheduled, condition, message } = change;
    let (details, message) = (&reminder.details, message.message());
    let (snooze, late) = (reminder.handled.snooze, reminder.late_placements.iter());
    json!({
        "id": reminder.id,
        "date": details.schedule.date,
        "time_zone": details.schedule.time_zone.name(),
        "is_floating": details.schedule.time_zone.is_floating(),
        "notify_offsets": details.schedule.offsets.as_slice(),
        "recurrence": rule_of(details),
        "channels": channel_words(&details.channels),
        "title": details.title.as_ref().map(|title| title.as_str()),
        "message": details.message.as_str(),
        "url": details.url.as_ref().map(|url| url.as_str()),
        "data": details.data.as_map(),
        "expires_after_minutes": details.expires_after.minutes(),
        "priority": details.priority.as_str(),
        "locale": details.locale.as_ref().map(|locale| locale.as_str()),
        "last_at": reminder.last_at(),
        "paused_at": reminder.paused_at,
        "acknowledged": reminder.handled.acknowledged,
        "acknowledged_at": reminder.handled.acknowledged_at,
        "changed_occurrences": changed_occurrences_of(reminder),
        "snooze_date": snooze.map(|snooze| snooze.date),
        "snooze_until": snooze.map(|snooze| snooze.until),
        "late_dates": late.clone().map(|placed| placed.date).collect::<Vec<_>>(),
        "late_placed_at": late.map(|placed| placed.placed_at).collect::<Vec<_>>(),
        "is_rescheduled": is_rescheduled,
        "expected": condition.map(|_| reminder.version),
        "effective_at": condition.and_then(|condition| condition.effective_at),
        "valid_until": condition.and_then(|condition| condition.valid_until),
        "event_id": message.event_id,
        "body": message.message.body,
        "attributes": message.message.attributes,
    })
}
