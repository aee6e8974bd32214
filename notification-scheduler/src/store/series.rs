//! Recurring notifications, and the occurrences that follow those which are no longer pending.

use chrono::{DateTime, TimeDelta, Utc};
use contract::Reason;
use db::StoredTime;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::domain::{next_occurrences::RowsById, series::Series};

/// A recurring notification as it is stored. Columns that versions may write differently are
/// decoded row by row, so that an unreadable row affects no other.
#[derive(Debug)]
pub struct StoredSeries {
    /// Id of the notification.
    pub id: Uuid,
    /// Version of the item.
    pub version: i64,
    source: String,
    item_id: String,
    date: StoredTime,
    notify_offsets: Vec<Option<i32>>,
    recurrence: serde_json::Value,
    content: serde_json::Value,
    acknowledged: Option<StoredTime>,
    occurred_at: StoredTime,
    time_zone_database: Option<String>,
    now: DateTime<Utc>,
}

/// Fields of a notification's content that determine its times.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Timing {
    time_zone: String,
    expires_after_minutes: i32,
}

impl StoredSeries {
    /// Decodes the row.
    ///
    /// # Errors
    /// If this binary cannot read it: a newer version wrote it, or its time zone is unknown here.
    pub fn decode(self) -> Result<Series, Box<dyn std::error::Error>> {
        let Timing { time_zone, expires_after_minutes } = serde_json::from_value(self.content)?;
        let recurrence: contract::Recurrence = serde_json::from_value(self.recurrence)?;
        let date = self.date.get().ok_or("the date is none that a message can carry")?;
        let offsets: Option<Vec<i32>> = self.notify_offsets.into_iter().collect();
        let offsets = offsets.ok_or("an offset is missing")?;
        let schedule = contract::stored_schedule(date, offsets, Some(&recurrence), &time_zone)?;
        Ok(Series {
            version: self.version,
            source: self.source,
            item_id: self.item_id,
            schedule,
            lifetime: TimeDelta::minutes(expires_after_minutes.into()),
            acknowledged: self.acknowledged.map(StoredTime::nearest),
            changed_at: self.occurred_at.nearest(),
            time_zone_database: self.time_zone_database,
            now: self.now,
        })
    }
}

/// Reads those notifications that are active and recur.
///
/// # Errors
/// When the statement fails.
pub async fn read(
    executor: impl PgExecutor<'_>,
    ids: &[Uuid],
) -> Result<Vec<StoredSeries>, sqlx::Error> {
    sqlx::query_as!(
        StoredSeries,
        r#"select id, version, source, item_id, date as "date!: StoredTime",
            notify_offsets as "notify_offsets!: Vec<Option<i32>>",
               recurrence as "recurrence!", content as "content!",
                   acknowledged as "acknowledged: StoredTime",
               occurred_at as "occurred_at: StoredTime", time_zone_database, now() as "now!"
           from notifications where id = any($1) and state = 'active' and recurrence is not null"#,
        ids,
    )
    .fetch_all(executor)
    .await
}

/// Version of a notification under its lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockedVersion {
    /// Id of the notification.
    pub id: Uuid,
    /// Version of the item.
    pub version: i64,
    /// `true` if the notification is active and recurs.
    pub still_recurs: bool,
}

/// Locks notifications in the order of their ids.
///
/// # Errors
/// When the statement fails.
pub async fn lock(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<Vec<LockedVersion>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select id, version, state = 'active' and recurrence is not null as "still_recurs!"
            from notifications where id = any($1) order by id for update"#,
        ids
    )
    .fetch_all(connection)
    .await?;
    let version = |id, version, still_recurs| LockedVersion { id, version, still_recurs };
    Ok(rows.into_iter().map(|row| version(row.id, row.version, row.still_recurs)).collect())
}

/// Creates occurrences; one that was cancelled is pending again.
///
/// # Errors
/// When the statement fails.
pub async fn insert(connection: &mut PgConnection, rows: &RowsById<'_>) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = rows.keys().copied().collect();
    let notifications: Vec<Uuid> = rows.values().map(|(notification, ..)| *notification).collect();
    let due: Vec<DateTime<Utc>> = rows.values().map(|(_, row, _)| row.delivery.at).collect();
    let dates: Vec<DateTime<Utc>> = rows.values().map(|(_, row, _)| row.delivery.date).collect();
    let expiries: Vec<DateTime<Utc>> = rows.values().map(|(_, row, _)| row.expires_at).collect();
    let reasons: Vec<Option<&str>> =
        rows.values().map(|(_, _, reason)| reason.map(Reason::as_str)).collect();
    sqlx::query!(
        "insert into occurrences as known (id, notification_id, due_at, date, expires_at, reason,
            user_key)
         select new.*, occurrence_user_key(n.user_id, n.content->>'priority')
         from unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::timestamptz[],
             $5::timestamptz[], $6::text[])
                  as new (id, notification_id, due_at, date, expires_at, reason)
              join notifications as n on n.id = new.notification_id
         on conflict (id) do update set
             state = 'pending', date = excluded.date, expires_at = excluded.expires_at,
                 outcome_at = null, reason = excluded.reason,
             user_key = excluded.user_key, lease_until = '-infinity'
         where known.state = 'cancelled'",
        &ids,
        &notifications,
        &due,
        &dates,
        &expiries,
        &reasons as &[Option<&str>],
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Records the edition of the time zone data by which occurrences of notifications were computed.
///
/// # Errors
/// When the statement fails.
pub async fn record_time_zone_database(
    connection: &mut PgConnection,
    notifications: &[Uuid],
    edition: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update notifications set time_zone_database = $2 where id = any($1)",
        notifications,
        edition
    )
    .execute(connection)
    .await?;
    Ok(())
}
