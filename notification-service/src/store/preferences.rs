//! What users prefer.

use std::collections::HashMap;

use sqlx::PgExecutor;

use super::unreadable;
use crate::preferences::{Locale, Preferences, QuietHours};

/// What these users prefer; nothing of one who never said.
///
/// # Errors
/// When the statement fails.
pub async fn of_users(
    executor: impl PgExecutor<'_>,
    user_ids: &[&str],
) -> Result<HashMap<String, Preferences>, sqlx::Error> {
    let rows = sqlx::query!(
        "select user_id, push, email, quiet_start, quiet_end, time_zone, locale from preferences where user_id = any($1)",
        user_ids as &[&str],
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter()
        .map(|row| {
            let quiet_hours = match (row.quiet_start, row.quiet_end, row.time_zone) {
                (Some(start), Some(end), Some(zone)) => Some(QuietHours {
                    start: start.into(),
                    end: end.into(),
                    time_zone: zone.parse().map_err(|error| unreadable("time_zone", error))?,
                }),
                _ => None,
            };
            let (push, email, locale) = (row.push, row.email, row.locale.map(Locale::stored));
            Ok((row.user_id, Preferences { push, email, quiet_hours, locale }))
        })
        .collect()
}

/// What a user prefers; the defaults of one who never said.
///
/// # Errors
/// When the statement fails.
pub async fn of_user(executor: impl PgExecutor<'_>, user_id: &str) -> Result<Preferences, sqlx::Error> {
    Ok(of_users(executor, &[user_id]).await?.remove(user_id).unwrap_or_default())
}

/// Keeps what a user prefers, in place of what was known.
///
/// # Errors
/// When the statement fails.
pub async fn put(executor: impl PgExecutor<'_>, user_id: &str, preferences: &Preferences) -> Result<(), sqlx::Error> {
    let Preferences { push, email, quiet_hours, locale } = preferences;
    sqlx::query!(
        "insert into preferences (user_id, push, email, quiet_start, quiet_end, time_zone, locale) values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (user_id) do update
         set push = excluded.push, email = excluded.email, quiet_start = excluded.quiet_start, quiet_end = excluded.quiet_end,
             time_zone = excluded.time_zone, locale = excluded.locale, updated_at = now()",
        user_id,
        push,
        email,
        quiet_hours.map(|it| it.start.into()) as Option<chrono::NaiveTime>,
        quiet_hours.map(|it| it.end.into()) as Option<chrono::NaiveTime>,
        quiet_hours.map(|it| it.time_zone.name()),
        locale.as_ref().map(Locale::as_str),
    )
    .execute(executor)
    .await?;
    Ok(())
}
