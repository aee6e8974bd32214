//! All SQL of the scheduler, on tables that event-service owns.
//!
//! Every comparison with the present is the database's: clocks of other machines decide nothing.

mod claim;
mod commands;
mod quarantine;

use std::time::Duration;

use chrono::{DateTime, Utc};
use contract::{ItemId, NotifyContent, Reason, Traceparent};
use db::{StoredTime, interval};
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use crate::{domain::user_key::UserKey, usecases::compute_next_occurrences as next_occurrences};

pub use claim::Batch;

/// Planner settings of the scheduler's sessions: by the index of due occurrences and by keys,
/// whatever the statistics say of a table that was just filled.
pub const SESSION: &[(&str, &str)] = &[
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_sort", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

/// Error of a statement.
#[derive(Debug, thiserror::Error)]
#[error("{action}")]
pub struct StoreError {
    /// Description of the attempted action.
    action: &'static str,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl StoreError {
    pub(crate) fn of<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        action: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self { action, source: source.into() }
    }
}

/// An occurrence under a lease.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// Id of the occurrence.
    pub id: Uuid,
    /// Fence token: distinguishes this lease from the next one.
    pub fence: i32,
    /// Time at which the occurrence is due.
    pub due_at: DateTime<Utc>,
    /// Date of the instance.
    pub date: DateTime<Utc>,
    /// Time after which the occurrence is not sent.
    pub expires_at: DateTime<Utc>,
    /// `true` if the occurrence had expired when it was claimed.
    pub expired: bool,
    /// `true` if an outcome has arrived: the occurrence was published by a scheduler that died
    /// before it could mark it.
    pub was_published: bool,
    /// Notification that the occurrence belongs to.
    pub notification_id: Uuid,
    /// Key of the user in the claim index.
    pub user_key: UserKey,
    /// `true` if the notification recurs: the next occurrence is created when this one is released.
    pub recurs: bool,
    /// Seconds between the due time and the claim.
    pub lateness: f64,
    /// Time at which its content was known to be up to date: the time of the claim; after an
    /// outage, when changes may be in transit, its due time.
    pub as_of: DateTime<Utc>,
    /// Source: `reminder` or `notification`.
    pub source: String,
    /// Item that the occurrence belongs to.
    pub item_id: ItemId,
    /// User who is notified.
    pub user_id: String,
    /// E-mail address of the user.
    pub user_email: Option<String>,
    /// Version of the item.
    pub version: i64,
    /// Time at which that version was made.
    pub item_changed_at: DateTime<Utc>,
    /// Content.
    pub content: NotifyContent,
    /// Trace that the occurrence belongs to.
    pub traceparent: Option<Traceparent>,
}

/// Status of a publish whose occurrence's lease is returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishStatus {
    /// Not published under this lease.
    NotPublished,
    /// A publish was begun, and its result is not known.
    Unknown,
}

/// Time of the next claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextDue {
    /// The database's time.
    pub now: DateTime<Utc>,
    /// Due time of the first pending occurrence without a lease.
    pub due_at: Option<DateTime<Utc>>,
}

/// Result of marking occurrences as released.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marked {
    /// Marked as released.
    pub released: u64,
    /// Refused: another scheduler has claimed them since.
    pub stale: u64,
    /// No longer pending: their outcome arrived before the mark and they do not recur, or they were
    /// cancelled meanwhile.
    pub settled: u64,
    /// Still pending, because this binary cannot read their recurrence rule.
    pub kept_pending: u64,
}

/// Occurrences and their leases.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) pool: PgPool,
    lease: Duration,
}

impl Store {
    /// Creates a store with leases of this duration.
    #[must_use]
    pub fn new(pool: PgPool, lease: Duration) -> Self {
        Self { pool, lease }
    }

    /// Returns `true` if event-service's tables exist.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn has_tables(&self) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar!(
            r#"select bool_and(to_regclass(name) is not null) as "there!"
                from unnest(array['occurrences', 'notifications', 'events', 'outbox',
                'releases']) as name"#
        )
        .fetch_one(&self.pool)
        .await
    }

    /// Returns the due time of the next occurrence without a lease, and the database's time.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn next(&self, not_before: Option<DateTime<Utc>>) -> Result<NextDue, StoreError> {
        let row = sqlx::query!(
            r#"select now() as "now!", (
                   select due_at from occurrences
                   where pending and due_at >= coalesce($1::timestamptz, '-infinity')
                       and lease_until <= now()
                   order by due_at limit 1
               ) as "due_at: StoredTime""#,
            not_before,
        )
        .fetch_one(&self.pool)
        .await
        .map_err(StoreError::of("ask what is due next"))?;
        Ok(NextDue { now: row.now, due_at: row.due_at.map(StoredTime::nearest) })
    }

    /// Marks published occurrences as released, if their lease is still the one under which they
    /// were published. The next occurrence of a recurring notification is created in the same
    /// transaction. An occurrence whose recurrence rule cannot be read stays pending, as published.
    ///
    /// # Errors
    /// When a statement fails; nothing is marked then, or nothing but what can be marked.
    pub async fn mark_released(&self, claims: &[Claimed]) -> Result<Marked, StoreError> {
        let action = "mark what was released";
        let recurring: Vec<&Claimed> = claims.iter().filter(|claimed| claimed.recurs).collect();
        if recurring.is_empty() {
            let (ids, fences) = sorted_keys(claims);
            let released =
                mark(&self.pool, &ids, &fences).await.map_err(StoreError::of(action))?.len();
            return self.marked(&ids, &fences, released, 0).await;
        }
        let prepared = next_occurrences::prepare(&self.pool, &recurring).await?;
        let mut transaction = self.pool.begin().await.map_err(StoreError::of(action))?;
        // Before the occurrences, as event-service locks them.
        let series = next_occurrences::lock(&mut transaction, &recurring, prepared).await?;
        let (staying_pending, others): (Vec<&Claimed>, Vec<&Claimed>) =
            claims.iter().partition(|claimed| claimed.recurs && series.must_stay_pending(claimed));
        let (ids, fences) = sorted_keys(others);
        let released =
            mark(&mut *transaction, &ids, &fences).await.map_err(StoreError::of(action))?;
        next_occurrences::insert_following(&mut transaction, &series, &released).await?;
        transaction.commit().await.map_err(StoreError::of(action))?;
        self.keep_pending(&staying_pending, PublishStatus::Unknown).await?;
        self.marked(&ids, &fences, released.len(), staying_pending.len()).await
    }

    async fn marked(
        &self,
        ids: &[Uuid],
        fences: &[i32],
        released: usize,
        kept_pending: usize,
    ) -> Result<Marked, StoreError> {
        let others = (ids.len() - released) as u64;
        let stale = if others == 0 { 0 } else { self.stale(ids, fences).await? };
        let (released, kept_pending) = (released as u64, kept_pending as u64);
        Ok(Marked { released, stale, settled: others.saturating_sub(stale), kept_pending })
    }

    async fn stale(&self, ids: &[Uuid], fences: &[i32]) -> Result<u64, StoreError> {
        let stale = sqlx::query_scalar!(
            r#"select count(*) as "count!" from unnest($1::uuid[], $2::int[]) as claim (id, fence)
               join occurrences on occurrences.id = claim.id
                   where occurrences.fence <> claim.fence"#,
            ids,
            fences,
        )
        .fetch_one(&self.pool)
        .await
        .map_err(StoreError::of("count stale leases"))?;
        Ok(stale.unsigned_abs())
    }

    /// Returns leases, so that any scheduler may claim the occurrences again at once. Occurrences
    /// that the topic may have accepted, under this lease or an earlier one, stay recognisable as
    /// leased: a command for an edit or a deletion still follows them.
    ///
    /// # Errors
    /// When the statement fails; the leases then run out by themselves.
    pub async fn return_leases(
        &self,
        claims: &[(Uuid, i32)],
        status: PublishStatus,
    ) -> Result<(), StoreError> {
        let (ids, fences): (Vec<Uuid>, Vec<i32>) = claims.iter().copied().unzip();
        sqlx::query!(
            "update occurrences set lease_until = case when $3 or occurrences.fence > 1 then now()
                else '-infinity' end
             from unnest($1::uuid[], $2::int[]) as claim (id, fence)
             where occurrences.id = claim.id and occurrences.fence = claim.fence and pending",
            &ids,
            &fences,
            status == PublishStatus::Unknown,
        )
        .execute(&self.pool)
        .await
        .map_err(StoreError::of("give leases back"))?;
        Ok(())
    }
}

/// Returns the ids and fences of claims in the order in which event-service locks them, so that no
/// deadlock arises.
fn sorted_keys<'a>(claims: impl IntoIterator<Item = &'a Claimed>) -> (Vec<Uuid>, Vec<i32>) {
    let mut keys: Vec<(Uuid, i32)> =
        claims.into_iter().map(|claimed| (claimed.id, claimed.fence)).collect();
    keys.sort_unstable();
    keys.into_iter().unzip()
}

/// An occurrence that is no longer pending: its notification and its due time.
pub(crate) type NoLongerPending = (Uuid, DateTime<Utc>);

async fn mark(
    executor: impl PgExecutor<'_>,
    ids: &[Uuid],
    fences: &[i32],
) -> Result<Vec<NoLongerPending>, sqlx::Error> {
    let rows = sqlx::query!(
        // What has no outcome yet is noted for event-service's watchdog, in the same statement.
        r#"with marked as (
             update occurrences set
                 state = occurrence_state_of(sent, failed, suppressed, deliveries),
                     released_at = coalesce(released_at, now()),
                 reason = nullif(reason, $3)
             from unnest($1::uuid[], $2::int[]) as claim (id, fence)
             where occurrences.id = claim.id and occurrences.fence = claim.fence and pending
             returning occurrences.id, notification_id, due_at, state
         ), noted as (
             insert into releases (occurrences) select array_agg(id) from marked
                 where state = 'released' having count(*) > 0
         )
         select notification_id as "notification_id!", due_at as "due_at!" from marked"#,
        ids,
        fences,
        Reason::Unreadable.as_str(),
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| (row.notification_id, row.due_at)).collect())
}
