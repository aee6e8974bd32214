//! All SQL of the scheduler, on tables that event-service owns.
//!
//! Every comparison with the present is the database's: clocks of other machines decide nothing.

mod commands;
mod ending;
mod series;

use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::{
    contract::{ItemId, NotifyContent},
    telemetry::Traceparent,
};
use sqlx::{PgExecutor, PgPool, postgres::types::PgInterval, types::Json};
use tokio::time::Instant;
use uuid::Uuid;

/// How its sessions plan: by the index of what is due and by keys, whatever the statistics say of a table that was just filled.
pub const SESSION: &[(&str, &str)] = &[
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_sort", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

/// Why a statement failed.
#[derive(Debug, thiserror::Error)]
#[error("{action}")]
pub struct StoreError {
    /// What was attempted.
    action: &'static str,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl StoreError {
    fn of<E: Into<Box<dyn std::error::Error + Send + Sync>>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self { action, source: source.into() }
    }
}

/// An occurrence under a lease.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// Its id.
    pub id: Uuid,
    /// Tells this lease from the next one.
    pub fence: i32,
    /// The time of delivery.
    pub due_at: DateTime<Utc>,
    /// What it reminds of.
    pub date: DateTime<Utc>,
    /// After this it is not sent.
    pub expires_at: DateTime<Utc>,
    /// Whether it had expired when it was claimed.
    pub expired: bool,
    /// Whether it was published before, by a scheduler that did not live to mark it: an outcome has come.
    pub told: bool,
    /// The notification it is of.
    pub notification_id: Uuid,
    /// Whether its notification recurs: the next occurrence is made when this one is released.
    pub recurs: bool,
    /// Seconds between its time and the claim.
    pub lateness: f64,
    /// Who asked for it.
    pub source: String,
    /// The item it is of.
    pub item_id: ItemId,
    /// Whom it is for.
    pub user_id: String,
    /// Where their e-mail goes.
    pub user_email: Option<String>,
    /// The item's version.
    pub version: i64,
    /// What it says and how.
    pub content: NotifyContent,
    /// The trace it belongs to.
    pub traceparent: Option<Traceparent>,
}

/// Occurrences claimed together.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Before the claim was sent, by the monotonic clock: the lease runs out no sooner than its length after this.
    pub claimed_at: Instant,
    /// In the order of their times.
    pub claimed: Vec<Claimed>,
}

/// When to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    /// The database's time.
    pub now: DateTime<Utc>,
    /// The time of the first occurrence that waits without a lease.
    pub due_at: Option<DateTime<Utc>>,
}

/// What became of marks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marked {
    /// Now released.
    pub released: u64,
    /// Refused: another scheduler has claimed them since.
    pub stale: u64,
    /// No longer pending: they do not recur and their outcome was quicker than the mark, or they were cancelled meanwhile.
    pub settled: u64,
}

/// What is due, and its leases.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
    lease: Duration,
}

fn interval(duration: Duration) -> PgInterval {
    PgInterval { months: 0, days: 0, microseconds: i64::try_from(duration.as_micros()).unwrap_or(i64::MAX) }
}

impl Store {
    /// A store whose claims are leases of that length.
    #[must_use]
    pub fn new(pool: PgPool, lease: Duration) -> Self {
        Self { pool, lease }
    }

    /// Whether event-service's tables are there.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn has_tables(&self) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar!(
            r#"select bool_and(to_regclass(name) is not null) as "there!" from unnest(array['occurrences', 'notifications', 'events', 'outbox']) as name"#
        )
        .fetch_one(&self.pool)
        .await
    }

    /// Claims up to `limit` occurrences that are due and leased to nobody, the latest ones first. `not_before` is a hint:
    /// earlier ones are passed over, and with them the index entries of what was released lately.
    ///
    /// # Errors
    /// When the statement fails; nothing is claimed then, or what is comes free when the lease runs out.
    pub async fn claim(&self, limit: i64, not_before: Option<DateTime<Utc>>) -> Result<Batch, StoreError> {
        let claimed_at = Instant::now();
        let rows = sqlx::query!(
            r#"with due as materialized (
                   select id from occurrences
                   where pending and due_at <= now() and due_at >= coalesce($3::timestamptz, '-infinity') and lease_until <= now()
                   order by due_at limit $1
                   for update skip locked
               )
               update occurrences set lease_until = now() + $2, fence = fence + 1
               from due, notifications
               where occurrences.id = due.id and notifications.id = occurrences.notification_id and notifications.state = 'active'
               returning occurrences.id, fence, due_at, occurrences.date as "date!", expires_at as "expires_at!", now() > expires_at as "expired!", released_at is not null as "told!",
                   extract(epoch from now() - due_at)::float8 as "lateness!", notification_id, recurrence is not null as "recurs!", source, item_id, user_id, user_email, version,
                   content as "content!: Json<NotifyContent>", traceparent"#,
            limit,
            interval(self.lease),
            not_before,
        )
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::of("claim what is due"))?;
        let mut claimed = Vec::with_capacity(rows.len());
        for row in rows {
            claimed.push(Claimed {
                id: row.id,
                fence: row.fence,
                due_at: row.due_at,
                date: row.date,
                expires_at: row.expires_at,
                expired: row.expired,
                told: row.told,
                notification_id: row.notification_id,
                recurs: row.recurs,
                lateness: row.lateness,
                source: row.source,
                item_id: row.item_id.parse().map_err(StoreError::of("read an item's id"))?,
                user_id: row.user_id,
                user_email: row.user_email,
                version: row.version,
                content: row.content.0,
                traceparent: row.traceparent.and_then(|text| text.parse().ok()),
            });
        }
        claimed.sort_by_key(|it| it.due_at);
        Ok(Batch { claimed_at, claimed })
    }

    /// When the next occurrence is due that nobody has leased, and the database's time.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn next(&self, not_before: Option<DateTime<Utc>>) -> Result<Next, StoreError> {
        let row = sqlx::query!(
            r#"select now() as "now!", (
                   select due_at from occurrences
                   where pending and due_at >= coalesce($1::timestamptz, '-infinity') and lease_until <= now()
                   order by due_at limit 1
               ) as due_at"#,
            not_before,
        )
        .fetch_one(&self.pool)
        .await
        .map_err(StoreError::of("ask what is due next"))?;
        Ok(Next { now: row.now, due_at: row.due_at })
    }

    /// Marks as released what was published, where the lease is still the one under which it was. Of what recurs, the next
    /// occurrence is made in the same transaction.
    ///
    /// # Errors
    /// When a statement fails; nothing is marked then.
    pub async fn mark_released(&self, claims: &[Claimed]) -> Result<Marked, StoreError> {
        let action = "mark what was released";
        // As event-service locks them: neither waits for the other in a circle.
        let mut keys: Vec<(Uuid, i32)> = claims.iter().map(|it| (it.id, it.fence)).collect();
        keys.sort_unstable();
        let (ids, fences): (Vec<Uuid>, Vec<i32>) = keys.into_iter().unzip();
        let recurring: Vec<&Claimed> = claims.iter().filter(|it| it.recurs).collect();
        let released = if recurring.is_empty() {
            mark(&self.pool, &ids, &fences).await.map_err(StoreError::of(action))?.len()
        } else {
            let mut transaction = self.pool.begin().await.map_err(StoreError::of(action))?;
            // Before the occurrences, as event-service locks them.
            let series = series::lock(&mut transaction, &recurring).await?;
            let released = mark(&mut *transaction, &ids, &fences).await.map_err(StoreError::of(action))?;
            series::go_on(&mut transaction, &series, &released).await?;
            transaction.commit().await.map_err(StoreError::of(action))?;
            released.len()
        };
        let released = released as u64;
        let others = claims.len() as u64 - released;
        let stale = if others == 0 { 0 } else { self.stale(&ids, &fences).await? };
        Ok(Marked { released, stale, settled: others.saturating_sub(stale) })
    }

    async fn stale(&self, ids: &[Uuid], fences: &[i32]) -> Result<u64, StoreError> {
        let stale = sqlx::query_scalar!(
            r#"select count(*) as "count!" from unnest($1::uuid[], $2::int[]) as claim (id, fence)
               join occurrences on occurrences.id = claim.id where occurrences.fence <> claim.fence"#,
            ids,
            fences,
        )
        .fetch_one(&self.pool)
        .await
        .map_err(StoreError::of("count stale leases"))?;
        Ok(stale.unsigned_abs())
    }

    /// Gives leases back, so that anybody may claim again at once.
    ///
    /// # Errors
    /// When the statement fails; the leases then run out by themselves.
    pub async fn give_back(&self, claims: &[(Uuid, i32)]) -> Result<(), StoreError> {
        let (ids, fences): (Vec<Uuid>, Vec<i32>) = claims.iter().copied().unzip();
        sqlx::query!(
            "update occurrences set lease_until = '-infinity'
             from unnest($1::uuid[], $2::int[]) as claim (id, fence)
             where occurrences.id = claim.id and occurrences.fence = claim.fence and pending",
            &ids,
            &fences,
        )
        .execute(&self.pool)
        .await
        .map_err(StoreError::of("give leases back"))?;
        Ok(())
    }
}

/// An occurrence that no longer waits: its notification, and its time.
pub(crate) type Gone = (Uuid, DateTime<Utc>);

async fn mark(executor: impl PgExecutor<'_>, ids: &[Uuid], fences: &[i32]) -> Result<Vec<Gone>, sqlx::Error> {
    let rows = sqlx::query!(
        "update occurrences set
             state = occurrence_state_of(sent, failed, suppressed, deliveries), released_at = coalesce(released_at, now())
         from unnest($1::uuid[], $2::int[]) as claim (id, fence)
         where occurrences.id = claim.id and occurrences.fence = claim.fence and pending
         returning notification_id, due_at",
        ids,
        fences,
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| (row.notification_id, row.due_at)).collect())
}
