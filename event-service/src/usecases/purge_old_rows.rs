//! Purge of rows older than the retention: the catalogue by whole partitions, the others in chunks,
//! each a short transaction.
//!
//! One replica purges at a time: each chunk tries an advisory lock of its own transaction, and a
//! replica that does not get it leaves the rest to the other one.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::store::{
    partitions,
    purge::{self, TombstonePosition},
};

/// Largest number of rows of one table that one transaction deletes.
pub const CHUNK: i64 = 1_000;
/// Number of tombstones that one transaction reads.
const TOMBSTONES: i64 = 200;
/// Number of notifications that one run reads by their ids, for those that lost their last
/// occurrence otherwise.
const MAX_WALKED: i64 = 20_000;

/// Counts of purged rows.
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
    fn add(&mut self, other: Self) {
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
    /// Notifications that were deleted, with the rest of their occurrences, after a position.
    Tombstones(Option<TombstonePosition>),
    /// Notifications that have no occurrence for another reason, after an id.
    Notifications {
        /// Id of the last one read.
        after: Uuid,
        /// Number of rows still to be read in this run.
        left: i64,
    },
}

/// Result of one chunk: its counts, and the position of the next one.
type Step = (Purged, Option<Kind>);

impl Kind {
    /// All of them. The walk over notifications continues where the last run's ended.
    #[must_use]
    pub const fn all(resume_after: Uuid) -> [Self; 5] {
        let walk = Self::Notifications { after: resume_after, left: MAX_WALKED };
        [Self::Partitions, Self::StrayEvents, Self::Occurrences, Self::Tombstones(None), walk]
    }
}

/// Purges all rows from before a time; returns `true` if all of it succeeded. `resume_after` is the
/// notification after which the walk over notifications continues.
pub async fn purge_old_rows(pool: &PgPool, before: DateTime<Utc>, resume_after: &mut Uuid) -> bool {
    let (mut total, mut is_done) = (Purged::default(), true);
    for kind in Kind::all(*resume_after) {
        if let Err(error) = purge_kind(pool, kind, before, &mut total, resume_after).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                kind = ?kind,
                "purge of rows beyond their retention is incomplete, will retry"
            );
            is_done = false;
        }
    }
    metrics::counter!("reminders_catalogue_partitions_dropped_total")
        .increment(total.partitions.unsigned_abs().into());
    tracing::info!(
        partitions = total.partitions,
        events = total.stray_events,
        occurrences = total.occurrences,
        notifications = total.notifications,
        "rows beyond their retention were purged"
    );
    is_done
}

/// Purges one kind, chunk after chunk.
///
/// # Errors
/// If a statement fails; chunks before it stay purged.
pub async fn purge_kind(
    pool: &PgPool,
    kind: Kind,
    before: DateTime<Utc>,
    total: &mut Purged,
    resume_after: &mut Uuid,
) -> Result<(), sqlx::Error> {
    let mut next = Some(kind);
    while let Some(kind) = next {
        let (purged, following) = purge_chunk(pool, kind, before).await?;
        total.add(purged);
        next = match following {
            Some(Kind::Notifications { after, left: 0 }) => {
                *resume_after = after;
                None
            }
            following => following,
        };
    }
    Ok(())
}

/// Purges one chunk of the rows from before a time; returns the position of the next chunk, or
/// `None` after the last, and if another replica purges.
///
/// # Errors
/// If a statement fails; chunks before it stay purged.
pub async fn purge_chunk(
    pool: &PgPool,
    kind: Kind,
    before: DateTime<Utc>,
) -> Result<Step, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    if !purge::try_lock(&mut transaction).await? {
        return Ok((Purged::default(), None));
    }
    let step = match kind {
        Kind::Partitions => drop_partitions(&mut transaction, before).await?,
        Kind::StrayEvents => delete_stray_events(&mut transaction, before).await?,
        Kind::Occurrences => delete_occurrences(&mut transaction, before).await?,
        Kind::Tombstones(after) => delete_tombstones(&mut transaction, before, after).await?,
        Kind::Notifications { after, left } => walk(&mut transaction, before, after, left).await?,
    };
    transaction.commit().await?;
    Ok(step)
}

async fn drop_partitions(
    connection: &mut PgConnection,
    before: DateTime<Utc>,
) -> Result<Step, sqlx::Error> {
    partitions::limit_lock_wait(connection).await?;
    let partitions = partitions::drop_before(connection, before).await?;
    Ok((Purged { partitions, ..Purged::default() }, None))
}

async fn delete_stray_events(
    connection: &mut PgConnection,
    before: DateTime<Utc>,
) -> Result<Step, sqlx::Error> {
    let stray_events = purge::delete_stray_events(connection, before, CHUNK).await?;
    let next = (stray_events as i64 == CHUNK).then_some(Kind::StrayEvents);
    Ok((Purged { stray_events, ..Purged::default() }, next))
}

async fn delete_occurrences(
    connection: &mut PgConnection,
    before: DateTime<Utc>,
) -> Result<Step, sqlx::Error> {
    let notifications = purge::delete_occurrences(connection, before, CHUNK).await?;
    let occurrences = notifications.len() as u64;
    let notifications =
        purge::delete_without_occurrences(connection, &notifications, before).await?;
    let next = (occurrences as i64 == CHUNK).then_some(Kind::Occurrences);
    Ok((Purged { occurrences, notifications, ..Purged::default() }, next))
}

/// Deletes tombstones with the occurrences that were cancelled before their time, however far ahead
/// that is.
async fn delete_tombstones(
    connection: &mut PgConnection,
    before: DateTime<Utc>,
    after: Option<TombstonePosition>,
) -> Result<Step, sqlx::Error> {
    let tombstones = purge::lock_tombstones(connection, before, after, TOMBSTONES).await?;
    let ids: Vec<Uuid> = tombstones.iter().map(|(_, id)| *id).collect();
    let occurrences = purge::delete_occurrences_of(connection, &ids, before, CHUNK).await?;
    let notifications = purge::delete_without_occurrences(connection, &ids, before).await?;
    let purged = Purged { occurrences, notifications, ..Purged::default() };
    let next = if occurrences as i64 == CHUNK {
        Some(Kind::Tombstones(after))
    } else {
        let is_full = tombstones.len() as i64 == TOMBSTONES;
        tombstones.last().filter(|_| is_full).map(|last| Kind::Tombstones(Some(*last)))
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
    let ids = purge::notifications_after(connection, after, limit).await?;
    let notifications = purge::delete_without_occurrences(connection, &ids, before).await?;
    let purged = Purged { notifications, ..Purged::default() };
    let is_full = ids.len() as i64 == limit;
    // After the last one the next walk starts from the beginning.
    let after = ids.last().filter(|_| is_full).copied().unwrap_or_else(Uuid::nil);
    let left = if is_full { left - limit } else { 0 };
    Ok((purged, Some(Kind::Notifications { after, left })))
}
