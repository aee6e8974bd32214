//! A batch of events as one transaction of set-based statements.
//!
//! Rows are written in the order of their keys, so that two replicas wait for each other instead of
//! locking each other out; what still collides (with a scheduler's marks) is rolled back by the
//! server and applied again.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use contract::Envelope;
use service::outbox::{self, OutboxMessage};
use sqlx::{PgConnection, Postgres, Transaction};
use uuid::Uuid;

use super::{record_erasures, record_outcomes};
use crate::domain::{
    identity::Source,
    incoming::{Change, Effect, Incoming},
    notification_event::notification_event,
    plan::{self, Known, Plan},
    revision_commands,
};
use crate::store::{NotificationState, Store, occurrences};

/// Error that rolled back a batch: none of its events is applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A statement failed.
    #[error("apply events: {0}")]
    Database(#[from] sqlx::Error),
    /// A value cannot be written as JSON.
    #[error("write an event as JSON")]
    Json(#[from] serde_json::Error),
    /// Another transaction created a notification that this batch was about to create.
    #[error("apply events: another transaction created one of the notifications")]
    MadeMeanwhile,
}

impl ApplyError {
    /// The SQLSTATE, where the database gave one: its message may quote values and is not shown.
    #[must_use]
    pub fn sqlstate(&self) -> Option<String> {
        match self {
            Self::Database(sqlx::Error::Database(error)) => error.code().map(Into::into),
            _ => None,
        }
    }
}

/// Changes of a batch by notification: its source and the changes.
type Items<'a> = BTreeMap<Uuid, (Source, Vec<(&'a Envelope, &'a Change)>)>;

/// One notification of a batch: its source, its stored state and its new state.
pub(crate) struct ChangedNotification<'a> {
    pub(crate) id: Uuid,
    pub(crate) source: Source,
    pub(crate) known: Option<&'a Known>,
    pub(crate) plan: Plan<'a>,
}

impl Store {
    /// Applies events, each once however often it comes, and returns the facts to hand to the
    /// relay.
    ///
    /// # Errors
    /// [`ApplyError`]: nothing was applied.
    pub async fn apply(&self, incoming: &[&Incoming]) -> Result<Vec<OutboxMessage>, ApplyError> {
        let mut transaction = self.pool.begin().await?;
        let record_erasures::Remaining { incoming, noted } =
            record_erasures::apply(&mut transaction, incoming).await?;
        let incoming = record_outcomes::drop_known(&mut transaction, incoming).await?;
        let fresh = add_to_catalogue(&mut transaction, &incoming).await?;
        let messages = change_notifications(&mut transaction, &fresh).await?;
        record_outcomes::count(&mut transaction, &fresh).await?;
        outbox::insert(&mut *transaction, &messages).await?;
        transaction.commit().await?;
        if noted {
            self.erasures.notify_one();
        }
        metrics::counter!("reminders_events_applied_total").increment(fresh.len() as u64);
        Ok(messages)
    }
}

/// Adds events to the catalogue, and returns those that it did not contain.
async fn add_to_catalogue<'a>(
    connection: &mut PgConnection,
    incoming: &[&'a Incoming],
) -> Result<Vec<&'a Incoming>, sqlx::Error> {
    let ours = incoming.iter().copied().filter(|event| !matches!(event.effect, Effect::OwnEvent));
    let by_key: BTreeMap<_, _> =
        ours.map(|event| ((event.event.occurred_at, event.event.event_id), event)).collect();
    let events: Vec<&Envelope> = by_key.values().map(|event| &event.event).collect();
    let occurred: Vec<DateTime<Utc>> = events.iter().map(|event| event.occurred_at).collect();
    let ids: Vec<Uuid> = events.iter().map(|event| event.event_id).collect();
    let types: Vec<&str> = events.iter().map(|event| event.event_type.as_str()).collect();
    let items: Vec<&str> = events.iter().map(|event| event.item_id.as_str()).collect();
    let users: Vec<&str> = events.iter().map(|event| event.user_id.as_str()).collect();
    let versions: Vec<i64> = events.iter().map(|event| event.version).collect();
    let data: Vec<serde_json::Value> = events.iter().map(|event| event.data.clone()).collect();
    let new = sqlx::query!(
        "insert into events (occurred_at, event_id, event_type, item_id, user_id, version, data)
         select * from unnest($1::timestamptz[], $2::uuid[], $3::text[], $4::text[], $5::text[],
             $6::bigint[], $7::jsonb[])
         on conflict (occurred_at, event_id) do nothing
         returning occurred_at, event_id",
        &occurred,
        &ids,
        &types as &[&str],
        &items as &[&str],
        &users as &[&str],
        &versions,
        &data,
    )
    .fetch_all(connection)
    .await?;
    Ok(new.iter().filter_map(|row| by_key.get(&(row.occurred_at, row.event_id)).copied()).collect())
}

async fn change_notifications(
    transaction: &mut Transaction<'_, Postgres>,
    fresh: &[&Incoming],
) -> Result<Vec<OutboxMessage>, ApplyError> {
    let mut items = Items::new();
    for event in fresh {
        if let Effect::Notification { source, id, change } = &event.effect {
            items
                .entry(*id)
                .or_insert_with(|| (*source, Vec::new()))
                .1
                .push((&event.event, change));
        }
    }
    if items.is_empty() {
        return Ok(Vec::new());
    }
    let (known, now) = lock(transaction, &items.keys().copied().collect::<Vec<_>>()).await?;
    let changes = items.into_iter().filter_map(|(id, (source, events))| {
        let known = known.get(&id);
        plan::merge(known, events, now).map(|plan| ChangedNotification { id, source, known, plan })
    });
    let mut changes: Vec<ChangedNotification<'_>> = changes.collect();
    let kept = upsert(transaction, &changes).await?;
    // Another replica was quicker with an item that was unknown here a moment ago, and its
    // occurrences may be claimed by now. With an older version than here, what becomes of those has
    // to be worked out anew.
    if kept.replaced.iter().any(|id| !known.contains_key(id)) {
        return Err(ApplyError::MadeMeanwhile);
    }
    // With a newer one, nothing is to be done.
    changes.retain(|changed| kept.written.contains(&changed.id));
    occurrences::replace(transaction, &changes, &kept.replaced).await?;
    revision_commands::insert_for(transaction, &changes).await?;
    let messages: Result<Vec<_>, _> = changes
        .iter()
        .map(|changed| notification_event(changed.source, changed.known, &changed.plan))
        .collect();
    Ok(messages?.into_iter().flatten().collect())
}

/// Locks stored notifications in the order of their ids, and returns their state with the
/// database's time.
async fn lock(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<(HashMap<Uuid, Known>, DateTime<Utc>), sqlx::Error> {
    let rows = sqlx::query!(
        r#"select now() as "now!", found.id as "id?", found.version as "version?",
            found.state as "state?: NotificationState",
               found.occurred_at as "changed_at?"
           from (select) as one
           left join (select id, version, state, occurred_at from notifications where id = any($1)
                      order by id for update) as found on true"#,
        ids,
    )
    .fetch_all(&mut *connection)
    .await?;
    let now = rows.first().map_or_else(Utc::now, |row| row.now);
    let known = rows.into_iter().filter_map(|row| {
        let (version, active, changed_at) =
            (row.version?, row.state? == NotificationState::Active, row.changed_at?);
        let (waiting, released, dates, passed_until) = Default::default();
        let known = Known { version, active, changed_at, waiting, released, dates, passed_until };
        Some((row.id?, known))
    });
    let mut known: HashMap<Uuid, Known> = known.collect();
    if !known.is_empty() {
        look_at_occurrences(connection, &mut known).await?;
    }
    Ok((known, now))
}

/// Adds the delivery times of stored notifications. Pending occurrences are locked first: a claim
/// in progress is waited for and seen, and a later claim sees the change.
async fn look_at_occurrences(
    connection: &mut PgConnection,
    known: &mut HashMap<Uuid, Known>,
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = known.keys().copied().collect();
    sqlx::query!(
        "select id from occurrences where notification_id = any($1) and pending
        order by id for update",
        &ids
    )
    .fetch_all(&mut *connection)
    .await?;
    // What is leased may be on its way already, and is marked as released only when it is.
    let rows = sqlx::query!(
        r#"select notification_id as "id!",
               coalesce(array_agg(due_at) filter (where state = 'pending'), '{}') as "waiting!",
               coalesce(array_agg(due_at) filter (
                   where state = 'released' or (pending and lease_until > '-infinity')), '{}')
                   as "released!",
               coalesce(array_agg(due_at) filter (
                   where date is not null and state in ('pending', 'released')), '{}') as "dated!",
               coalesce(array_agg(date) filter (
                   where date is not null and state in ('pending', 'released')), '{}') as "dates!",
               max(due_at) filter (where state not in ('pending', 'cancelled')) as passed_until
           from occurrences where notification_id = any($1) group by notification_id"#,
        &ids,
    )
    .fetch_all(connection)
    .await?;
    for row in rows {
        if let Some(known) = known.get_mut(&row.id) {
            (known.waiting, known.released, known.passed_until) =
                (row.waiting, row.released, row.passed_until);
            known.dates = row.dated.into_iter().zip(row.dates).collect();
        }
    }
    Ok(())
}

/// Result of the upsert.
struct Upserted {
    /// Rows that now have this batch's version.
    written: HashSet<Uuid>,
    /// Those of them that existed before, and may have occurrences.
    replaced: Vec<Uuid>,
}

async fn upsert(
    connection: &mut PgConnection,
    changes: &[ChangedNotification<'_>],
) -> Result<Upserted, ApplyError> {
    let ids: Vec<Uuid> = changes.iter().map(|changed| changed.id).collect();
    let sources: Vec<&str> = changes.iter().map(|changed| changed.source.as_str()).collect();
    let items: Vec<&str> =
        changes.iter().map(|changed| changed.plan.event.item_id.as_str()).collect();
    let users: Vec<&str> =
        changes.iter().map(|changed| changed.plan.event.user_id.as_str()).collect();
    let versions: Vec<i64> = changes.iter().map(|changed| changed.plan.event.version).collect();
    let occurred: Vec<DateTime<Utc>> =
        changes.iter().map(|changed| changed.plan.event.occurred_at).collect();
    let traces: Vec<Option<String>> = changes
        .iter()
        .map(|changed| changed.plan.event.traceparent.map(|trace| trace.to_string()))
        .collect();
    // The tombstone of a deleted one keeps neither address nor content.
    let emails: Vec<Option<&str>> = changes
        .iter()
        .map(|changed| changed.plan.requested.and(changed.plan.event.user_email.as_deref()))
        .collect();
    let dates: Vec<Option<DateTime<Utc>>> =
        changes.iter().map(|changed| changed.plan.data().map(|data| data.date)).collect();
    let offsets: Vec<Option<String>> = changes
        .iter()
        .map(|changed| changed.plan.data().map(|data| array_text(&data.notify_offsets)))
        .collect();
    let contents = changes.iter().map(|changed| {
        changed.plan.data().map(|data| serde_json::to_value(&data.content)).transpose()
    });
    let contents: Vec<Option<serde_json::Value>> = contents.collect::<Result<_, _>>()?;
    let rules = changes.iter().map(|changed| {
        changed
            .plan
            .data()
            .and_then(|data| data.recurrence.as_ref())
            .map(serde_json::to_value)
            .transpose()
    });
    let rules: Vec<Option<serde_json::Value>> = rules.collect::<Result<_, _>>()?;
    let acknowledged: Vec<Option<DateTime<Utc>>> = changes
        .iter()
        .map(|changed| changed.plan.data().and_then(|data| data.acknowledged))
        .collect();
    let rows = sqlx::query!(
        r#"insert into notifications as known
               (id, source, item_id, user_id, user_email, version, state, date, notify_offsets,
                   content, traceparent, occurred_at,
                recurrence, acknowledged, time_zone_database)
           select id, source, item_id, user_id, user_email, version,
                  case when content is null then 'deleted' else 'active' end::notification_state,
                  date, notify_offsets::int[], content, traceparent, occurred_at,
                  recurrence, acknowledged, case when recurrence is not null then $14 end
           from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[],
               $7::timestamptz[], $8::text[], $9::jsonb[],
                       $10::text[], $11::timestamptz[], $12::jsonb[], $13::timestamptz[])
               as new (id, source, item_id, user_id, user_email, version, date, notify_offsets,
                   content, traceparent, occurred_at,
                       recurrence, acknowledged)
           on conflict (id) do update set
               user_id = excluded.user_id, user_email = excluded.user_email,
                   version = excluded.version, state = excluded.state,
               date = excluded.date, notify_offsets = excluded.notify_offsets,
                   recurrence = excluded.recurrence,
               content = excluded.content, traceparent = excluded.traceparent,
                   occurred_at = excluded.occurred_at, updated_at = now(),
               acknowledged = excluded.acknowledged,
                   time_zone_database = excluded.time_zone_database
           where known.version < excluded.version
              or (known.version = excluded.version and known.state = 'active'
                  and excluded.state = 'deleted')
           returning id, (xmax = 0) as "is_new!""#,
        &ids,
        &sources as &[&str],
        &items as &[&str],
        &users as &[&str],
        &emails as &[Option<&str>],
        &versions,
        &dates as &[Option<DateTime<Utc>>],
        &offsets as &[Option<String>],
        &contents as &[Option<serde_json::Value>],
        &traces as &[Option<String>],
        &occurred,
        &rules as &[Option<serde_json::Value>],
        &acknowledged as &[Option<DateTime<Utc>>],
        recurrence::time_zone_database(),
    )
    .fetch_all(connection)
    .await?;
    let replaced = rows.iter().filter(|row| !row.is_new).map(|row| row.id).collect();
    Ok(Upserted { written: rows.iter().map(|row| row.id).collect(), replaced })
}

/// A text that PostgreSQL reads as an `int[]`: `unnest` cannot carry arrays of different lengths.
fn array_text(numbers: &[i32]) -> String {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    format!("{{{}}}", numbers.join(","))
}
