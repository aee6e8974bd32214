//! The loop of every consumer: receive a batch, handle it, settle it by value; extend its visibility while the
//! handler runs; drain on shutdown.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::bus::{Receipt, Received, Settlement, SharedBus};

/// What a consumer does with a batch.
pub trait Handler: Send + Sync + 'static {
    /// Handles a batch and says of each message, in order, what becomes of it. It does not fail: what could not be
    /// done now is [`Settlement::RetryAfter`].
    fn handle(&self, batch: &[Received]) -> impl Future<Output = Vec<Settlement>> + Send;
}

/// How a queue is consumed.
#[derive(Debug, Clone)]
pub struct ConsumerSettings {
    /// URL or name.
    pub queue: String,
    /// Messages in one batch at the most.
    pub batch: usize,
    /// Batches under way at once.
    pub concurrency: usize,
    /// For how long a received message is hidden; extended while its handler runs.
    pub visibility: Duration,
}

/// How long one receive waits for a message; also what a shutdown waits for at most, since a receive that is given up may
/// already have hidden messages, which would then come late.
const WAIT: Duration = Duration::from_secs(2);
/// The pause after a receive that failed, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Consumes a queue until the token is cancelled, then lets the batches under way finish.
pub async fn run<H: Handler>(bus: SharedBus, settings: ConsumerSettings, handler: Arc<H>, shutdown: CancellationToken) {
    let mut loops = JoinSet::new();
    for _ in 0..settings.concurrency.max(1) {
        loops.spawn(consume(Arc::clone(&bus), settings.clone(), Arc::clone(&handler), shutdown.clone()));
    }
    while let Some(ended) = loops.join_next().await {
        if let Err(error) = ended {
            // A panic in a handler must not end the consumption of its queue: its batch becomes visible again.
            tracing::error!(error = %error, queue = settings.queue, "a consumer loop ended unexpectedly and is started again");
            if !shutdown.is_cancelled() {
                loops.spawn(consume(Arc::clone(&bus), settings.clone(), Arc::clone(&handler), shutdown.clone()));
            }
        }
    }
}

async fn consume<H: Handler>(bus: SharedBus, settings: ConsumerSettings, handler: Arc<H>, shutdown: CancellationToken) {
    let mut pause = PAUSE.0;
    while !shutdown.is_cancelled() {
        let received = bus.receive(&settings.queue, settings.batch, settings.visibility, WAIT).await;
        match received {
            Ok(batch) if batch.is_empty() => pause = PAUSE.0,
            Ok(batch) => {
                pause = PAUSE.0;
                process(&bus, &settings, &*handler, batch).await;
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, queue = settings.queue, "could not receive");
                tokio::select! { () = sleep(pause) => {} () = shutdown.cancelled() => return }
                pause = (pause * 2).min(PAUSE.1);
            }
        }
    }
}

async fn process<H: Handler>(bus: &SharedBus, settings: &ConsumerSettings, handler: &H, batch: Vec<Received>) {
    let receipts: Vec<Receipt> = batch.iter().map(|message| message.receipt.clone()).collect();
    let keep_hidden = async {
        let period = settings.visibility / 2;
        let mut tick = interval_at(Instant::now() + period, period);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if let Err(error) = bus.extend(&settings.queue, &receipts, settings.visibility).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    queue = settings.queue,
                    "could not extend the visibility"
                );
            }
        }
    };
    let settlements = tokio::select! {
        settlements = handler.handle(&batch) => settlements,
        () = keep_hidden => return,
    };
    count(&settings.queue, &settlements);
    for (message, settlement) in batch.iter().zip(&settlements) {
        if let Settlement::Reject(reason) = settlement {
            tracing::error!(message.id = message.message_id, reason, queue = settings.queue, "dead-lettered");
        }
    }
    if let Err(error) = bus.settle(&settings.queue, batch.into_iter().zip(settlements).collect()).await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            queue = settings.queue,
            "could not settle; the batch will be delivered again"
        );
    }
}

fn count(queue: &str, settlements: &[Settlement]) {
    let name = queue.rsplit(['/', ':']).next().unwrap_or(queue).to_owned();
    for (outcome, matches) in [
        ("done", (|it| matches!(it, Settlement::Done)) as fn(&Settlement) -> bool),
        ("retry", |it| matches!(it, Settlement::RetryAfter(_))),
        ("rejected", |it| matches!(it, Settlement::Reject(_))),
    ] {
        let number = settlements.iter().filter(|settlement| matches(settlement)).count();
        if number > 0 {
            metrics::counter!("consumer_messages_total", "queue" => name.clone(), "outcome" => outcome)
                .increment(number as u64);
        }
    }
}
