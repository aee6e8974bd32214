//! Consumer of the event queue. A batch becomes one transaction; if one of its messages makes that
//! fail, it becomes several, until that message is isolated.
//!
//! While the database is unreachable a batch is held and tried again: a return to the queue would
//! use up its receipts, and a long outage would end in the dead-letter queue. The consumer's loop
//! keeps the batch hidden meanwhile.

mod decode;

use std::{panic::resume_unwind, sync::Arc, time::Duration};

use bus::{Received, Rejection, Settlement};
use service::consumer::{
    Handler,
    isolation::{Isolation, Outcome},
};
use tokio::{task::spawn_blocking, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{domain::incoming::Incoming, usecases::apply_events::ApplyEvents};
pub use decode::{Refusal, decode};

/// Longest time that a batch is held while the database is unreachable. A message may be received
/// ten times: that many holds outlast any outage that ends by itself.
pub const OUTAGE_HOLD: Duration = Duration::from_secs(10 * 60);

/// Handler of the event queue.
#[derive(Clone)]
pub struct EventHandler {
    apply: ApplyEvents,
    isolation: Arc<Isolation>,
}

impl EventHandler {
    /// Creates a handler that holds a batch for up to `outage_hold` while the database is
    /// unreachable, or until the token is cancelled.
    #[must_use]
    pub fn new(apply: ApplyEvents, outage_hold: Duration, shutdown: CancellationToken) -> Self {
        Self { apply, isolation: Arc::new(Isolation::new(outage_hold, shutdown)) }
    }
}

impl Handler for EventHandler {
    async fn handle(&self, batch: &[Received]) -> Vec<Settlement> {
        let started = Instant::now();
        let mut events = Vec::with_capacity(batch.len());
        let decoded = decode_all(batch).await.into_iter();
        let refusals: Vec<Option<Refusal>> =
            decoded.map(|decoded| decoded.map(|event| events.push(event)).err()).collect();
        let mut outcomes = self.isolation.apply(&self.apply, &events).await.into_iter();
        let mut settlements = Vec::with_capacity(batch.len());
        for (refusal, received) in refusals.iter().zip(batch) {
            settlements.push(match refusal {
                Some(refusal) => {
                    Settlement::Reject(Rejection::new(refusal.reason(), refusal.to_string()))
                }
                None => outcomes
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

/// Decodes a batch. Recurrence rules are tried out meanwhile: a batch that has some is decoded off
/// the threads that answer probes.
async fn decode_all(batch: &[Received]) -> Vec<Result<Incoming, Refusal>> {
    let decode_each = |batch: &[Received]| batch.iter().map(decode).collect();
    if !batch.iter().any(|received| received.body.contains("rrule")) {
        return decode_each(batch);
    }
    let owned = batch.to_vec();
    match spawn_blocking(move || decode_each(&owned)).await {
        Ok(decoded) => decoded,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime takes no work any more, as the process is ending.
            Err(_) => decode_each(batch),
        },
    }
}
