//! Versions of notifications: reads the stored ones under a lock, and writes newer ones.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::notifications::NotificationState;
use crate::domain::{changed_notification::ChangedNotification, plan::Known};

/// Locks stored notifications in the order of their ids, and returns their state with the
/// database's time.
///
/// # Errors
/// If a query fails.
pub async fn lock(
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
        let (pending, released, dates, passed_until) = Default::default();
        let known = Known { version, active, changed_at, pending, released, dates, passed_until };
        Some((row.id?, known))
    });
    let mut known: HashMap<Uuid, Known> = known.collect();
    if !known.is_empty() {
        add_occurrences(connection, &mut known).await?;
    }
    Ok((known, now))
}

/// Adds the delivery times of stored notifications. Pending occurrences are locked first: a claim
/// in progress is waited for and seen, and a later claim sees the change.
async fn add_occurrences(
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
    // A leased occurrence may be published already: it is marked as released only afterwards.
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
            (known.pending, known.released, known.passed_until) =
                (row.waiting, row.released, row.passed_until);
            known.dates = row.dated.into_iter().zip(row.dates).collect();
        }
    }
    Ok(())
}

/// Result of [`upsert`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upserted {
    /// Notifications that now have the batch's version.
    pub written: HashSet<Uuid>,
    /// Those of them that existed before, and may have occurrences.
    pub replaced: Vec<Uuid>,
}

/// Writes the new state of notifications, unless the stored version is as new or newer.
///
/// # Errors
/// If the statement fails.
pub async fn upsert(
    connection: &mut PgConnection,
    changes: &[ChangedNotification<'_>],
) -> Result<Upserted, sqlx::Error> {
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
    // The tombstone of a deleted notification keeps neither address nor content.
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
    let contents = changes
        .iter()
        .map(|changed| changed.plan.data().map(|data| json(&data.content)).transpose());
    let contents: Vec<Option<serde_json::Value>> = contents.collect::<Result<_, _>>()?;
    let rules = changes.iter().map(|changed| {
        changed.plan.data().and_then(|data| data.recurrence.as_ref()).map(json).transpose()
    });
    let rules: Vec<Option<serde_json::Value>> = rules.collect::<Result<_, _>>()?;
    let changed_occurrences = changes.iter().map(|changed| {
        let occurrences = changed.plan.data().map(|data| &data.changed_occurrences);
        occurrences.filter(|occurrences| !occurrences.is_empty()).map(json).transpose()
    });
    let changed_occurrences: Vec<Option<serde_json::Value>> =
        changed_occurrences.collect::<Result<_, _>>()?;
    let acknowledged: Vec<Option<DateTime<Utc>>> = changes
        .iter()
        .map(|changed| changed.plan.data().and_then(|data| data.acknowledged))
        .collect();
    let rows = sqlx::query!(
        r#"insert into notifications as known
               (id, source, item_id, user_id, user_email, version, state, date, notify_offsets,
                   content, traceparent, occurred_at,
                recurrence, acknowledged, time_zone_database, changed_occurrences)
           select id, source, item_id, user_id, user_email, version,
                  case when content is null then 'deleted' else 'active' end::notification_state,
                  date, notify_offsets::int[], content, traceparent, occurred_at,
                  recurrence, acknowledged, case when recurrence is not null then $14 end,
                  changed_occurrences
           from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[],
               $7::timestamptz[], $8::text[], $9::jsonb[],
                       $10::text[], $11::timestamptz[], $12::jsonb[], $13::timestamptz[],
                       $15::jsonb[])
               as new (id, source, item_id, user_id, user_email, version, date, notify_offsets,
                   content, traceparent, occurred_at,
                       recurrence, acknowledged, changed_occurrences)
           on conflict (id) do update set
               user_id = excluded.user_id, user_email = excluded.user_email,
                   version = excluded.version, state = excluded.state,
               date = excluded.date, notify_offsets = excluded.notify_offsets,
                   recurrence = excluded.recurrence,
               content = excluded.content, traceparent = excluded.traceparent,
                   occurred_at = excluded.occurred_at, updated_at = now(),
               acknowledged = excluded.acknowledged,
                   time_zone_database = excluded.time_zone_database,
               changed_occurrences = excluded.changed_occurrences
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
        time_zone::edition(),
        &changed_occurrences as &[Option<serde_json::Value>],
    )
    .fetch_all(connection)
    .await?;
    let replaced = rows.iter().filter(|row| !row.is_new).map(|row| row.id).collect();
    Ok(Upserted { written: rows.iter().map(|row| row.id).collect(), replaced })
}

/// Serializes a value; a failure is one of the value, as when the driver cannot encode it.
fn json(value: &impl Serialize) -> Result<serde_json::Value, sqlx::Error> {
    serde_json::to_value(value).map_err(|error| sqlx::Error::Encode(error.into()))
}

/// Returns a text that PostgreSQL reads as an `int[]`: `unnest` cannot carry arrays of different
/// lengths.
fn array_text(numbers: &[i32]) -> String {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    format!("{{{}}}", numbers.join(","))
}
