//! Relays event-service's commands to the notification topic: changes of released occurrences,
//! questions about them, and erasures of users.

use std::time::Duration;

use bus::{Message, PublishError, SharedBus};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    backoff::Backoff,
    store::{Store, StoreError},
};

/// Pause between two queries while there are no commands: they are rare, and a query of an empty
/// table is cheap.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Longest time that the topic may take to answer.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest number of commands relayed together.
const BATCH: i64 = 100;
const BATCH_BYTES: i64 = 4 * 1024 * 1024;
/// Smallest ratio of the pause to the duration of a query: while a snapshot is held, each query
/// steps over all commands that were relayed since.
const PAUSE_FACTOR: u32 = 10;

/// Relays commands; any number of relays share a database.
pub(crate) struct CommandRelay {
    store: Store,
    bus: SharedBus,
    topic: String,
    backoff: Backoff,
}

impl CommandRelay {
    pub(crate) fn new(store: Store, bus: SharedBus, topic: String) -> Self {
        Self { store, bus, topic, backoff: Backoff::default() }
    }

    /// Relays until the token is cancelled.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let began = Instant::now();
            let pause = match self.relay().await {
                Ok(0) => POLL_INTERVAL.max(began.elapsed() * PAUSE_FACTOR),
                Ok(_) => Duration::ZERO,
                Err(error) => {
                    self.backoff.note_failure();
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "commands were not relayed, will retry"
                    );
                    Duration::ZERO
                }
            };
            let pause = self.backoff.delay().unwrap_or_default().max(pause);
            tokio::select! { () = sleep(pause) => {} () = shutdown.cancelled() => {} }
        }
    }

    /// Relays a batch; returns its size.
    async fn relay(&self) -> Result<usize, StoreError> {
        let (ids, messages): (Vec<Uuid>, Vec<Message>) =
            self.store.claim_commands(BATCH, BATCH_BYTES).await?.into_iter().unzip();
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
        self.store.settle_commands(&taken, &refused, &parked).await?;
        metrics::counter!("reminders_scheduler_commands_published_total")
            .increment(taken.len() as u64);
        if refused.is_empty() {
            self.backoff.reset()
        } else {
            self.backoff.note_failure()
        }
        Ok(taken.len())
    }

    async fn return_refused(&self, ids: &[Uuid], problem: &str) -> Result<usize, StoreError> {
        self.backoff.note_failure();
        tracing::warn!(problem, commands = ids.len(), "publish of commands failed, will retry");
        self.store.settle_commands(&[], ids, &[]).await?;
        Ok(0)
    }
}
