//! Zones that the preferences of users name, in the order in which they changed.

use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, PgPool};

/// Zone of a user with the time at which it last changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneChange {
    /// Id of the user.
    pub user_id: String,
    /// IANA name; `None` if the preferences name no zone.
    pub zone: Option<String>,
    /// E-mail address of the user at the change; `None` if it was not verified.
    pub email: Option<String>,
    /// Time of the change.
    pub changed_at: DateTime<Utc>,
}

/// Place in the order of the changes: the time of a change, and its user.
pub type Place = (DateTime<Utc>, String);

/// Records the zone that the preferences of a user name, unless it is the recorded one. The
/// preferences must be stored.
///
/// # Errors
/// If the statement fails.
pub async fn record(
    executor: impl PgExecutor<'_>,
    user_id: &str,
    zone: Option<&str>,
    email: Option<&str>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into zone_changes (user_id, zone, email, changed_at)
         values ($1, $2, $3, clock_timestamp())
         on conflict (user_id) do update
         set zone = excluded.zone, email = excluded.email, changed_at = clock_timestamp()
         where zone_changes.zone is distinct from excluded.zone",
        user_id,
        zone,
        email,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Returns up to `limit` changes after a place, in order, and the time of the reading.
///
/// # Errors
/// If a statement fails.
pub async fn after(
    pool: &PgPool,
    place: &Place,
    limit: i64,
) -> Result<(Vec<ZoneChange>, DateTime<Utc>), sqlx::Error> {
    let mut connection = pool.acquire().await?;
    // Before the changes are read: later ones are read again.
    let now = super::now(&mut *connection).await?;
    let changes = sqlx::query_as!(
        ZoneChange,
        "select user_id, zone, email, changed_at from zone_changes
         where (changed_at, user_id) > ($1, $2) order by changed_at, user_id limit $3",
        place.0,
        place.1,
        limit,
    )
    .fetch_all(&mut *connection)
    .await?;
    Ok((changes, now))
}

/// Returns the zone of a user with the time of its last change, if it is recorded.
///
/// # Errors
/// If the statement fails.
pub async fn of_user(
    executor: impl PgExecutor<'_>,
    user_id: &str,
) -> Result<Option<ZoneChange>, sqlx::Error> {
    sqlx::query_as!(
        ZoneChange,
        "select user_id, zone, email, changed_at from zone_changes where user_id = $1",
        user_id,
    )
    .fetch_optional(executor)
    .await
}
