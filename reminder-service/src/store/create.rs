//! Creation of reminders.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use db::interval;
use serde_json::{Value, json};
use service::{idempotency::IdempotencyKey, outbox};
use sqlx::{PgConnection, PgPool, types::Json};
use uuid::Uuid;

use super::{
    change::{channel_words, rule_of},
    unstamped::Unstamped,
};
use crate::domain::reminder::Details;

/// A reminder to create, with its event and the idempotency key of the request.
#[derive(Debug)]
pub struct NewReminder<'a> {
    /// Id.
    pub id: Uuid,
    /// Id of the user.
    pub user_id: &'a str,
    /// Fields that the user sets.
    pub details: &'a Details,
    /// Event.
    pub message: &'a Unstamped,
    /// Idempotency key of the request.
    pub key: Option<&'a IdempotencyKey>,
    /// Answer that is stored for the key.
    pub answer: &'a Value,
    /// Quota up to which the user's reminders are counted; `None` if they need not be counted.
    pub count_up_to: Option<u32>,
}

/// Result of a creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The reminder was created.
    At {
        /// Time of creation.
        created_at: DateTime<Utc>,
        /// Number of reminders that the user had before, if they were counted.
        stored: Option<u32>,
    },
    /// Nothing was written: no delivery is in the future, the user has too many reminders, or the
    /// key is known.
    Refused {
        /// Number of reminders of the user, up to the quota, if they were counted.
        stored: Option<u32>,
    },
}

/// Creates a reminder, writes its event to the outbox and stores the answer for the key in one
/// statement: one transaction and one round trip. The statement waits for an earlier request with
/// the same key, and for an erasure of the user that is in progress; the reminder is then created
/// after the erasure.
///
/// # Errors
/// If the statement fails.
pub async fn create(pool: &PgPool, new: NewReminder<'_>) -> Result<Created, sqlx::Error> {
    let NewReminder { details, key, .. } = new;
    let message = new.message.message();
    let made = sqlx::query!(
        r#"with locked as materialized (
               select pg_advisory_xact_lock_shared(hashtextextended($2, 0))
           ), current as materialized (
               -- After the wait for an erasure that is under way: what is made then is made after it.
               select clock_timestamp() as at from locked
           ), room as materialized (
               select count(*) as stored from (select from reminders
                   where user_id = $2 limit coalesce($23::int8, 0)) as counted
           ), taken as (
               insert into idempotency_keys as known (user_id, key, request_hash, status, response)
               select $2, $17, $18, 201, $19 from current
               where $17::text is not null and coalesce($14::timestamptz, 'infinity') > at
                   and ($23::int8 is null or (select stored < $23 from room))
               on conflict (user_id, key) do update
               set request_hash = excluded.request_hash, status = excluded.status,
                   response = excluded.response, created_at = now()
               where known.created_at < now() - interval '24 hours'
               returning true
           ), made as (
               insert into reminders (id, user_id, date, time_zone, notify_offsets, channels,
                   title, message, url, data,
                   expires_after_minutes, priority, locale, last_at, recurrence, is_floating,
                   created_at, updated_at)
               select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,
                   coalesce($14::timestamptz, 'infinity'), $22, $24, at, at
               from current
               where coalesce($14::timestamptz, 'infinity') > at
                   and ($23::int8 is null or (select stored < $23 from room))
                   and ($17::text is null or exists (select from taken))
               returning version, created_at
           ), told as (
               insert into outbox (event_id, body, attributes, lease_until)
               select $15, $16, $20::jsonb || jsonb_build_object('version', version::text,
                   'occurredAt', wire_time(created_at)), now() + $21
               from made
           )
           select created_at as "created_at?", stored as "stored!" from room left join made on true"#,
        new.id,
        new.user_id,
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
        details.schedule.last_at(),
        message.event_id,
        message.message.body,
        key.map(|key| key.key.as_str()),
        key.map(|key| key.request_hash.as_slice()),
        key.map(|_| new.answer),
        Json(&message.message.attributes) as _,
        interval(outbox::LEASE),
        rule_of(details) as _,
        new.count_up_to.map(i64::from),
        details.schedule.time_zone.is_floating(),
    )
    .fetch_one(pool)
    .await?;
    let stored = new.count_up_to.map(|_| u32::try_from(made.stored).unwrap_or(u32::MAX));
    Ok(match made.created_at {
        Some(created_at) => Created::At { created_at, stored },
        None => Created::Refused { stored },
    })
}

/// Creates reminders of one user up to the quota, and writes their events to the outbox in one
/// statement. Returns the time of creation of each, or `None` for one beyond the quota; a reminder
/// without a delivery in the future is not in the result. The statement waits for an erasure of the
/// user, like [`create`].
///
/// # Errors
/// If the statement fails.
pub async fn create_many(
    connection: &mut PgConnection,
    user_id: &str,
    new: &[(Uuid, &Details, &Unstamped)],
    max_reminders: u32,
) -> Result<HashMap<Uuid, Option<DateTime<Utc>>>, sqlx::Error> {
    let rows: Vec<Value> =
        new.iter().map(|(id, details, message)| row_of(*id, details, message)).collect();
    let made = sqlx::query!(
        r#"with locked as materialized (
               select pg_advisory_xact_lock_shared(hashtextextended($1, 0))
           ), current as materialized (
               select clock_timestamp() as at from locked
           ), new as materialized (
               select * from jsonb_to_recordset($2) as new (id uuid, date timestamptz,
                   time_zone text, is_floating bool, notify_offsets int[], recurrence jsonb,
                   channels text[], title text, message text, url text, data jsonb,
                   expires_after_minutes int, priority text, locale text,
                   last_at timestamptz, event_id uuid, body text, attributes jsonb)
           ), room as materialized (
               select $4 - count(*) as places from (select from reminders
                   where user_id = $1 limit $4) as stored
           ), ahead as materialized (
               select new.*, at, row_number() over () as place from new, current
                   where coalesce(last_at, 'infinity') > at
           ), made as (
               insert into reminders (id, user_id, date, time_zone, is_floating, notify_offsets,
                   recurrence, channels, title, message, url, data,
                   expires_after_minutes, priority, locale, last_at, created_at, updated_at)
               select id, $1, date, time_zone, is_floating, notify_offsets, recurrence, channels,
                   title, message, url, data,
                   expires_after_minutes, priority, locale, coalesce(last_at, 'infinity'), at, at
               from ahead where place <= (select places from room)
               returning id, version, created_at
           ), told as (
               insert into outbox (event_id, body, attributes, lease_until)
               select event_id, body, attributes || jsonb_build_object('version', version::text,
                   'occurredAt', wire_time(created_at)), now() + $3
               from made join new using (id)
           )
           select ahead.id as "id!", made.created_at as "created_at?"
               from ahead left join made using (id)"#,
        user_id,
        Json(rows) as _,
        interval(outbox::LEASE),
        i64::from(max_reminders),
    )
    .fetch_all(connection)
    .await?;
    Ok(made.into_iter().map(|row| (row.id, row.created_at)).collect())
}

fn row_of(id: Uuid, details: &Details, message: &Unstamped) -> Value {
    let message = message.message();
    json!({
        "id": id,
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
        "last_at": details.schedule.last_at(),
        "event_id": message.event_id,
        "body": message.message.body,
        "attributes": message.message.attributes,
    })
}
