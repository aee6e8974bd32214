//! Preferences of users.

use std::collections::HashMap;

use sqlx::PgExecutor;
use time_zone::Zone;

use crate::domain::preferences::{Locale, Preferences, QuietHours};

/// Returns the preferences of these users, without users who stored none.
///
/// # Errors
/// If the statement fails.
pub async fn of_users(
    executor: impl PgExecutor<'_>,
    user_ids: &[&str],
) -> Result<HashMap<String, Preferences>, sqlx::Error> {
    let rows = sqlx::query!(
        "select user_id, push, email, quiet_start, quiet_end, time_zone, user_time_zone, locale from preferences where user_id = any($1)",
        user_ids as &[&str],
    )
    .fetch_all(executor)
    .await?;
    let preferences = rows.into_iter().map(|row| {
        let quiet_hours = match (row.quiet_start, row.quiet_end, row.time_zone) {
            (Some(start), Some(end), Some(zone)) => {
                let time_zone = known_zone(&zone).unwrap_or(Zone::UTC);
                Some(QuietHours { start: start.into(), end: end.into(), time_zone })
            }
            _ => None,
        };
        let (push, email, locale) = (row.push, row.email, row.locale.map(Locale::stored));
        let time_zone = row.user_time_zone.as_deref().and_then(known_zone);
        (row.user_id, Preferences { push, email, quiet_hours, time_zone, locale })
    });
    Ok(preferences.collect())
}

/// Returns a zone by its stored name; `None` if this process's time zone database does not know it.
/// Then quiet hours are in UTC: hours that begin at another time affect one user, while a row that
/// cannot be read would block its whole batch. A default zone counts as not named.
fn known_zone(name: &str) -> Option<Zone> {
    let zone = name.parse().ok();
    if zone.is_none() {
        metrics::counter!("reminders_unreadable_rows_total", "table" => "preferences").increment(1);
        tracing::warn!(
            time_zone = name,
            "stored time zone is unknown to the time zone database in use and is ignored"
        );
    }
    zone
}

/// Returns the preferences of a user; the defaults if none are stored.
///
/// # Errors
/// If the statement fails.
pub async fn of_user(
    executor: impl PgExecutor<'_>,
    user_id: &str,
) -> Result<Preferences, sqlx::Error> {
    Ok(of_users(executor, &[user_id]).await?.remove(user_id).unwrap_or_default())
}

/// Locks a user's preferences against other changes until the transaction ends.
///
/// # Errors
/// If the statement fails.
pub async fn hold(executor: impl PgExecutor<'_>, user_id: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("select user_id from preferences where user_id = $1 for update", user_id)
        .fetch_optional(executor)
        .await?;
    Ok(())
}

/// Stores a user's preferences in place of those stored before.
///
/// # Errors
/// If the statement fails.
pub async fn put(
    executor: impl PgExecutor<'_>,
    user_id: &str,
    preferences: &Preferences,
) -> Result<(), sqlx::Error> {
    let Preferences { push, email, quiet_hours, time_zone, locale } = preferences;
    sqlx::query!(
        "insert into preferences (user_id, push, email, quiet_start, quiet_end, time_zone, user_time_zone, locale) values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict (user_id) do update
         set push = excluded.push, email = excluded.email, quiet_start = excluded.quiet_start, quiet_end = excluded.quiet_end,
             time_zone = excluded.time_zone, user_time_zone = excluded.user_time_zone, locale = excluded.locale, updated_at = now()",
        user_id,
        push,
        email,
        quiet_hours.map(|quiet| quiet.start.into()) as Option<chrono::NaiveTime>,
        quiet_hours.map(|quiet| quiet.end.into()) as Option<chrono::NaiveTime>,
        quiet_hours.map(|quiet| quiet.time_zone.name()),
        time_zone.map(Zone::name),
        locale.as_ref().map(Locale::as_str),
    )
    .execute(executor)
    .await?;
    Ok(())
}
