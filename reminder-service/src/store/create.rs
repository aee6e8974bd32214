//! A new reminder.

use chrono::{DateTime, Utc};
use serde_json::Value;
use shared::{http::idempotency::IdempotencyKey, outbox};
use sqlx::{PgPool, types::Json};
use uuid::Uuid;

use super::change::{channel_words, interval};
use crate::{events::Unstamped, reminder::Details};

/// A reminder to be made, the message that tells of it, and what is remembered of the request.
#[derive(Debug)]
pub struct NewReminder<'a> {
    /// Its identity.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: &'a str,
    /// What it says.
    pub details: &'a Details,
    /// What tells of it.
    pub message: &'a Unstamped,
    /// The request's idempotency key.
    pub key: Option<&'a IdempotencyKey>,
    /// The answer that is kept for the key.
    pub answer: &'a Value,
}

/// What became of a new reminder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It was made at this time.
    At(DateTime<Utc>),
    /// Nothing was written: its last delivery is not ahead, or the key is known.
    Refused,
}

/// Makes a reminder, writes its message to the outbox and keeps the answer to the key: one statement, which is one
/// transaction and one round trip. A second request with the same key waits in it for the first one's end.
///
/// # Errors
/// When the statement fails.
pub async fn create(pool: &PgPool, new: NewReminder<'_>) -> Result<Created, sqlx::Error> {
    let NewReminder { details, key, .. } = new;
    let message = new.message.message();
    let created_at = sqlx::query_scalar!(
        r#"with taken as (
               insert into idempotency_keys as known (user_id, key, request_hash, status, response)
               select $2, $17, $18, 201, $19 where $17::text is not null and $14 > now()
               on conflict (user_id, key) do update
               set request_hash = excluded.request_hash, status = excluded.status, response = excluded.response, created_at = now()
               where known.created_at < now() - interval '24 hours'
               returning true
           ), made as (
               insert into reminders (id, user_id, date, time_zone, notify_offsets, channels, title, message, url, data,
                   expires_after_minutes, priority, locale, last_at)
               select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14
               where $14::timestamptz > now() and ($17::text is null or exists (select from taken))
               returning version, created_at
           ), told as (
               insert into outbox (event_id, body, attributes, lease_until)
               select $15, $16, $20::jsonb || jsonb_build_object('version', version::text, 'occurredAt', wire_time(created_at)), now() + $21
               from made
           )
           select created_at from made"#,
        new.id,
        new.user_id,
        details.schedule.date,
        details.schedule.time_zone.name(),
        details.schedule.offsets.as_slice(),
        &channel_words(&details.channels) as &[&str],
        details.title.as_ref().map(|it| it.as_str()),
        details.message.as_str(),
        details.url.as_ref().map(|it| it.as_str()),
        Json(details.data.as_map()) as _,
        details.expires_after.minutes(),
        details.priority.as_str(),
        details.locale.as_ref().map(|it| it.as_str()),
        details.schedule.last_at(),
        message.event_id,
        message.message.body,
        key.map(|key| key.key.as_str()),
        key.map(|key| key.request_hash.as_slice()),
        key.map(|_| new.answer),
        Json(&message.message.attributes) as _,
        interval(outbox::LEASE),
    )
    .fetch_optional(pool)
    .await?;
    Ok(created_at.map_or(Created::Refused, Created::At))
}
