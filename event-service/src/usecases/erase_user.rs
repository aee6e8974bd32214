//! Erasure of a user: deletes the user's rows chunk after chunk, each in a short transaction, and
//! the user's dead letters. No batch of events waits for either.

use std::time::Duration;

use bus::SharedBus;
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Error;
use crate::store::erasures::{self, Erasure};

/// Largest number of rows of one table that one transaction deletes.
pub const CHUNK: i64 = 1_000;
/// Largest number of notifications that one transaction locks.
const NOTIFICATIONS: i64 = 200;
/// Lease of an erasure, extended after each chunk. A chunk ends within 30 s, the statement timeout.
const LEASE: Duration = Duration::from_secs(60);
/// Pause before the last pass while transactions are open that began before the erasure.
pub const SETTLE: Duration = Duration::from_secs(1);

/// The queues whose dead letters are a part of an erasure.
pub struct DeadLetters {
    /// The bus.
    pub bus: SharedBus,
    /// The queue of events, which is this service's own.
    pub event_queue: String,
    /// The queue of notifications, which may not be there yet.
    pub notification_queue: String,
}

impl DeadLetters {
    /// Deletes an erased user's dead letters: one search through all letters of each queue.
    async fn delete(&self, erasure: &Erasure) -> Result<(), bus::Error> {
        let user_id = erasure.user_id.as_str();
        let mut deleted = self.bus.erase_dead_letters(&self.event_queue, user_id).await?;
        match self.bus.erase_dead_letters(&self.notification_queue, user_id).await {
            Ok(others) => deleted += others,
            Err(error @ bus::Error::Unavailable { .. }) => return Err(error),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                queue = self.notification_queue,
                "dead letters of the erased user were not deleted, will not be retried"
            ),
        }
        tracing::info!(
            removed = deleted,
            receipt.id = erasure.receipt_id,
            "dead letters of the erased user were deleted"
        );
        Ok(())
    }
}

/// Progress of the erasures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is left to erase, or other replicas do it.
    Idle,
    /// An erasure is complete.
    Complete,
    /// All visible rows are deleted; open transactions may still write others.
    Settling,
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

/// Completes one erasure, or as much of it as open transactions allow.
///
/// # Errors
/// If a statement or the bus fails. Chunks before it stay deleted, and any replica continues when
/// the lease ends.
pub async fn erase_next(
    pool: &PgPool,
    letters: &DeadLetters,
    shutdown: &CancellationToken,
) -> Result<Progress, Error> {
    let Some(erasure) = claim(pool).await? else { return Ok(Progress::Idle) };
    let is_final = erasures::is_final(pool, &erasure).await?;
    let mut pass = Pass::Notifications;
    while pass != Pass::Done {
        if shutdown.is_cancelled() {
            erasures::set_lease(pool, &erasure, Duration::ZERO).await?;
            return Ok(Progress::Settling);
        }
        pass = erase_chunk(pool, &erasure, pass).await?;
    }
    if is_final {
        // Once for each erasure, however often its event is repeated.
        letters.delete(&erasure).await?;
        erasures::complete(pool, &erasure).await?;
        metrics::counter!("reminders_erasures_completed_total").increment(1);
        tracing::info!(receipt.id = erasure.receipt_id, "user data was erased");
        return Ok(Progress::Complete);
    }
    erasures::set_lease(pool, &erasure, SETTLE).await?;
    Ok(Progress::Settling)
}

/// Leases the erasure that has waited longest; `None` if every one is complete or leased.
///
/// # Errors
/// If the statement fails.
pub async fn claim(pool: &PgPool) -> Result<Option<Erasure>, sqlx::Error> {
    erasures::claim(pool, LEASE).await
}

/// Deletes the next chunk of a user's rows and extends the lease; returns the position of the next
/// one.
///
/// # Errors
/// If a statement fails; chunks before it stay deleted.
pub async fn erase_chunk(
    pool: &PgPool,
    erasure: &Erasure,
    pass: Pass,
) -> Result<Pass, sqlx::Error> {
    let next = match pass {
        Pass::Notifications => erase_notifications(pool, erasure).await?,
        Pass::Events(at, id) => erase_events(pool, erasure, (at, id)).await?,
        Pass::Messages => erase_messages(pool, erasure).await?,
        Pass::Done => Pass::Done,
    };
    erasures::set_lease(pool, erasure, LEASE).await?;
    Ok(next)
}

/// Locks notifications before it reads their occurrences, as the scheduler does: an occurrence that
/// the scheduler created in between is seen by the second statement.
async fn erase_notifications(pool: &PgPool, erasure: &Erasure) -> Result<Pass, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let ids = erasures::lock_notifications(&mut transaction, erasure, NOTIFICATIONS).await?;
    if ids.is_empty() {
        return Ok(Pass::Events(DateTime::<Utc>::MIN_UTC, Uuid::nil()));
    }
    let occurrences = erasures::delete_occurrences(&mut transaction, &ids, CHUNK).await?;
    if (occurrences as i64) < CHUNK {
        erasures::delete_notifications(&mut transaction, &ids).await?;
    }
    transaction.commit().await?;
    Ok(Pass::Notifications)
}

/// Each chunk follows the one before, past the index entries that it left behind.
async fn erase_events(
    pool: &PgPool,
    erasure: &Erasure,
    after: (DateTime<Utc>, Uuid),
) -> Result<Pass, sqlx::Error> {
    let events = erasures::events_after(pool, erasure, after, CHUNK).await?;
    let (Some(first), Some(last)) = (events.first(), events.last()) else {
        return Ok(Pass::Messages);
    };
    let preceding = events.iter().filter(|event| event.precedes(erasure.erased_at));
    let ids: Vec<Uuid> = preceding.map(|event| event.event_id).collect();
    erasures::delete_events(pool, erasure, (first.occurred_at, last.occurred_at), &ids).await?;
    let is_last = (events.len() as i64) < CHUNK;
    Ok(if is_last { Pass::Messages } else { Pass::Events(last.occurred_at, last.event_id) })
}

/// Deletes messages from before the erasure that no topic has accepted, parked ones included.
async fn erase_messages(pool: &PgPool, erasure: &Erasure) -> Result<Pass, sqlx::Error> {
    let outbox = erasures::delete_outbox(pool, erasure, CHUNK).await?;
    let commands = erasures::delete_commands(pool, erasure, CHUNK).await?;
    let is_last = (outbox.max(commands) as i64) < CHUNK;
    Ok(if is_last { Pass::Done } else { Pass::Messages })
}
