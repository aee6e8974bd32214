//! Statements of the reconciliation with event-service.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::row::Row;
use crate::domain::reminder::Reminder;

/// Raises the versions of reminders, each given by its id and user, to the given ones. Those that
/// are higher stay.
///
/// # Errors
/// If the statement fails.
pub async fn raise_versions(
    connection: &mut PgConnection,
    needed: &[(Uuid, &str, i64)],
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = needed.iter().map(|(id, ..)| *id).collect();
    let users: Vec<&str> = needed.iter().map(|(_, user_id, _)| *user_id).collect();
    let versions: Vec<i64> = needed.iter().map(|(.., version)| *version).collect();
    sqlx::query!(
        "update reminders set version = needed.version
         from unnest($1::uuid[], $2::text[], $3::bigint[]) as needed (id, user_id, version)
         where reminders.id = needed.id and reminders.user_id = needed.user_id
             and reminders.version < needed.version",
        &ids,
        &users as &[&str],
        &versions,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Reads those of some reminders that belong to the given users, with their ids. A row that this
/// version cannot read is an error of its own.
///
/// # Errors
/// If the statement fails.
pub async fn get_many(
    connection: &mut PgConnection,
    ids: &[Uuid],
    user_ids: &[String],
) -> Result<Vec<(Uuid, Result<Reminder, sqlx::Error>)>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id, date, time_zone, is_floating, notify_offsets,
               recurrence as "recurrence: _",
               acknowledged, acknowledged_at, snooze_date, snooze_until, late_dates,
               late_placed_at, paused_at,
               changed_occurrences as "changed_occurrences: _",
               channels, title, message, url,
               data as "data: _", expires_after_minutes, priority, locale, version, created_at,
               updated_at, coalesce(scheduled_at, created_at) as "scheduled_at!", now() as "now!",
               0::int8 as "total!"
           from unnest($1::uuid[], $2::text[]) as wanted (wanted_id, wanted_user_id)
               join reminders on id = wanted_id and user_id = wanted_user_id"#,
        ids,
        user_ids,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.reminder())).collect())
}

/// Returns those of some ids that reminders have.
///
/// # Errors
/// If the statement fails.
pub async fn existing(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let existing = sqlx::query_scalar!("select id from reminders where id = any($1)", ids)
        .fetch_all(connection)
        .await?;
    Ok(existing.into_iter().collect())
}

/// Returns the time at which the transaction began.
///
/// # Errors
/// If the statement fails.
pub async fn transaction_time(connection: &mut PgConnection) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar!(r#"select now() as "now!""#).fetch_one(connection).await
}
