//! Deletes rows older than the retention: the catalogue by whole partitions, the rest in chunks,
//! each a short transaction that reads no further than the rows it deletes.
//!
//! One replica purges at a time: every chunk tries an advisory lock of its own transaction, and
//! whoever does not get it leaves the rest to the other one.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Postgres, Transaction};
use uuid::Uuid;

use super::Store;

/// Rows of one kind that one transaction deletes at most.
pub const CHUNK: i64 = 1_000;
/// Tombstones that one transaction looks at.
const TOMBSTONES: i64 = 200;
/// Notifications that one run looks at by their ids, for those that lost their last occurrence
/// otherwise.
const MAX_WALKED: i64 = 20_000;
/// Advisory lock of a purge.
const LOCK: i64 = 0x7265_7465_6e74_696f;

/// Counts of what was purged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// Partitions of the catalogue: a week of events each.
    pub partitions: i32,
    /// Events that lay outside any week's partition.
    pub stray_events: u64,
    /// Occurrences that had ended.
    pub occurrences: u64,
    /// Notifications that have no occurrence any more.
    pub notifications: u64,
}

impl Purged {
    /// Adds the counts of another purge.
    pub fn add(&mut self, other: Self) {
        self.partitions += other.partitions;
        self.stray_events += other.stray_events;
        self.occurrences += other.occurrences;
        self.notifications += other.notifications;
    }
}

/// Kinds of rows that are purged, in turn; a failure of one kind does not stop the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Partitions of the catalogue.
    Partitions,
    /// Events outside of the partitions.
    StrayEvents,
    /// Occurrences that have ended, and notifications that lose their last one with them.
    Occurrences,
    /// Notifications that were deleted, with what is left of them.
    Tombstones(Option<(DateTime<Utc>, Uuid)>),
    /// Notifications that have no occurrence for another reason, from an id on.
    Notifications {
        /// The last one looked at.
        after: Uuid,
        /// Number of rows still to be looked at in this run.
        left: i64,
    },
}

/// Result of one chunk: what it purged, and where the next one goes on.
type Step = (Purged, Option<Kind>);

impl Kind {
    /// All of them. The walk over notifications goes on where the last run's ended.
    #[must_use]
    pub const fn all(resume_after: Uuid) -> [Self; 5] {
        let walk = Self::Notifications { after: resume_after, left: MAX_WALKED };
        [Self::Partitions, Self::StrayEvents, Self::Occurrences, Self::Tombstones(None), walk]
    }
}

impl Store {
    /// Purges one chunk of what is from before a time; returns where the next chunk goes on, or
    /// `None` after the last, and when another replica purges.
    ///
    /// # Errors
    /// When a statement fails; chunks before it stay purged.
    pub async fn purge_chunk(
        &self,
        kind: Kind,
        before: DateTime<Utc>,
    ) -> Result<Step, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let is_alone =
            sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock($1) as "locked!""#, LOCK)
                .fetch_one(&mut *transaction)
                .await?;
        if !is_alone {
            return Ok((Purged::default(), None));
        }
        let step = match kind {
            Kind::Partitions => drop_partitions(&mut transaction, before).await?,
            Kind::StrayEvents => delete_strays(&mut transaction, before).await?,
            Kind::Occurrences => delete_occurrences(&mut transaction, before).await?,
            Kind::Tombstones(after) => delete_tombstones(&mut transaction, before, after).await?,
            Kind::Notifications { after, left } => {
                walk(&mut transaction, before, after, left).await?
            }
        };
        transaction.commit().await?;
        Ok(step)
    }

    /// The database's time.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn now(&self) -> Result<DateTime<Utc>, sqlx::Error> {
        sqlx::query_scalar!(r#"select now() as "now!""#).fetch_one(&self.pool).await
    }
}

async fn drop_partitions(
    transaction: &mut Transaction<'_, Postgres>,
    before: DateTime<Utc>,
) -> Result<Step, sqlx::Error> {
    sqlx::query!("set local lock_timeout = '500ms'").execute(&mut **transaction).await?;
    let partitions =
        sqlx::query_scalar!(r#"select drop_events_partitions($1) as "dropped!""#, before)
            .fetch_one(&mut **transaction)
            .await?;
    Ok((Purged { partitions, ..Purged::default() }, None))
}

async fn delete_strays(
    connection: &mut PgConnection,
    before: DateTime<Utc>,
) -> Result<Step, sqlx::Error> {
    let strays = sqlx::query!(
        "delete from events_default where ctid = any(array(
             select ctid from events_default where occurred_at < $1 order by occurred_at
                 limit $2))",
        before,
        CHUNK,
    );
    let stray_events = strays.execute(connection).await?.rows_affected();
    let next = (stray_events as i64 == CHUNK).then_some(Kind::StrayEvents);
    Ok((Purged { stray_events, ..Purged::default() }, next))
}

/// One that was released and not heard of again is kept until its expiry is as long ago: until then
/// an outcome may come.
async fn delete_occurrences(
    connection: &mut PgConnection,
    before: DateTime<Utc>,
) -> Result<Step, sqlx::Error> {
    let notifications: Vec<Uuid> = sqlx::query_scalar!(
        "delete from occurrences where id = any(array(
             select id from occurrences
             where not pending and due_at < $1
               and (state <> 'released' or coalesce(expires_at, due_at) < $1)
             order by due_at limit $2
             for update skip locked))
         returning notification_id",
        before,
        CHUNK,
    )
    .fetch_all(&mut *connection)
    .await?;
    let occurrences = notifications.len() as u64;
    let notifications = delete_without_occurrences(connection, &notifications, before).await?;
    let next = (occurrences as i64 == CHUNK).then_some(Kind::Occurrences);
    Ok((Purged { occurrences, notifications, ..Purged::default() }, next))
}

/// Deletes those of some notifications that have no occurrence and were not changed since. One that
/// is being changed is waited for, and then has changed.
async fn delete_without_occurrences(
    connection: &mut PgConnection,
    ids: &[Uuid],
    before: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from notifications
         where id = any($1) and updated_at < $2
           and not exists (select from occurrences where notification_id = notifications.id)",
        ids,
        before,
    );
    Ok(deleted.execute(connection).await?.rows_affected())
}

/// Deletes tombstones with everything that was cancelled before its time, however far ahead that
/// is.
async fn delete_tombstones(
    connection: &mut PgConnection,
    before: DateTime<Utc>,
    after: Option<(DateTime<Utc>, Uuid)>,
) -> Result<Step, sqlx::Error> {
    let rows = sqlx::query!(
        "select id, updated_at from notifications
         where state = 'deleted' and updated_at < $1
           and ($2::timestamptz is null or (updated_at, id) > ($2, $3::uuid))
         order by updated_at, id limit $4
         for update skip locked",
        before,
        after.map(|(at, _)| at),
        after.map(|(_, id)| id),
        TOMBSTONES,
    )
    .fetch_all(&mut *connection)
    .await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let occurrences = sqlx::query!(
        "delete from occurrences where id = any(array(
             select id from occurrences
             where notification_id = any($1) and not pending
               and (state <> 'released' or coalesce(expires_at, due_at) < $2)
             order by id limit $3
             for update skip locked))",
        &ids,
        before,
        CHUNK,
    );
    let occurrences = occurrences.execute(&mut *connection).await?.rows_affected();
    let notifications = delete_without_occurrences(connection, &ids, before).await?;
    let purged = Purged { occurrences, notifications, ..Purged::default() };
    let next = if occurrences as i64 == CHUNK {
        Some(Kind::Tombstones(after))
    } else {
        let is_full = rows.len() as i64 == TOMBSTONES;
        rows.last()
            .filter(|_| is_full)
            .map(|last| Kind::Tombstones(Some((last.updated_at, last.id))))
    };
    Ok((purged, next))
}

async fn walk(
    connection: &mut PgConnection,
    before: DateTime<Utc>,
    after: Uuid,
    left: i64,
) -> Result<Step, sqlx::Error> {
    let limit = CHUNK.min(left);
    let ids: Vec<Uuid> = sqlx::query_scalar!(
        "select id from notifications where id > $1 order by id limit $2",
        after,
        limit
    )
    .fetch_all(&mut *connection)
    .await?;
    let notifications = delete_without_occurrences(connection, &ids, before).await?;
    let purged = Purged { notifications, ..Purged::default() };
    let is_full = ids.len() as i64 == limit;
    // After the last one a walk begins anew.
    let after = ids.last().filter(|_| is_full).copied().unwrap_or_else(Uuid::nil);
    let left = if is_full { left - limit } else { 0 };
    Ok((purged, Some(Kind::Notifications { after, left })))
}
