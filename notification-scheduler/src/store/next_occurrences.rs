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
use recurrence::{Delivery, Timetable, time_zone_database};
use shared::{
    contract::{self, Reason, occurrence_id},
    db::StoredTime,
};
use sqlx::{PgConnection, PgExecutor, PgPool};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::{Claimed, Gone, Store, StoreError};

/// Largest number of occurrences created at once of a series that fell behind; the rest follow with
/// the next release.
const MOST_OF_ONE: usize = 500;
/// Largest number of occurrences created at once of all series of a batch, if each has at least
/// one.
const MOST_AT_ONCE: usize = 5_000;
/// Number of claims up to which rules are evaluated on the current thread; more are evaluated on a
/// blocking thread.
const FEW: usize = 20;
const ACTION: &str = "go on with a series";

/// A recurring notification.
struct Series {
    version: i64,
    source: String,
    item_id: String,
    timetable: Timetable,
    lifetime: TimeDelta,
    acknowledged: Option<DateTime<Utc>>,
    /// Time at which its newest version was made: earlier occurrences are not created by it.
    changed_at: DateTime<Utc>,
    time_zone_database: Option<String>,
    now: DateTime<Utc>,
}

impl Series {
    /// Returns up to `most` deliveries after the first of some times, other than those: the ones
    /// that are due already, and the first that lies ahead. One walk, however many times have
    /// passed.
    fn following(&self, gone: &BTreeSet<DateTime<Utc>>, most: usize) -> Vec<Delivery> {
        let Some(first) = gone.first() else { return Vec::new() };
        let mut is_enough = false;
        let deliveries =
            self.timetable.unacknowledged_after((*first).max(self.changed_at), self.acknowledged);
        let deliveries = deliveries.filter(|delivery| !gone.contains(&delivery.at));
        deliveries
            .take_while(|delivery| !std::mem::replace(&mut is_enough, delivery.at > self.now))
            .take(most)
            .collect()
    }

    /// Returns `true` if an occurrence is superseded: its time is one of the series, and a later
    /// time of the series is due as well.
    fn has_overtaken(&self, due: DateTime<Utc>) -> bool {
        self.timetable.delivery_at(due).is_some()
            && self.timetable.after(due).next().is_some_and(|next| next.at <= self.now)
    }

    fn next(&self, gone: &BTreeSet<DateTime<Utc>>, most: usize, edition: &str) -> Next {
        let other = self.time_zone_database.as_deref().filter(|known| *known != edition);
        let reason = other.map(|_| Reason::TimeZoneDataChanged);
        let rows = self.following(gone, most).into_iter().map(|delivery| NewRow {
            id: occurrence_id(&self.source, &self.item_id, delivery.at),
            delivery,
            expires_at: delivery.at + self.lifetime,
        });
        Next { version: self.version, rows: rows.collect(), reason }
    }
}

/// Next occurrences of series, by notification.
#[derive(Default)]
pub(super) struct Following {
    next: HashMap<Uuid, Next>,
    /// Versions of notifications whose rules this binary cannot read.
    unreadable: HashMap<Uuid, i64>,
}

impl Following {
    /// Returns `true` if an occurrence must stay pending because this binary cannot read its
    /// recurrence rule.
    pub(super) fn holds_back(&self, claimed: &Claimed) -> bool {
        self.unreadable.contains_key(&claimed.notification_id)
    }
}

/// Next occurrences of one series, computed from one version of it.
pub(super) struct Next {
    version: i64,
    rows: Vec<NewRow>,
    /// Reason of the rows, if different time zone data may have moved them.
    reason: Option<Reason>,
}

/// An occurrence to create.
struct NewRow {
    id: Uuid,
    delivery: Delivery,
    expires_at: DateTime<Utc>,
}

/// Computes the occurrences that follow some claims, before the transaction in which they are
/// marked.
pub(super) async fn prepare(pool: &PgPool, claims: &[&Claimed]) -> Result<Following, StoreError> {
    if claims.is_empty() {
        return Ok(Following::default());
    }
    let gone: Vec<Gone> =
        claims.iter().map(|claimed| (claimed.notification_id, claimed.due_at)).collect();
    let ids: Vec<Uuid> = gone.iter().map(|(id, _)| *id).collect();
    let rows = read(pool, &ids).await?;
    off_thread(gone.len(), move || follow(rows, &gone)).await
}

/// Computes the occurrences that follow the times which are no longer pending.
fn follow(rows: Vec<Row>, gone: &[Gone]) -> Following {
    let Read { series, unreadable } = Read::of(rows);
    if !unreadable.is_empty() {
        metrics::counter!("reminders_scheduler_series_invalid_total")
            .increment(unreadable.len() as u64);
    }
    let mut times: HashMap<Uuid, BTreeSet<DateTime<Utc>>> = HashMap::new();
    for (id, due) in gone {
        times.entry(*id).or_default().insert(*due);
    }
    let edition = time_zone_database();
    let most = (MOST_AT_ONCE / series.len().max(1)).clamp(1, MOST_OF_ONE);
    let next = series
        .into_iter()
        .filter_map(|(id, series)| Some((id, series.next(times.get(&id)?, most, &edition))));
    Following { next: next.collect(), unreadable }
}

async fn off_thread<T: Send + 'static>(
    claims: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    if claims <= FEW {
        Ok(work())
    } else {
        spawn_blocking(work).await.map_err(StoreError::of(ACTION))
    }
}

/// Locks the recurring notifications of some claims, in the order of their ids, and computes anew
/// the occurrences of those that have changed since.
pub(super) async fn lock(
    connection: &mut PgConnection,
    claims: &[&Claimed],
    mut prepared: Following,
) -> Result<Following, StoreError> {
    if claims.is_empty() {
        return Ok(prepared);
    }
    let ids: Vec<Uuid> = claims.iter().map(|claimed| claimed.notification_id).collect();
    let locked = sqlx::query!(
        r#"select id, version, state = 'active' and recurrence is not null as "goes_on!" from notifications where id = any($1) order by id for update"#,
        &ids
    )
    .fetch_all(&mut *connection)
    .await
    .map_err(StoreError::of(ACTION))?;
    let goes_on: HashMap<Uuid, i64> =
        locked.into_iter().filter(|row| row.goes_on).map(|row| (row.id, row.version)).collect();
    prepared.next.retain(|id, next| goes_on.get(id) == Some(&next.version));
    prepared.unreadable.retain(|id, version| goes_on.get(id) == Some(version));
    let is_known =
        |id: &Uuid| prepared.next.contains_key(id) || prepared.unreadable.contains_key(id);
    let changed: Vec<Uuid> = goes_on.into_keys().filter(|id| !is_known(id)).collect();
    if !changed.is_empty() {
        let gone: Vec<Gone> =
            claims.iter().map(|claimed| (claimed.notification_id, claimed.due_at)).collect();
        let Following { next, unreadable } = follow(read(connection, &changed).await?, &gone);
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
        r#"select id, version, source, item_id, date as "date!: StoredTime", notify_offsets as "notify_offsets!: Vec<Option<i32>>",
               recurrence as "recurrence!", content as "content!", acknowledged as "acknowledged: StoredTime",
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
struct Read {
    series: HashMap<Uuid, Series>,
    /// Versions of rows that this binary cannot read.
    unreadable: HashMap<Uuid, i64>,
}

impl Read {
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
        let timetable = contract::stored_timetable(date, offsets, Some(&recurrence), &time_zone)?;
        Ok(Series {
            version: self.version,
            source: self.source,
            item_id: self.item_id,
            timetable,
            lifetime: TimeDelta::minutes(expires_after_minutes.into()),
            acknowledged: self.acknowledged.map(StoredTime::nearest),
            changed_at: self.occurred_at.nearest(),
            time_zone_database: self.time_zone_database,
            now: self.now,
        })
    }
}

/// Creates the occurrences that follow those which are no longer pending.
pub(super) async fn go_on(
    connection: &mut PgConnection,
    following: &Following,
    gone: &[Gone],
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
        make(connection, &rows).await.map_err(StoreError::of(ACTION))?;
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
        note_edition(connection, &moved, &edition).await.map_err(StoreError::of(ACTION))?;
    }
    Ok(())
}

/// Rows to create by their ids, each with its notification and its reason.
type NewRows<'a> = BTreeMap<Uuid, (Uuid, &'a NewRow, Option<Reason>)>;

async fn make(connection: &mut PgConnection, rows: &NewRows<'_>) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = rows.keys().copied().collect();
    let notifications: Vec<Uuid> = rows.values().map(|(notification, ..)| *notification).collect();
    let due: Vec<DateTime<Utc>> = rows.values().map(|(_, row, _)| row.delivery.at).collect();
    let dates: Vec<DateTime<Utc>> = rows.values().map(|(_, row, _)| row.delivery.date).collect();
    let expiries: Vec<DateTime<Utc>> = rows.values().map(|(_, row, _)| row.expires_at).collect();
    let reasons: Vec<Option<&str>> =
        rows.values().map(|(_, _, reason)| reason.map(Reason::as_str)).collect();
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

async fn note_edition(
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
    pub async fn overtaken(&self, claims: &[&Claimed]) -> Result<HashSet<Uuid>, StoreError> {
        let ids: Vec<Uuid> = claims.iter().map(|claimed| claimed.notification_id).collect();
        let rows = read(&self.pool, &ids).await?;
        let due: Vec<_> = claims
            .iter()
            .map(|claimed| (claimed.id, claimed.notification_id, claimed.due_at))
            .collect();
        let overtaken = off_thread(due.len(), move || {
            let Read { series, .. } = Read::of(rows);
            let has_overtaken =
                |id, due| series.get(id).is_some_and(|series: &Series| series.has_overtaken(due));
            let overtaken =
                due.iter().filter(|(_, notification, due)| has_overtaken(notification, *due));
            overtaken.map(|(id, ..)| *id).collect()
        });
        overtaken.await
    }
}

#[cfg(test)]
mod tests {
    use recurrence::{Fold, Gap, Rule, Zone};

    use super::*;

    fn minutely(now_minutes: i64) -> Series {
        let rule =
            Rule { rrule: "FREQ=MINUTELY", exdates: &[], gap: Gap::Shift, fold: Fold::First };
        let zone = Zone::parse("UTC").expect("a zone");
        let series = recurrence::Series::new(DateTime::UNIX_EPOCH, zone, rule).expect("a rule");
        Series {
            version: 1,
            source: "reminder".to_owned(),
            item_id: "item-1".to_owned(),
            timetable: Timetable::recurring(series, vec![0]),
            lifetime: TimeDelta::minutes(10),
            acknowledged: None,
            changed_at: DateTime::UNIX_EPOCH,
            time_zone_database: None,
            now: minute(now_minutes) + TimeDelta::seconds(30),
        }
    }

    fn minute(number: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(number)
    }

    fn minutes(deliveries: &[Delivery]) -> Vec<i64> {
        deliveries
            .iter()
            .map(|delivery| (delivery.at - DateTime::UNIX_EPOCH).num_minutes())
            .collect()
    }

    #[test]
    fn walks_once_over_what_several_claims_missed() {
        let gone: BTreeSet<_> = (10..13).map(minute).collect();
        assert_eq!(minutes(&minutely(15).following(&gone, 500)), [13, 14, 15, 16]);
        assert_eq!(minutes(&minutely(12).following(&gone, 500)), [13]);
    }

    #[test]
    fn makes_no_more_at_once_than_its_share() {
        let gone = BTreeSet::from([minute(10)]);
        assert_eq!(minutes(&minutely(900).following(&gone, 3)), [11, 12, 13]);
    }
}
