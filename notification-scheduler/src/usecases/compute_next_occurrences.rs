//! Next occurrences of recurring notifications, created when the one before is no longer pending.
//!
//! The next occurrence is created in the transaction in which the one before is released or ended,
//! from the notification as it is then, under its lock: either an edit is seen here, or it sees the
//! rows written here. The next occurrences are computed before the transaction; under the lock
//! their version is only compared.
//!
//! A series whose rule this binary cannot read (a newer version wrote it, or its zone is unknown
//! here) does not end: its occurrence is published and stays pending, a minute at a time, until a
//! binary runs that can read it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use contract::Reason;
use db::StoredTime;
use recurrence::time_zone_database;
use sqlx::{PgConnection, PgExecutor, PgPool};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::{
    domain::series::{NewRow, NextRows, Series},
    store::{Claimed, NoLongerPending, Store, StoreError},
};

/// Largest number of occurrences created at once of a series that fell behind; the rest follow with
/// the next release.
const MAX_PER_SERIES: usize = 500;
/// Largest number of occurrences created at once of all series of a batch, if each has at least
/// one.
const MAX_PER_BATCH: usize = 5_000;
/// Number of claims up to which rules are evaluated on the current thread; more are evaluated on a
/// blocking thread.
const MAX_ON_THREAD: usize = 20;
const ACTION: &str = "create the next occurrences of a series";

/// Next occurrences of series, by notification.
#[derive(Default)]
pub(crate) struct FollowingOccurrences {
    next: HashMap<Uuid, NextRows>,
    /// Versions of notifications whose rules this binary cannot read.
    unreadable: HashMap<Uuid, i64>,
}

impl FollowingOccurrences {
    /// Returns `true` if an occurrence must stay pending because this binary cannot read its
    /// recurrence rule.
    pub(crate) fn must_stay_pending(&self, claimed: &Claimed) -> bool {
        self.unreadable.contains_key(&claimed.notification_id)
    }
}

/// Computes the occurrences that follow some claims, before the transaction in which they are
/// marked.
pub(crate) async fn prepare(
    pool: &PgPool,
    claims: &[&Claimed],
) -> Result<FollowingOccurrences, StoreError> {
    if claims.is_empty() {
        return Ok(FollowingOccurrences::default());
    }
    let gone: Vec<NoLongerPending> =
        claims.iter().map(|claimed| (claimed.notification_id, claimed.due_at)).collect();
    let ids: Vec<Uuid> = gone.iter().map(|(id, _)| *id).collect();
    let rows = read(pool, &ids).await?;
    evaluate(gone.len(), move || following_occurrences(rows, &gone)).await
}

/// Computes the occurrences that follow the times which are no longer pending.
fn following_occurrences(rows: Vec<Row>, gone: &[NoLongerPending]) -> FollowingOccurrences {
    let DecodedRows { series, unreadable } = DecodedRows::of(rows);
    if !unreadable.is_empty() {
        metrics::counter!("reminders_scheduler_series_invalid_total")
            .increment(unreadable.len() as u64);
    }
    let mut times: HashMap<Uuid, BTreeSet<DateTime<Utc>>> = HashMap::new();
    for (id, due) in gone {
        times.entry(*id).or_default().insert(*due);
    }
    let edition = time_zone_database();
    let most = (MAX_PER_BATCH / series.len().max(1)).clamp(1, MAX_PER_SERIES);
    let next = series
        .into_iter()
        .filter_map(|(id, series)| Some((id, series.next(times.get(&id)?, most, &edition))));
    FollowingOccurrences { next: next.collect(), unreadable }
}

async fn evaluate<T: Send + 'static>(
    claims: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    if claims <= MAX_ON_THREAD {
        Ok(work())
    } else {
        spawn_blocking(work).await.map_err(StoreError::of(ACTION))
    }
}

/// Locks the recurring notifications of some claims, in the order of their ids, and computes anew
/// the occurrences of those that have changed since.
pub(crate) async fn lock(
    connection: &mut PgConnection,
    claims: &[&Claimed],
    mut prepared: FollowingOccurrences,
) -> Result<FollowingOccurrences, StoreError> {
    if claims.is_empty() {
        return Ok(prepared);
    }
    let ids: Vec<Uuid> = claims.iter().map(|claimed| claimed.notification_id).collect();
    let locked = sqlx::query!(
        r#"select id, version, state = 'active' and recurrence is not null as "still_recurs!"
            from notifications where id = any($1) order by id for update"#,
        &ids
    )
    .fetch_all(&mut *connection)
    .await
    .map_err(StoreError::of(ACTION))?;
    let still_recurs: HashMap<Uuid, i64> = locked
        .into_iter()
        .filter(|row| row.still_recurs)
        .map(|row| (row.id, row.version))
        .collect();
    prepared.next.retain(|id, next| still_recurs.get(id) == Some(&next.version));
    prepared.unreadable.retain(|id, version| still_recurs.get(id) == Some(version));
    let is_known =
        |id: &Uuid| prepared.next.contains_key(id) || prepared.unreadable.contains_key(id);
    let changed: Vec<Uuid> = still_recurs.into_keys().filter(|id| !is_known(id)).collect();
    if !changed.is_empty() {
        let gone: Vec<NoLongerPending> =
            claims.iter().map(|claimed| (claimed.notification_id, claimed.due_at)).collect();
        let FollowingOccurrences { next, unreadable } =
            following_occurrences(read(connection, &changed).await?, &gone);
        prepared.next.extend(next);
        prepared.unreadable.extend(unreadable);
    }
    Ok(prepared)
}

/// A recurring notification as it is stored. Columns that versions may write differently are
/// decoded row by row, so that an unreadable row affects no other.
struct Row {
    id: Uuid,
    version: i64,
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

async fn read(executor: impl PgExecutor<'_>, ids: &[Uuid]) -> Result<Vec<Row>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id, version, source, item_id, date as "date!: StoredTime",
            notify_offsets as "notify_offsets!: Vec<Option<i32>>",
               recurrence as "recurrence!", content as "content!",
                   acknowledged as "acknowledged: StoredTime",
               occurred_at as "occurred_at: StoredTime", time_zone_database, now() as "now!"
           from notifications where id = any($1) and state = 'active' and recurrence is not null"#,
        ids,
    )
    .fetch_all(executor)
    .await;
    rows.map_err(StoreError::of(ACTION))
}

/// Decoded rows.
#[derive(Default)]
struct DecodedRows {
    series: HashMap<Uuid, Series>,
    /// Versions of rows that this binary cannot read.
    unreadable: HashMap<Uuid, i64>,
}

impl DecodedRows {
    fn of(rows: Vec<Row>) -> Self {
        let mut read = Self::default();
        for row in rows {
            let (id, version) = (row.id, row.version);
            match row.series() {
                Ok(one) => {
                    read.series.insert(id, one);
                }
                Err(error) => {
                    // It was read before it was kept: by a newer version, or with zones that are
                    // not known here.
                    tracing::error!(
                        error = &*error,
                        notification.id = %id,
                        "recurrence rule is unusable by this version, the occurrence was \
                         quarantined"
                    );
                    read.unreadable.insert(id, version);
                }
            }
        }
        read
    }
}

impl Row {
    fn series(self) -> Result<Series, Box<dyn std::error::Error>> {
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

/// Creates the occurrences that follow those which are no longer pending.
pub(crate) async fn insert_following(
    connection: &mut PgConnection,
    following: &FollowingOccurrences,
    gone: &[NoLongerPending],
) -> Result<(), StoreError> {
    let gone: BTreeSet<Uuid> = gone.iter().map(|(id, _)| *id).collect();
    let (mut rows, mut moved) = (BTreeMap::new(), Vec::new());
    for (id, next) in gone.iter().filter_map(|id| following.next.get_key_value(id)) {
        if next.reason.is_some() {
            moved.push(*id);
        }
        rows.extend(next.rows.iter().map(|row| (row.id, (*id, row, next.reason))));
    }
    if !rows.is_empty() {
        insert(connection, &rows).await.map_err(StoreError::of(ACTION))?;
    }
    if !moved.is_empty() {
        let edition = time_zone_database();
        tracing::warn!(
            notifications = moved.len(),
            edition,
            "time zone data changed, series were rescheduled"
        );
        metrics::counter!("reminders_scheduler_series_rescheduled_total")
            .increment(moved.len() as u64);
        record_time_zone_database(connection, &moved, &edition)
            .await
            .map_err(StoreError::of(ACTION))?;
    }
    Ok(())
}

/// Rows to create by their ids, each with its notification and its reason.
type RowsById<'a> = BTreeMap<Uuid, (Uuid, &'a NewRow, Option<Reason>)>;

async fn insert(connection: &mut PgConnection, rows: &RowsById<'_>) -> Result<(), sqlx::Error> {
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

async fn record_time_zone_database(
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

impl Store {
    /// Returns those of some late claims that a later occurrence of the same series supersedes.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn superseded(&self, claims: &[&Claimed]) -> Result<HashSet<Uuid>, StoreError> {
        let ids: Vec<Uuid> = claims.iter().map(|claimed| claimed.notification_id).collect();
        let rows = read(&self.pool, &ids).await?;
        let due: Vec<_> = claims
            .iter()
            .map(|claimed| (claimed.id, claimed.notification_id, claimed.due_at))
            .collect();
        let superseded = evaluate(due.len(), move || {
            let DecodedRows { series, .. } = DecodedRows::of(rows);
            let is_superseded =
                |id, due| series.get(id).is_some_and(|series: &Series| series.is_superseded(due));
            let superseded =
                due.iter().filter(|(_, notification, due)| is_superseded(notification, *due));
            superseded.map(|(id, ..)| *id).collect()
        });
        superseded.await
    }
}
