//! The loop of every consumer: receives a batch, handles it and settles each message; extends the
//! visibility while the handler runs; drains on shutdown.
//!
//! No message may harm the others of its batch. Messages that are received for the first time are
//! handled and settled first. Messages that were received before are handled in small groups, so
//! that a message that ends the process affects only its own group. A handler that panics is called
//! again with parts of its batch until the cause is isolated. Handlers isolate failures of the
//! store themselves, by [`isolation`].

pub mod isolation;

use std::{
    collections::VecDeque, future::Future, ops::Range, panic::AssertUnwindSafe, sync::Arc,
    time::Duration,
};

use futures::FutureExt as _;
use tokio::{
    task::JoinSet,
    time::{Instant, Interval, MissedTickBehavior, interval, interval_at, sleep},
};
use tokio_util::sync::CancellationToken;

use backoff::Backoff;
use bus::{MAX_RECEIVE_BYTES, Receipt, Received, Rejection, Settlement, SharedBus};
use contract::Reason;

/// Handler of received batches.
pub trait Handler: Send + Sync + 'static {
    /// Handles a batch and returns the settlement of each message, in order. A message that cannot
    /// be handled now gets [`Settlement::RetryAfter`]. It may be called again with parts of a
    /// batch.
    fn handle(&self, batch: &[Received]) -> impl Future<Output = Vec<Settlement>> + Send;
}

/// Settings of a consumer.
#[derive(Debug, Clone)]
pub struct ConsumerSettings {
    /// URL or name of the queue.
    pub queue: String,
    /// Most messages that are handled together.
    pub batch: usize,
    /// Number of batches that are handled concurrently.
    pub concurrency: usize,
    /// Time for which a received message is hidden; extended while its handler runs.
    pub visibility: Duration,
    /// Retention of the queue's dead letters, if the bus does not define one.
    pub dead_letters_kept: Duration,
}

/// Time that one receive waits for a message. A shutdown waits for it too, since an aborted receive
/// may already have hidden messages, which would be delayed.
const WAIT: Duration = Duration::from_secs(2);
/// Pauses after receives that failed.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
/// Number of parts that a failed batch is split into: 500 messages are single after three splits.
const PARTS: usize = 8;
/// Sizes of groups of messages that were received more than once, and more than three times.
const GROUPS: [(u32, usize); 2] = [(1, 64), (3, 8)];
/// Interval between two purges of old dead letters.
const PURGE_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// Number of receipts at which a message whose handling panics is rejected.
const MAX_PANICS: u32 = 2;
/// Delay after which a message whose handling panicked is received again.
const RETRY_AFTER_PANIC: Duration = Duration::from_secs(5);

/// Consumes a queue until the token is cancelled, then waits for the batches in progress.
pub async fn run<H: Handler>(
    bus: SharedBus,
    settings: ConsumerSettings,
    handler: Arc<H>,
    shutdown: CancellationToken,
) {
    let mut loops = JoinSet::new();
    for _ in 0..settings.concurrency.max(1) {
        loops.spawn(consume(
            Arc::clone(&bus),
            settings.clone(),
            Arc::clone(&handler),
            shutdown.clone(),
        ));
    }
    let purge = tokio::spawn(purge(Arc::clone(&bus), settings.clone()));
    while let Some(ended) = loops.join_next().await {
        if let Err(error) = ended {
            // A panic must not end the consumption of the queue: the batch becomes visible again.
            tracing::error!(
                error = %error,
                queue = settings.queue,
                "consumer loop ended unexpectedly, will restart"
            );
            if !shutdown.is_cancelled() {
                loops.spawn(consume(
                    Arc::clone(&bus),
                    settings.clone(),
                    Arc::clone(&handler),
                    shutdown.clone(),
                ));
            }
        }
    }
    purge.abort();
}

/// Removes old dead letters periodically.
async fn purge(bus: SharedBus, settings: ConsumerSettings) {
    let mut tick = interval(PURGE_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        match bus.purge_dead_letters(&settings.queue, settings.dead_letters_kept).await {
            Ok(0) => {}
            Ok(purged) => {
                metrics::counter!("reminders_dead_letters_purged_total").increment(purged);
                tracing::info!(purged, queue = settings.queue, "old dead letters were purged");
            }
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                queue = settings.queue,
                "old dead letters were not purged, will retry"
            ),
        }
    }
}

async fn consume<H: Handler>(
    bus: SharedBus,
    settings: ConsumerSettings,
    handler: Arc<H>,
    shutdown: CancellationToken,
) {
    let mut failures = 0;
    while !shutdown.is_cancelled() {
        let received =
            bus.receive(&settings.queue, settings.batch, settings.visibility, WAIT).await;
        match received {
            Ok(batch) if batch.is_empty() => failures = 0,
            Ok(batch) => {
                failures = 0;
                process(&bus, &settings, &*handler, batch).await;
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    queue = settings.queue,
                    "receive failed, will retry"
                );
                failures += 1;
                let pause = BACKOFF.pause(failures);
                tokio::select! { () = sleep(pause) => {} () = shutdown.cancelled() => return }
            }
        }
    }
}

async fn process<H: Handler>(
    bus: &SharedBus,
    settings: &ConsumerSettings,
    handler: &H,
    batch: Vec<Received>,
) {
    let period = settings.visibility / 2;
    let mut tick = interval_at(Instant::now() + period, period);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut groups = VecDeque::from(groups(batch, settings.batch));
    while let Some(group) = groups.pop_front() {
        let hidden = std::iter::once(&group)
            .chain(&groups)
            .flatten()
            .map(|message| message.receipt.clone())
            .collect();
        let settlements = tokio::select! {
            settlements = handle(handler, &group) => settlements,
            () = keep_hidden(bus, settings, hidden, &mut tick) => return,
        };
        settle(bus, settings, group, settlements).await;
    }
}

/// Extends the visibility of messages periodically until the future is dropped.
async fn keep_hidden(
    bus: &SharedBus,
    settings: &ConsumerSettings,
    receipts: Vec<Receipt>,
    tick: &mut Interval,
) {
    loop {
        tick.tick().await;
        if let Err(error) = bus.extend(&settings.queue, &receipts, settings.visibility).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                queue = settings.queue,
                "visibility timeout was not extended, the batch may be delivered again"
            );
        }
    }
}

async fn settle(
    bus: &SharedBus,
    settings: &ConsumerSettings,
    batch: Vec<Received>,
    settlements: Vec<Settlement>,
) {
    count(&settings.queue, &settlements);
    for (message, settlement) in batch.iter().zip(&settlements) {
        if let Settlement::Reject(rejection) = settlement {
            tracing::error!(
                message.id = message.message_id,
                reason = %rejection.reason,
                detail = rejection.detail,
                queue = settings.queue,
                "message rejected"
            );
        }
    }
    if let Err(error) =
        bus.settle(&settings.queue, batch.into_iter().zip(settlements).collect()).await
    {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            queue = settings.queue,
            "settle failed, the batch will be delivered again"
        );
    }
}

/// Splits a batch into the groups that are handled one after the other: first messages that were
/// not received before, at most `most` of them with [`MAX_RECEIVE_BYTES`] in each group, then the
/// rest by [`GROUPS`].
fn groups(batch: Vec<Received>, most: usize) -> Vec<Vec<Received>> {
    let (mut groups, mut again, mut often) = (Vec::new(), Vec::new(), Vec::new());
    let (mut fresh, mut bytes) = (Vec::with_capacity(batch.len().min(most)), 0);
    for message in batch {
        if message.receive_count > GROUPS[1].0 {
            often.push(message);
        } else if message.receive_count > GROUPS[0].0 {
            again.push(message);
        } else {
            let size = message.bytes();
            let is_full = fresh.len() >= most || bytes + size > MAX_RECEIVE_BYTES;
            if is_full && !fresh.is_empty() {
                groups.push(std::mem::take(&mut fresh));
                bytes = 0;
            }
            bytes += size;
            fresh.push(message);
        }
    }
    groups.extend((!fresh.is_empty()).then_some(fresh));
    for (messages, size) in [(again, GROUPS[0].1), (often, GROUPS[1].1)] {
        groups.extend(messages.chunks(size).map(<[Received]>::to_vec));
    }
    groups
}

/// Handles a batch; if the handler panics, by parts, until the cause is isolated.
async fn handle<H: Handler>(handler: &H, batch: &[Received]) -> Vec<Settlement> {
    let mut settlements = vec![Settlement::RetryAfter(RETRY_AFTER_PANIC); batch.len()];
    let mut queue = VecDeque::new();
    queue.push_back(0..batch.len());
    while let Some(part) = queue.pop_front() {
        let messages = &batch[part.clone()];
        let handled =
            AssertUnwindSafe(async { handler.handle(messages).await }).catch_unwind().await;
        match handled {
            Ok(handled) if handled.len() == part.len() => {
                settlements[part].clone_from_slice(&handled)
            }
            _ => {
                metrics::counter!("reminders_consumer_panics_total").increment(1);
                tracing::error!(
                    messages = part.len(),
                    "handler of a batch panicked, will handle it in parts"
                );
                match messages {
                    [message] if message.receive_count >= MAX_PANICS => {
                        settlements[part.start] = Settlement::Reject(Rejection::new(
                            Reason::HandlerPanicked,
                            "its handling panicked",
                        ));
                    }
                    [_] => {}
                    _ => queue.extend(parts(part)),
                }
            }
        }
    }
    settlements
}

/// Splits a range into eight parts of nearly the same length, or into single items if it is
/// shorter.
pub fn parts(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let size = range.len().div_ceil(PARTS).max(1);
    let end = range.end;
    range.step_by(size).map(move |start| start..(start + size).min(end))
}

fn count(queue: &str, settlements: &[Settlement]) {
    let name = queue.rsplit(['/', ':']).next().unwrap_or(queue).to_owned();
    let outcome = |settlement: &Settlement| match settlement {
        Settlement::Done => "done",
        Settlement::RetryAfter(_) => "retry",
        Settlement::Reject(_) => "rejected",
    };
    for label in ["done", "retry", "rejected"] {
        let number = settlements.iter().filter(|settlement| outcome(settlement) == label).count();
        if number > 0 {
            metrics::counter!(
                "reminders_consumer_messages_total",
                "queue" => name.clone(),
                "outcome" => label
            )
            .increment(number as u64);
        }
    }
}

#[cfg(test)]
mod tests;
