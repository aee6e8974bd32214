//! Takes a user and everything of theirs away, and keeps it away when an event of before comes late.
//!
//! An erasure waits for every batch under way, and every later batch sees it: so none writes what it has just taken away.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use shared::{
    contract::{ErasedData, Event, EventType, ITEM_USER, ItemId, Schema, event_id_of},
    outbox::OutboxMessage,
};
use sqlx::PgConnection;

use super::{ApplyError, revisions};
use crate::intake::{Effect, Incoming};

/// The advisory lock that batches share and an erasure has alone.
const LOCK: i64 = 0x6572_6173_7572_6521;
/// For how long after an erasure the last news of devices may be under way: they are erased by notification-service, later.
const DEVICES_LINGER: TimeDelta = TimeDelta::minutes(10);

/// Carries out the erasures of a batch, and returns what of the batch is still to be applied.
pub(super) async fn apply<'a>(
    connection: &mut PgConnection,
    incoming: &[&'a Incoming],
) -> Result<Vec<&'a Incoming>, ApplyError> {
    let erasures: Vec<(&Incoming, &ItemId)> = incoming
        .iter()
        .filter_map(|it| if let Effect::Erasure { receipt } = &it.effect { Some((*it, receipt)) } else { None })
        .collect();
    lock(connection, !erasures.is_empty()).await?;
    for (it, receipt) in &erasures {
        erase(connection, it, receipt).await?;
    }
    let erased = erased_among(connection, incoming).await?;
    let stays = |it: &&&Incoming| !matches!(it.effect, Effect::Erasure { .. }) && !is_of_before(it, &erased);
    let staying: Vec<&Incoming> = incoming.iter().filter(stays).copied().collect();
    metrics::counter!("events_of_erased_users_total").increment((incoming.len() - staying.len()) as u64);
    Ok(staying)
}

async fn lock(connection: &mut PgConnection, alone: bool) -> Result<(), sqlx::Error> {
    if alone {
        sqlx::query!("select pg_advisory_xact_lock($1)", LOCK).execute(connection).await?;
    } else {
        sqlx::query!("select pg_advisory_xact_lock_shared($1)", LOCK).execute(connection).await?;
    }
    Ok(())
}

fn digest(user_id: &str) -> Vec<u8> {
    Sha256::digest(user_id.as_bytes()).to_vec()
}

/// When the users of a batch were erased, of those that were.
async fn erased_among(
    connection: &mut PgConnection,
    incoming: &[&Incoming],
) -> Result<HashMap<Vec<u8>, DateTime<Utc>>, sqlx::Error> {
    let is_there = sqlx::query_scalar!(r#"select exists (select from erased_users) as "is_there!""#)
        .fetch_one(&mut *connection)
        .await?;
    if !is_there {
        return Ok(HashMap::new());
    }
    let digests: Vec<Vec<u8>> = incoming.iter().map(|it| digest(&it.event.user_id)).collect();
    let rows = sqlx::query!("select user_digest, erased_at from erased_users where user_digest = any($1)", &digests)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(|row| (row.user_digest, row.erased_at)).collect())
}

/// Whether an event tells of what was before its user was erased.
fn is_of_before(it: &Incoming, erased: &HashMap<Vec<u8>, DateTime<Utc>>) -> bool {
    if erased.is_empty() {
        return false;
    }
    let Some(erased_at) = erased.get(&digest(&it.event.user_id)) else { return false };
    match &it.effect {
        Effect::Outcome { data, .. } => data.due_at <= *erased_at,
        Effect::Remembered if it.event.event_type != EventType::DeviceRegistered => {
            it.event.occurred_at <= *erased_at + DEVICES_LINGER
        }
        _ => it.event.occurred_at <= *erased_at,
    }
}

async fn erase(connection: &mut PgConnection, it: &Incoming, receipt: &ItemId) -> Result<(), ApplyError> {
    let (user_id, erased_at) = (it.event.user_id.as_str(), it.event.occurred_at);
    sqlx::query!(
        "insert into erased_users as known (user_digest, erased_at, receipt_id) values ($1, $2, $3)
         on conflict (user_digest) do update set erased_at = excluded.erased_at, receipt_id = excluded.receipt_id
         where known.erased_at < excluded.erased_at",
        digest(user_id),
        erased_at,
        receipt.as_str(),
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "with gone as (delete from notifications where user_id = $1 and occurred_at <= $2 returning id)
         delete from occurrences where notification_id in (select id from gone)",
        user_id,
        erased_at,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("delete from events where user_id = $1 and occurred_at <= $2", user_id, erased_at)
        .execute(&mut *connection)
        .await?;
    sqlx::query!("delete from outbox where body::jsonb ->> 'userId' = $1", user_id).execute(&mut *connection).await?;
    sqlx::query!("delete from commands where body::jsonb ->> 'userId' = $1", user_id).execute(&mut *connection).await?;
    revisions::insert(connection, &[onwards(it, receipt)?]).await
}

/// The erasure for notification-service, which hears the notification topic alone.
fn onwards(it: &Incoming, receipt: &ItemId) -> Result<OutboxMessage, serde_json::Error> {
    OutboxMessage::of(&Event {
        event_type: EventType::UserErased,
        event_id: event_id_of(&format!("{ITEM_USER}\n{receipt}\n{}", EventType::UserErased)),
        occurred_at: it.event.occurred_at,
        user_id: it.event.user_id.clone(),
        user_email: None,
        item_id: receipt.clone(),
        version: it.event.version,
        schema: Schema::V2,
        traceparent: it.event.traceparent,
        data: ErasedData { receipt_id: receipt.clone() },
    })
}
