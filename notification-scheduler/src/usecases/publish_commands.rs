//! Publishes event-service's commands to the notification topic: changes of released occurrences,
//! questions about them, and erasures of users.

use std::time::Duration;

use backoff::SharedBackoff;
use bus::{Message, PublishError, SharedBus};
use sqlx::PgPool;
use tokio::time::timeout;
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

impl CommandPublisher {
    pub(crate) fn new(pool: PgPool, bus: SharedBus, topic: String, lease: Duration) -> Self {
        Self { pool, bus, topic, lease, backoff: SharedBackoff::new(BACKOFF) }
    }

    /// Publishes a batch; returns the number of commands that the topic accepted.
    pub(crate) async fn publish(&self) -> Result<usize, Error> {
        let claimed = commands::claim(&self.pool, BATCH, BATCH_BYTES, self.lease)
            .await
            .map_err(Error::of("claim commands"))?;
        let (ids, messages): (Vec<Uuid>, Vec<Message>) = claimed.into_iter().unzip();
        if ids.is_empty() {
            self.backoff.reset();
            return Ok(0);
        }
        let results = match timeout(PUBLISH_TIMEOUT, self.bus.publish(&self.topic, &messages)).await
        {
            Ok(Ok(results)) => results,
            Ok(Err(error)) => return self.return_refused(&ids, &error.to_string()).await,
            Err(_) => return self.return_refused(&ids, "no answer in time").await,
        };
        let (mut taken, mut refused, mut parked) = (Vec::new(), Vec::new(), Vec::new());
        for (id, result) in ids.into_iter().zip(results) {
            match result {
                Ok(()) => taken.push(id),
                Err(PublishError::Retry(_)) => refused.push(id),
                Err(PublishError::Unpublishable(reason)) => {
                    tracing::error!(
                        event.id = %id.simple(),
                        reason,
                        "command can never be published, was parked"
                    );
                    parked.push((id, reason.to_string()));
                }
            }
        }
        self.settle(&taken, &refused, &parked).await?;
        metrics::counter!("reminders_scheduler_commands_published_total")
            .increment(taken.len() as u64);
        if refused.is_empty() {
            self.backoff.reset()
        } else {
            self.backoff.record_failure()
        }
        Ok(taken.len())
    }

    async fn return_refused(&self, ids: &[Uuid], problem: &str) -> Result<usize, Error> {
        self.backoff.record_failure();
        tracing::warn!(problem, commands = ids.len(), "publish of commands failed, will retry");
        self.settle(&[], ids, &[]).await?;
        Ok(0)
    }

    /// Deletes the commands that the topic accepted, returns the leases of those that it may accept
    /// later, and parks those that it never accepts.
    async fn settle(
        &self,
        accepted: &[Uuid],
        refused: &[Uuid],
        unpublishable: &[(Uuid, String)],
    ) -> Result<(), Error> {
        let action = "settle commands";
        commands::delete(&self.pool, accepted).await.map_err(Error::of(action))?;
        if !refused.is_empty() {
            commands::release(&self.pool, refused).await.map_err(Error::of(action))?;
        }
        for (id, reason) in unpublishable {
            commands::park(&self.pool, *id, reason).await.map_err(Error::of(action))?;
        }
        Ok(())
    }
}
