//! Deletes the rows of erased users: in chunks, each a short transaction of its own, by whichever
//! replica holds the erasure's lease. No batch of events waits for it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use contract::EventType;
use db::interval;
use sqlx::postgres::types::PgInterval;
use uuid::Uuid;

use super::Store;
use crate::domain::erasure::precedes;

/// Rows of one kind that one transaction deletes at most.
pub const CHUNK: i64 = 1_000;
/// Notifications whose rows are locked by one transaction at most.
const NOTIFICATIONS: i64 = 200;
/// Time for which an erasure belongs to a replica after each chunk. A chunk is cut off after 30 s,
/// the statement timeout.
const LEASE: Duration = Duration::from_secs(60);

/// An erasure that is under way, leased to this replica.
#[derive(Debug, Clone)]
pub struct Erasure {
    digest: Vec<u8>,
    user_id: String,
    /// Everything up to this time is erased.
    pub erased_at: DateTime<Utc>,
    /// The receipt that its user was given; logs name the erasure by it.
    pub receipt_id: String,
    horizon: i64,
}

impl Erasure {
    /// The user's id.
    #[must_use]
    pub fn user_id(&self) -> &str {
        &self.user_id
    }
}

/// Position of a pass over a user's rows: the table it deletes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Notifications with their occurrences.
    Notifications,
    /// Events after this one, in the order of time.
    Events(DateTime<Utc>, Uuid),
    /// Messages that are not published yet.
    Messages,
    /// The end: every table was processed.
    Done,
}

impl Store {
    /// Leases the erasure that has waited longest; none when every one is complete or leased.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn claim_erasure(&self) -> Result<Option<Erasure>, sqlx::Error> {
        // The transaction's number is later than the commit of the erasure, which this statement
        // saw.
        let row = sqlx::query!(
            r#"update pending_erasures
               set lease_until = now() + $1,
                   horizon = coalesce(horizon, pg_current_xact_id()::text::bigint)
               where user_digest = (
                   select user_digest from pending_erasures where lease_until <= now()
                   order by lease_until, requested_at limit 1
                   for update skip locked)
               returning user_digest, user_id, erased_at, receipt_id, horizon as "horizon!""#,
            lease(),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| Erasure {
            digest: row.user_digest,
            user_id: row.user_id,
            erased_at: row.erased_at,
            receipt_id: row.receipt_id,
            horizon: row.horizon,
        }))
    }

    /// Returns whether every transaction has ended that could not see the erasure when it began: a
    /// pass that begins after that finds every row there will ever be.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn is_final(&self, erasure: &Erasure) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar!(
            r#"select pg_snapshot_xmin(pg_current_snapshot())::text::bigint >= $1 as "final!""#,
            erasure.horizon
        )
        .fetch_one(&self.pool)
        .await
    }

    /// Deletes the next chunk of a user's rows and extends the lease; returns where the pass goes
    /// on.
    ///
    /// # Errors
    /// When a statement fails; chunks before it stay deleted.
    pub async fn erase_chunk(&self, erasure: &Erasure, pass: Pass) -> Result<Pass, sqlx::Error> {
        let next = match pass {
            Pass::Notifications => self.erase_notifications(erasure).await?,
            Pass::Events(at, id) => self.erase_events(erasure, (at, id)).await?,
            Pass::Messages => self.erase_messages(erasure).await?,
            Pass::Done => Pass::Done,
        };
        sqlx::query!(
            "update pending_erasures set lease_until = now() + $3 where user_digest = $1
                and erased_at = $2",
            erasure.digest,
            erasure.erased_at,
            lease(),
        )
        .execute(&self.pool)
        .await?;
        Ok(next)
    }

    /// Ends an erasure of which a final pass found nothing left. A later one of the same user
    /// stays.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn complete_erasure(&self, erasure: &Erasure) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "delete from pending_erasures where user_digest = $1 and erased_at = $2",
            erasure.digest,
            erasure.erased_at
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Returns an erasure's lease, so that it is claimed again after a pause.
    ///
    /// # Errors
    /// When the statement fails; the lease then runs out by itself.
    pub async fn postpone_erasure(
        &self,
        erasure: &Erasure,
        pause: Duration,
    ) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "update pending_erasures set lease_until = now() + $3 where user_digest = $1
                and erased_at = $2",
            erasure.digest,
            erasure.erased_at,
            interval(pause),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Notifications are locked before their occurrences are looked at, as the scheduler locks
    /// them: an occurrence that it made in between is seen by the second statement.
    async fn erase_notifications(&self, erasure: &Erasure) -> Result<Pass, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let ids: Vec<Uuid> = sqlx::query_scalar!(
            "select id from notifications where user_id = $1 and occurred_at <= $2
             order by id limit $3 for update",
            erasure.user_id,
            erasure.erased_at,
            NOTIFICATIONS,
        )
        .fetch_all(&mut *transaction)
        .await?;
        if ids.is_empty() {
            return Ok(Pass::Events(DateTime::<Utc>::MIN_UTC, Uuid::nil()));
        }
        let occurrences = sqlx::query!(
            "delete from occurrences where id = any(array(
                 select id from occurrences where notification_id = any($1)
                 order by id limit $2 for update))",
            &ids,
            CHUNK,
        )
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        if (occurrences as i64) < CHUNK {
            sqlx::query!("delete from notifications where id = any($1)", &ids)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(Pass::Notifications)
    }

    /// Each chunk goes on after the one before, past the index entries that it left behind.
    async fn erase_events(
        &self,
        erasure: &Erasure,
        after: (DateTime<Utc>, Uuid),
    ) -> Result<Pass, sqlx::Error> {
        let rows = sqlx::query!(
            r#"select occurred_at, event_id, event_type,
                data ->> 'itemChangedAt' as item_changed_at,
                   data ->> 'dueAt' as due_at
               from events
               where user_id = $1 and occurred_at >= $2 and (occurred_at, event_id) > ($2, $3)
               order by occurred_at, event_id limit $4"#,
            erasure.user_id,
            after.0.max(EARLIEST),
            after.1,
            CHUNK,
        )
        .fetch_all(&self.pool)
        .await?;
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return Ok(Pass::Messages);
        };
        let (from, to) = ((first.occurred_at, first.event_id), (last.occurred_at, last.event_id));
        let time = |text: &Option<String>| {
            text.as_deref().and_then(|text| text.parse::<DateTime<Utc>>().ok())
        };
        let gone = rows.iter().filter(|row| {
            let due_at = || time(&row.due_at).map(|due_at| due_at.min(row.occurred_at));
            let asked_for = time(&row.item_changed_at).or_else(due_at);
            let event_type = row.event_type.parse().unwrap_or(EventType::UserErased);
            precedes(event_type, row.occurred_at, asked_for, erasure.erased_at)
        });
        let gone: Vec<Uuid> = gone.map(|row| row.event_id).collect();
        sqlx::query!(
            "delete from events
             where user_id = $1 and occurred_at between $2 and $3 and event_id = any($4)",
            erasure.user_id,
            from.0,
            to.0,
            &gone,
        )
        .execute(&self.pool)
        .await?;
        let is_last = (rows.len() as i64) < CHUNK;
        Ok(if is_last { Pass::Messages } else { Pass::Events(to.0, to.1) })
    }

    /// Messages of before that a topic has not taken, parked ones included; not the erasure itself.
    async fn erase_messages(&self, erasure: &Erasure) -> Result<Pass, sqlx::Error> {
        let outbox = sqlx::query!(
            "delete from outbox where event_id = any(array(
                 select event_id from outbox
                 where attributes ->> 'userId' = $1
                   and (attributes ->> 'occurredAt')::timestamptz <= $2
                 limit $3 for update skip locked))",
            erasure.user_id,
            erasure.erased_at,
            CHUNK,
        );
        let outbox = outbox.execute(&self.pool).await?.rows_affected();
        let commands = sqlx::query!(
            "delete from commands where event_id = any(array(
                 select event_id from commands
                 where attributes ->> 'userId' = $1 and attributes ->> 'eventType' <> 'user:erased'
                   and (attributes ->> 'occurredAt')::timestamptz <= $2
                 limit $3 for update skip locked))",
            erasure.user_id,
            erasure.erased_at,
            CHUNK,
        );
        let commands = commands.execute(&self.pool).await?.rows_affected();
        let is_last = (outbox.max(commands) as i64) < CHUNK;
        Ok(if is_last { Pass::Done } else { Pass::Messages })
    }
}

/// Earlier than any event: PostgreSQL's times begin in 4713 BC.
const EARLIEST: DateTime<Utc> = match DateTime::from_timestamp(-210_000_000_000, 0) {
    Some(at) => at,
    None => DateTime::<Utc>::UNIX_EPOCH,
};

fn lease() -> PgInterval {
    interval(LEASE)
}
