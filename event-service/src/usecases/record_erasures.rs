//! Records the erasures of a batch, and drops late events of erased users.
//!
//! Nothing waits for an erasure: it is noted in the transaction of its batch, and
//! [`super::erase_user`] deletes the user's rows afterwards. A batch whose look at
//! `erased_users` came too early to see the erasure is waited for there, by the number of its
//! transaction, which is why each batch takes that number before it looks (ADR 13).

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use contract::{ErasedData, Event, EventType, ITEM_USER, ItemId, Schema, event_id_of};
use service::outbox::OutboxMessage;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use super::apply_events::ApplyError;
use crate::domain::{
    incoming::{Effect, Incoming},
    revision_commands,
};

/// Advisory lock that every batch of version 2.0.0 shares. An erasure takes it alone, so that a
/// replica of that version has ended its batches before the erasure is committed. To go with the
/// next version.
const LOCK_OF_2_0: i64 = 0x6572_6173_7572_6521;
/// Time after an erasure for which the last news of devices may be under way: notification-service
/// erases them later.
const DEVICES_LINGER: TimeDelta = TimeDelta::minutes(10);

/// A batch without its erasures and without events from before an erasure.
pub(super) struct Remaining<'a> {
    /// Events that are still to be applied.
    pub(super) incoming: Vec<&'a Incoming>,
    /// `true` if an erasure was noted whose rows are to be deleted.
    pub(super) noted: bool,
}

/// Notes the erasures of a batch, and returns what of the batch is still to be applied.
pub(super) async fn apply<'a>(
    connection: &mut PgConnection,
    incoming: &[&'a Incoming],
) -> Result<Remaining<'a>, ApplyError> {
    // Before the look at `erased_users`: see the module's description.
    sqlx::query_scalar!("select pg_current_xact_id()::text").fetch_one(&mut *connection).await?;
    let mut noted = false;
    for event in incoming {
        if let Effect::Erasure { receipt } = &event.effect {
            noted |= note(connection, event, receipt).await?;
        }
    }
    let erased = erased_among(connection, incoming).await?;
    let remains = |event: &&&Incoming| {
        !matches!(event.effect, Effect::Erasure { .. }) && !precedes_erasure(event, &erased)
    };
    let remaining: Vec<&Incoming> = incoming.iter().filter(remains).copied().collect();
    metrics::counter!("reminders_events_of_erased_users_total")
        .increment((incoming.len() - remaining.len()) as u64);
    Ok(Remaining { incoming: remaining, noted })
}

pub(crate) fn digest(user_id: &str) -> Vec<u8> {
    Sha256::digest(user_id.as_bytes()).to_vec()
}

/// When the users of a batch were erased, of those that were.
async fn erased_among(
    connection: &mut PgConnection,
    incoming: &[&Incoming],
) -> Result<HashMap<Vec<u8>, DateTime<Utc>>, sqlx::Error> {
    let mut digests: Vec<Vec<u8>> =
        incoming.iter().map(|event| digest(&event.event.user_id)).collect();
    digests.sort_unstable();
    digests.dedup();
    let rows = sqlx::query!(
        "select user_digest, erased_at from erased_users where user_digest = any($1)",
        &digests
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.user_digest, row.erased_at)).collect())
}

/// Returns whether an event tells of something from before its user was erased.
fn precedes_erasure(event: &Incoming, erased: &HashMap<Vec<u8>, DateTime<Utc>>) -> bool {
    if erased.is_empty() {
        return false;
    }
    let Some(erased_at) = erased.get(&digest(&event.event.user_id)) else { return false };
    let asked_for = match &event.effect {
        Effect::Outcome { data, .. } => {
            Some(data.item_changed_at.unwrap_or(data.due_at.min(event.event.occurred_at)))
        }
        _ => None,
    };
    precedes(event.event.event_type, event.event.occurred_at, asked_for, *erased_at)
}

/// Returns whether an event precedes an erasure. An outcome is of the time at which its delivery
/// was asked for (`asked_for`), however much later the delivery was made. Where that is not known,
/// messages of 2.0.0, it is the earlier of the time of delivery and the outcome's own.
pub(crate) fn precedes(
    event_type: EventType,
    occurred_at: DateTime<Utc>,
    asked_for: Option<DateTime<Utc>>,
    erased_at: DateTime<Utc>,
) -> bool {
    match event_type {
        _ if event_type.is_outcome() => asked_for.unwrap_or(occurred_at) <= erased_at,
        EventType::DeviceRemoved | EventType::DeviceInvalidated => {
            occurred_at <= erased_at + DEVICES_LINGER
        }
        _ => occurred_at <= erased_at,
    }
}

/// Notes an erasure, and the command that carries it on to notification-service. Returns `false`
/// for one that is known, or older than the one that is.
async fn note(
    connection: &mut PgConnection,
    event: &Incoming,
    receipt: &ItemId,
) -> Result<bool, ApplyError> {
    sqlx::query!("select pg_advisory_xact_lock($1)", LOCK_OF_2_0).execute(&mut *connection).await?;
    let noted = sqlx::query_scalar!(
        r#"with noted as (
               insert into erased_users as known (user_digest, erased_at, receipt_id)
               values ($1, $3, $4)
               on conflict (user_digest) do update
               set erased_at = excluded.erased_at, receipt_id = excluded.receipt_id
               where known.erased_at < excluded.erased_at
               returning user_digest, erased_at, receipt_id
           )
           insert into pending_erasures (user_digest, user_id, erased_at, receipt_id)
           select user_digest, $2, erased_at, receipt_id from noted
           on conflict (user_digest) do update
           set erased_at = excluded.erased_at, receipt_id = excluded.receipt_id, horizon = null,
               lease_until = '-infinity'
           returning true as "noted!""#,
        digest(&event.event.user_id),
        event.event.user_id,
        event.event.occurred_at,
        receipt.as_str(),
    )
    .fetch_optional(&mut *connection)
    .await?;
    if noted.is_some() {
        revision_commands::insert(connection, &[onwards(event, receipt)?]).await?;
    }
    Ok(noted.is_some())
}

/// The erasure for notification-service, which hears the notification topic alone.
fn onwards(event: &Incoming, receipt: &ItemId) -> Result<OutboxMessage, serde_json::Error> {
    OutboxMessage::of(&Event {
        event_type: EventType::UserErased,
        event_id: event_id_of(&format!("{ITEM_USER}\n{receipt}\n{}", EventType::UserErased)),
        occurred_at: event.event.occurred_at,
        user_id: event.event.user_id.clone(),
        user_email: None,
        item_id: receipt.clone(),
        version: event.event.version,
        schema: Schema::V2,
        traceparent: event.event.traceparent,
        data: ErasedData { receipt_id: receipt.clone() },
    })
}
