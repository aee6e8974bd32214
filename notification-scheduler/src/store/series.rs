//! The series of recurring notifications: what comes after an occurrence that no longer waits.
//!
//! The next occurrence is made in the transaction in which the one before is released or ended, from the notification as it
//! is then, under its lock: an edit is either seen here, or sees what is written here.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use recurrence::{Delivery, Timetable, time_zone_database};
use shared::contract::{self, NotifyContent, occurrence_id};
use sqlx::{PgConnection, PgExecutor, types::Json};
use uuid::Uuid;

use super::{Claimed, Gone, Store, StoreError};

/// Occurrences made at once of a series that fell behind; the rest follow with the next release.
const MOST_AT_ONCE: usize = 500;
const ACTION: &str = "go on with a series";

/// A recurring notification, locked.
pub(super) struct Series {
    source: String,
    item_id: String,
    timetable: Timetable,
    lifetime: TimeDelta,
    acknowledged: Option<DateTime<Utc>>,
    /// When its newest version was made: what lies before that version's time is not made by it.
    changed_at: DateTime<Utc>,
    time_zone_database: Option<String>,
    now: DateTime<Utc>,
}

impl Series {
    /// What follows a time: the first that is ahead, and before it what is due by now already.
    fn following(&self, gone: DateTime<Utc>) -> Vec<Delivery> {
        let mut is_enough = false;
        let deliveries = self.timetable.after(gone.max(self.changed_at));
        let deliveries = deliveries.filter(|it| self.acknowledged.is_none_or(|done| it.date > done));
        deliveries.take_while(|it| !std::mem::replace(&mut is_enough, it.at > self.now)).take(MOST_AT_ONCE).collect()
    }

    /// Whether a time has been overtaken: it is one of the series, and so is a later one that is due as well.
    fn has_overtaken(&self, due: DateTime<Utc>) -> bool {
        self.timetable.has(due) && self.timetable.after(due).next().is_some_and(|next| next.at <= self.now)
    }
}

/// Locks the recurring notifications of some claims, in the order of their ids.
pub(super) async fn lock(
    connection: &mut PgConnection,
    claims: &[&Claimed],
) -> Result<HashMap<Uuid, Series>, StoreError> {
    if claims.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<Uuid> = claims.iter().map(|it| it.notification_id).collect();
    sqlx::query!("select id from notifications where id = any($1) order by id for update", &ids)
        .fetch_all(&mut *connection)
        .await
        .map_err(StoreError::of(ACTION))?;
    read(connection, &ids).await
}

async fn read(executor: impl PgExecutor<'_>, ids: &[Uuid]) -> Result<HashMap<Uuid, Series>, StoreError> {
    let rows = sqlx::query!(
        r#"select id, source, item_id, date as "date!", notify_offsets as "notify_offsets!", recurrence as "recurrence!: Json<contract::Recurrence>",
               content as "content!: Json<NotifyContent>", acknowledged, occurred_at, time_zone_database, now() as "now!"
           from notifications where id = any($1) and state = 'active' and recurrence is not null"#,
        ids,
    )
    .fetch_all(executor)
    .await
    .map_err(StoreError::of(ACTION))?;
    let mut series = HashMap::with_capacity(rows.len());
    for row in rows {
        let zone = &row.content.0.time_zone;
        let timetable = match contract::timetable(row.date, row.notify_offsets, Some(&row.recurrence.0), zone) {
            Ok(timetable) => timetable,
            Err(error) => {
                // It was read before it was kept; another edition of the zones may not know its zone any more.
                tracing::error!(error = &error as &dyn std::error::Error, notification.id = %row.id, "a series ends: its rule cannot be followed any more");
                metrics::counter!("scheduler_series_broken_total").increment(1);
                continue;
            }
        };
        let it = Series {
            source: row.source,
            item_id: row.item_id,
            timetable,
            lifetime: TimeDelta::minutes(row.content.0.expires_after_minutes.into()),
            acknowledged: row.acknowledged,
            changed_at: row.occurred_at,
            time_zone_database: row.time_zone_database,
            now: row.now,
        };
        series.insert(row.id, it);
    }
    Ok(series)
}

/// Makes what follows occurrences that no longer wait.
pub(super) async fn go_on(
    connection: &mut PgConnection,
    series: &HashMap<Uuid, Series>,
    gone: &[Gone],
) -> Result<(), StoreError> {
    if series.is_empty() {
        return Ok(());
    }
    let edition = time_zone_database();
    let mut rows = BTreeMap::new();
    let mut moved = HashSet::new();
    for (notification_id, due) in gone {
        let Some(it) = series.get(notification_id) else { continue };
        let other = it.time_zone_database.as_deref().filter(|known| *known != edition);
        let reason = other.map(|known| format!("time zone data {known} to {edition}"));
        if reason.is_some() {
            moved.insert(*notification_id);
        }
        for next in it.following(*due) {
            let id = occurrence_id(&it.source, &it.item_id, next.at);
            rows.insert(id, (*notification_id, next, next.at + it.lifetime, reason.clone()));
        }
    }
    make(connection, &rows).await.map_err(StoreError::of(ACTION))?;
    if !moved.is_empty() {
        let moved: Vec<Uuid> = moved.into_iter().collect();
        tracing::warn!(
            notifications = moved.len(),
            edition,
            "the time zone data changed: series go on by the new edition"
        );
        metrics::counter!("scheduler_series_moved_total").increment(moved.len() as u64);
        note_edition(connection, &moved, &edition).await.map_err(StoreError::of(ACTION))?;
    }
    Ok(())
}

/// A row to make: its notification, what it is, its expiry, and why it may differ from what was shown before.
type NewRow = (Uuid, Delivery, DateTime<Utc>, Option<String>);

async fn make(connection: &mut PgConnection, rows: &BTreeMap<Uuid, NewRow>) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = rows.keys().copied().collect();
    let notifications: Vec<Uuid> = rows.values().map(|row| row.0).collect();
    let due: Vec<DateTime<Utc>> = rows.values().map(|row| row.1.at).collect();
    let dates: Vec<DateTime<Utc>> = rows.values().map(|row| row.1.date).collect();
    let expiries: Vec<DateTime<Utc>> = rows.values().map(|row| row.2).collect();
    let reasons: Vec<Option<&str>> = rows.values().map(|row| row.3.as_deref()).collect();
    sqlx::query!(
        "insert into occurrences as known (id, notification_id, due_at, date, expires_at, reason, user_key)
         select new.*, occurrence_user_key(n.user_id, n.content->>'priority')
         from unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::text[])
                  as new (id, notification_id, due_at, date, expires_at, reason)
              join notifications as n on n.id = new.notification_id
         on conflict (id) do update set
             state = 'pending', date = excluded.date, expires_at = excluded.expires_at, outcome_at = null, reason = excluded.reason,
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

async fn note_edition(connection: &mut PgConnection, notifications: &[Uuid], edition: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("update notifications set time_zone_database = $2 where id = any($1)", notifications, edition)
        .execute(connection)
        .await?;
    Ok(())
}

impl Store {
    /// Which of some late claims a later occurrence of the same series has overtaken: that one is sent in their place.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn overtaken(&self, claims: &[&Claimed]) -> Result<HashSet<Uuid>, StoreError> {
        let ids: Vec<Uuid> = claims.iter().map(|it| it.notification_id).collect();
        let series = read(&self.pool, &ids).await?;
        let overtaken = claims.iter().filter(|it| {
            let series = series.get(&it.notification_id);
            series.is_some_and(|series| series.has_overtaken(it.due_at))
        });
        Ok(overtaken.map(|it| it.id).collect())
    }
}
