//! Publishes event-service's commands to the notification topic: changes of released occurrences,
//! questions about them, and erasures of users.

use std::time::Duration;

use backoff::SharedBackoff;
use bus::{Message, PublishResults, SharedBus};
use sqlx::PgPool;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::{BACKOFF, Error};
use crate::store::commands;

/// Longest time that the topic may take to answer.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest number of commands relayed together.
const BATCH: i64 = 100;
const BATCH_BYTES: i64 = 4 * 1024 * 1024;

/// Publishes commands; any number of publishers share a database.
pub(crate) struct CommandPublisher {
    pool: PgPool,
    bus: SharedBus,
    topic: String,
    lease: Duration,
    /// Back-off of the database and the topic.
    pub(crate) backoff: SharedBackoff,
}

/// Result of one pass over the commands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass {
    /// Number of commands that were claimed, accepted by the topic or not.
    pub(crate) claimed: usize,
    /// Duration of the query for commands, without the publish.
    pub(crate) query_time: Duration,
}

impl CommandPublisher {
    pub(crate) fn new(pool: PgPool, bus: SharedBus, topic: String, lease: Duration) -> Self {
        Self { pool, bus, topic, lease, backoff: SharedBackoff::new(BACKOFF) }
    }

    /// Publishes a batch.
    pub(crate) async fn publish(&self) -> Result<Pass, Error> {
        let began = Instant::now();
        let claimed = commands::claim(&self.pool, BATCH, BATCH_BYTES, self.lease)
            .await
            .map_err(Error::of("claim commands"))?;
        let query_time = began.elapsed();
        let (ids, messages): (Vec<Uuid>, Vec<Message>) = claimed.into_iter().unzip();
        let claimed = ids.len();
        if ids.is_empty() {
            self.backoff.reset();
        } else {
            self.publish_claimed(ids, &messages).await?;
        }
        Ok(Pass { claimed, query_time })
    }

    /// Publishes claimed commands.
    async fn publish_claimed(&self, ids: Vec<Uuid>, messages: &[Message]) -> Result<(), Error> {
        let results = match timeout(PUBLISH_TIMEOUT, self.bus.publish(&self.topic, messages)).await
        {
            Ok(Ok(results)) => results,
            Ok(Err(error)) => return self.return_refused(ids, &error.to_string()).await,
            Err(_) => return self.return_refused(ids, "no answer in time").await,
        };
        let results = PublishResults::sort(ids, results);
        for (id, reason) in &results.unpublishable {
            tracing::error!(
                event.id = %id.simple(),
                reason,
                "command can never be published, was parked"
            );
        }
        self.settle(&results).await?;
        metrics::counter!("reminders_scheduler_commands_published_total")
            .increment(results.accepted.len() as u64);
        if results.refused.is_empty() {
            self.backoff.reset()
        } else {
            self.backoff.record_failure()
        }
        Ok(())
    }

    async fn return_refused(&self, ids: Vec<Uuid>, problem: &str) -> Result<(), Error> {
        self.backoff.record_failure();
        tracing::warn!(problem, commands = ids.len(), "publish of commands failed, will retry");
        let (accepted, unpublishable) = (Vec::new(), Vec::new());
        self.settle(&PublishResults { accepted, refused: ids, unpublishable }).await
    }

    /// Deletes the commands that the topic accepted, returns the leases of those that it may accept
    /// later, and parks those that it never accepts.
    async fn settle(&self, results: &PublishResults<Uuid>) -> Result<(), Error> {
        let action = "settle commands";
        if !results.accepted.is_empty() {
            commands::delete(&self.pool, &results.accepted).await.map_err(Error::of(action))?;
        }
        if !results.refused.is_empty() {
            commands::release(&self.pool, &results.refused).await.map_err(Error::of(action))?;
        }
        for (id, reason) in &results.unpublishable {
            commands::park(&self.pool, *id, reason).await.map_err(Error::of(action))?;
        }
        Ok(())
    }
}
