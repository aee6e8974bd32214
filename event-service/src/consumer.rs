//! Consumes the event queue: a batch becomes one transaction, or, when one of its messages makes it
//! fail, several, until that message stands alone.
//!
//! While the database is away a batch is held and tried again: giving it back would use up its
//! receipts, and a long outage would end in the dead-letter queue. The loop around it keeps the
//! batch hidden meanwhile.

mod decode;

use std::{panic::resume_unwind, sync::Arc, time::Duration};

use bus::{Received, Rejection, Settlement};
use db::FailureClass;
use service::{
    consumer::{
        Handler,
        isolation::{Attempt, Failure, Isolation, Outcome},
    },
    outbox::RelayHandle,
};
use tokio::{task::spawn_blocking, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::incoming::Incoming,
    store::{ApplyError, Store},
};
pub use decode::{Refusal, decode};

/// Longest time that a batch is held while the database is unreachable. A message may be received
/// ten times: that many holds outlast any outage that ends by itself.
pub const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// Applies the events of a queue.
#[derive(Clone)]
pub struct Events {
    store: Store,
    outbox: RelayHandle,
    isolation: Arc<Isolation>,
}

/// Events of a batch, applied in one transaction.
struct Apply<'a>(&'a Events);

impl Events {
    /// A handler that applies events to a store and hands facts to a relay. It holds a batch while
    /// the database is away, for `patience` and until the token is cancelled.
    #[must_use]
    pub fn new(
        store: Store,
        outbox: RelayHandle,
        patience: Duration,
        shutdown: CancellationToken,
    ) -> Self {
        Self { store, outbox, isolation: Arc::new(Isolation::new(patience, shutdown)) }
    }
}

impl<'a> Attempt for Apply<'a> {
    type Item = &'a Incoming;
    type Error = ApplyError;

    async fn attempt(&self, incoming: &[&'a Incoming]) -> Result<(), ApplyError> {
        let messages = self.0.store.apply(incoming).await?;
        self.0.outbox.after_commit(messages);
        Ok(())
    }
}

impl Failure for ApplyError {
    fn class(&self) -> FailureClass {
        match self {
            Self::Json(_) => FailureClass::Data,
            Self::Database(error) => db::failure_class(error),
            Self::MadeMeanwhile => FailureClass::Conflict,
        }
    }

    fn detail(&self) -> String {
        let code = self.sqlstate().unwrap_or_else(|| "none".to_owned());
        format!("the event cannot be applied (SQLSTATE {code})")
    }
}

impl Handler for Events {
    async fn handle(&self, batch: &[Received]) -> Vec<Settlement> {
        let started = Instant::now();
        let read = read(batch).await;
        let readable: Vec<&Incoming> = read.iter().flatten().collect();
        let mut outcomes = self.isolation.apply(&Apply(self), &readable).await.into_iter();
        let mut settlements = Vec::with_capacity(batch.len());
        for (read, received) in read.iter().zip(batch) {
            settlements.push(match read {
                Err(refusal) => {
                    Settlement::Reject(Rejection::new(refusal.reason(), refusal.to_string()))
                }
                Ok(_) => outcomes
                    .next()
                    .map_or(Settlement::RetryAfter(Duration::ZERO), |outcome: Outcome| {
                        outcome.settlement(received.receive_count)
                    }),
            });
        }
        metrics::histogram!("reminders_events_batch_duration_seconds")
            .record(started.elapsed().as_secs_f64());
        settlements
    }
}

/// Reads a batch. Rules are tried out as they are read: a batch that has some is read off the
/// threads that answer probes.
async fn read(batch: &[Received]) -> Vec<Result<Incoming, Refusal>> {
    let read_all = |batch: &[Received]| batch.iter().map(decode).collect();
    if !batch.iter().any(|received| received.body.contains("rrule")) {
        return read_all(batch);
    }
    let owned = batch.to_vec();
    match spawn_blocking(move || read_all(&owned)).await {
        Ok(read) => read,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime takes no work any more, as the process is ending.
            Err(_) => read_all(batch),
        },
    }
}
