//! Entries of calendar files and the reminders that they became.

use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use super::row::{Row, Seen};
use crate::domain::{
    calendar::{Counterpart, Identity, LastImport, Version},
    reminder::Reminder,
};

/// Waits for another import of the user in progress, until the caller's transaction ends.
///
/// # Errors
/// If the statement fails.
pub async fn lock_imports(connection: &mut PgConnection, user_id: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select pg_advisory_xact_lock_shared(hashtextextended($1, 0)),
             pg_advisory_xact_lock(hashtextextended($1, 2))",
        user_id
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Finds the reminders of entries, in their order, and locks their rows until the transaction ends.
///
/// # Errors
/// If the statement fails.
pub async fn counterparts(
    executor: impl PgExecutor<'_>,
    user_id: &str,
    entries: &[Identity],
) -> Result<Vec<Option<Counterpart>>, sqlx::Error> {
    let keys: Vec<&[u8]> = entries.iter().map(|entry| entry.key.as_slice()).collect();
    let exported: Vec<Option<Uuid>> = entries.iter().map(|entry| entry.exported_id).collect();
    let rows = sqlx::query!(
        r#"select place as "place!", reminders.id, reminders.version, reminders.updated_at,
               digest as "digest?", schedule_digest as "schedule_digest?", sequence as "sequence?", stamped_at
           from unnest($2::bytea[], $3::uuid[]) with ordinality as entry (key, exported, place)
           left join imported_entries as known on known.user_id = $1 and known.key = entry.key
           join reminders on reminders.id = coalesce(known.reminder_id, entry.exported)
               and reminders.user_id = $1
           order by reminders.id
           for update of reminders"#,
        user_id,
        &keys as _,
        &exported as _,
    )
    .fetch_all(executor)
    .await?;
    let mut counterparts = vec![None; entries.len()];
    for row in rows {
        let place = usize::try_from(row.place - 1).ok();
        if let Some(found) = place.and_then(|place| counterparts.get_mut(place)) {
            let last_import = row.digest.zip(row.schedule_digest).zip(row.sequence);
            let last_import = last_import.map(|((digest, schedule_digest), sequence)| LastImport {
                digest,
                schedule_digest,
                version: Version { sequence, stamp: row.stamped_at },
            });
            *found = Some(Counterpart {
                reminder_id: row.id,
                reminder_version: row.version,
                updated_at: row.updated_at,
                last_import,
            });
        }
    }
    Ok(counterparts)
}

/// Reads some of a user's reminders.
///
/// # Errors
/// If the statement fails.
pub async fn read_some(
    pool: &PgPool,
    user_id: &str,
    ids: &[Uuid],
) -> Result<Vec<Seen<Reminder>>, sqlx::Error> {
    let rows = sqlx::query_as!(
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
           from reminders where id = any($2) and user_id = $1"#,
        user_id,
        ids,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Row::seen).collect()
}

/// Records which entries became which reminders.
///
/// # Errors
/// If the statement fails.
pub async fn record_imports(
    connection: &mut PgConnection,
    user_id: &str,
    imports: &[(&Identity, Uuid)],
) -> Result<(), sqlx::Error> {
    let keys: Vec<&[u8]> = imports.iter().map(|(entry, _)| entry.key.as_slice()).collect();
    let digests: Vec<&[u8]> = imports.iter().map(|(entry, _)| entry.digest.as_slice()).collect();
    let schedule_digests: Vec<&[u8]> =
        imports.iter().map(|(entry, _)| entry.schedule_digest.as_slice()).collect();
    let ids: Vec<Uuid> = imports.iter().map(|(_, id)| *id).collect();
    let sequences: Vec<i64> = imports.iter().map(|(entry, _)| entry.version.sequence).collect();
    let stamps: Vec<_> = imports.iter().map(|(entry, _)| entry.version.stamp).collect();
    sqlx::query!(
        "insert into imported_entries
             (user_id, key, reminder_id, digest, sequence, stamped_at, schedule_digest)
         select $1, key, id, digest, sequence, stamped_at, schedule_digest
         from unnest($2::bytea[], $3::uuid[], $4::bytea[], $5::int8[], $6::timestamptz[],
             $7::bytea[]) as import (key, id, digest, sequence, stamped_at, schedule_digest)
         on conflict (user_id, key) do update
         set reminder_id = excluded.reminder_id, digest = excluded.digest,
             schedule_digest = excluded.schedule_digest,
             sequence = excluded.sequence, stamped_at = excluded.stamped_at",
        user_id,
        &keys as _,
        &ids,
        &digests as _,
        &sequences,
        &stamps as _,
        &schedule_digests as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}
