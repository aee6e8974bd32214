//! Consumes the event queue: a batch becomes one transaction, or, when one of its messages is to blame, one transaction
//! a message.
//!
//! While the database is away a batch is held and tried again: giving it back would use up its receipts, and a long outage
//! would end in the dead-letter queue. The loop around it keeps the batch hidden meanwhile.

use std::time::Duration;

use shared::{
    bus::{Received, Settlement},
    consumer::Handler,
    outbox::Handoff,
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    intake::Incoming,
    store::{ApplyError, Store},
};

/// How long a batch is held for a database that is away. Five receipts of this length outlast any outage that is not to be
/// mended by hand.
pub const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// The pause between two tries, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(2));
/// When a batch that was held in vain becomes visible again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Applies the events of a queue.
#[derive(Debug, Clone)]
pub struct Events {
    store: Store,
    facts: Handoff,
    patience: Duration,
    shutdown: CancellationToken,
}

impl Events {
    /// A handler that applies events to a store and hands facts to a relay. It holds a batch while the database is away, for
    /// `patience` and until the token is cancelled.
    #[must_use]
    pub fn new(store: Store, facts: Handoff, patience: Duration, shutdown: CancellationToken) -> Self {
        Self { store, facts, patience, shutdown }
    }

    /// Applies events together, trying again while it is not a message that is to blame.
    async fn apply(&self, incoming: &[&Incoming]) -> Result<(), ApplyError> {
        let started = Instant::now();
        let mut pause = PAUSE.0;
        loop {
            let error = match self.store.apply(incoming).await {
                Ok(facts) => {
                    self.facts.after_commit(facts);
                    return Ok(());
                }
                Err(error) => error,
            };
            if error.is_the_messages() || self.shutdown.is_cancelled() || started.elapsed() >= self.patience {
                return Err(error);
            }
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                events = incoming.len(),
                "not applied; trying again"
            );
            metrics::counter!("events_apply_retries_total").increment(1);
            tokio::select! { () = sleep(pause) => {} () = self.shutdown.cancelled() => {} }
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    async fn apply_one(&self, incoming: &Incoming) -> Settlement {
        match self.apply(&[incoming]).await {
            Ok(()) => Settlement::Done,
            Err(error) => settlement(&error),
        }
    }
}

impl Handler for Events {
    async fn handle(&self, batch: &[Received]) -> Vec<Settlement> {
        let started = Instant::now();
        let read: Vec<_> = batch.iter().map(Incoming::read).collect();
        let readable: Vec<&Incoming> = read.iter().flatten().collect();
        let together = if readable.is_empty() { Ok(()) } else { self.apply(&readable).await };
        let mut settlements = Vec::with_capacity(read.len());
        for it in &read {
            settlements.push(match (it, &together) {
                (Err(refusal), _) => Settlement::Reject(refusal.to_string()),
                (Ok(_), Ok(())) => Settlement::Done,
                (Ok(incoming), Err(error)) if error.is_the_messages() => self.apply_one(incoming).await,
                (Ok(_), Err(error)) => settlement(error),
            });
        }
        metrics::histogram!("events_batch_duration_seconds").record(started.elapsed().as_secs_f64());
        settlements
    }
}

fn settlement(error: &ApplyError) -> Settlement {
    if !error.is_the_messages() {
        return Settlement::RetryAfter(RETRY_AFTER);
    }
    let code = error.sqlstate().unwrap_or_else(|| "none".to_owned());
    Settlement::Reject(format!("its values cannot be stored (SQLSTATE {code})"))
}
