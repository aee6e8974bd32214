//! The loop of every consumer: receive a batch, handle it, settle it by value; extend its
//! visibility while the handler runs; drain on shutdown.
//!
//! No message of a batch may harm the others. What comes for the first time is handled and settled
//! before what came before, which is handled in small groups: whatever ends the process takes only
//! those with it that share a group with the cause. A handler that panics is called again with
//! parts of its batch until the cause stands alone. What fails in the store is found by the
//! handlers themselves, with [`isolation`].

pub mod isolation;

use std::{
    collections::VecDeque,
    future::Future,
    ops::Range,
    panic::AssertUnwindSafe,
    sync::{Arc, Once},
    time::Duration,
};

use futures::FutureExt as _;
use tokio::{
    task::JoinSet,
    time::{Instant, Interval, MissedTickBehavior, interval, interval_at, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::bus::{MAX_RECEIVE_BYTES, Receipt, Received, Settlement, SharedBus};

/// What a consumer does with a batch.
pub trait Handler: Send + Sync + 'static {
    /// Handles a batch and says of each message, in order, what becomes of it. It does not fail:
    /// what could not be done now is [`Settlement::RetryAfter`]. It may be called again with parts
    /// of a batch, and must bear that.
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
    /// For how long its dead letters are kept, where the bus does not see to it itself.
    pub dead_letters_kept: Duration,
}

/// How long one receive waits for a message; also what a shutdown waits for at most, since a
/// receive that is given up may already have hidden messages, which would then come late.
const WAIT: Duration = Duration::from_secs(2);
/// The pause after a receive that failed, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Parts that a batch is split into when one of its messages makes it fail: 500 messages are single
/// after three splits.
const PARTS: usize = 8;
/// Messages of one group, by how often they were received: more than once, and more than three
/// times.
const GROUPS: [(u32, usize); 2] = [(1, 64), (3, 8)];
/// Time between two purges of dead letters that are older than they are kept.
const PURGE: Duration = Duration::from_secs(60 * 60);
/// Receipts at which a message is given up whose handling panics.
const PANICS: u32 = 2;
/// When a message comes again whose handling panicked.
const AFTER_PANIC: Duration = Duration::from_secs(5);

/// Consumes a queue until the token is cancelled, then lets the batches under way finish.
pub async fn run<H: Handler>(
    bus: SharedBus,
    settings: ConsumerSettings,
    handler: Arc<H>,
    shutdown: CancellationToken,
) {
    describe();
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
            // A panic in a handler must not end the consumption of its queue: its batch becomes
            // visible again.
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

/// Removes dead letters that are older than they are kept, every now and then.
async fn purge(bus: SharedBus, settings: ConsumerSettings) {
    let mut tick = interval(PURGE);
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
    let mut pause = PAUSE.0;
    while !shutdown.is_cancelled() {
        let received =
            bus.receive(&settings.queue, settings.batch, settings.visibility, WAIT).await;
        match received {
            Ok(batch) if batch.is_empty() => pause = PAUSE.0,
            Ok(batch) => {
                pause = PAUSE.0;
                process(&bus, &settings, &*handler, batch).await;
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    queue = settings.queue,
                    "receive failed, will retry"
                );
                tokio::select! { () = sleep(pause) => {} () = shutdown.cancelled() => return }
                pause = (pause * 2).min(PAUSE.1);
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
    let mut groups = VecDeque::from(groups(batch));
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

/// Extends the visibility of messages for as long as it is awaited.
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
        if let Settlement::Reject(reason) = settlement {
            tracing::error!(
                message.id = message.message_id,
                reason,
                queue = settings.queue,
                "message was dead-lettered"
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

/// The groups in which a batch is handled, one after the other: first what was not received before,
/// within [`MAX_RECEIVE_BYTES`] a group, then the rest by [`GROUPS`].
fn groups(batch: Vec<Received>) -> Vec<Vec<Received>> {
    let (mut groups, mut again, mut often) = (Vec::new(), Vec::new(), Vec::new());
    let (mut fresh, mut bytes) = (Vec::with_capacity(batch.len()), 0);
    for message in batch {
        if message.receive_count > GROUPS[1].0 {
            often.push(message);
        } else if message.receive_count > GROUPS[0].0 {
            again.push(message);
        } else {
            let size = message.bytes();
            if bytes + size > MAX_RECEIVE_BYTES && !fresh.is_empty() {
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

/// Handles a batch; where its handling panics, by parts, until the message at fault stands alone.
async fn handle<H: Handler>(handler: &H, batch: &[Received]) -> Vec<Settlement> {
    let mut settlements = vec![Settlement::RetryAfter(AFTER_PANIC); batch.len()];
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
                    [message] if message.receive_count >= PANICS => {
                        settlements[part.start] =
                            Settlement::Reject("its handling panicked".to_owned());
                    }
                    [_] => {}
                    _ => queue.extend(parts(part)),
                }
            }
        }
    }
    settlements
}

/// A range in a few parts (8) of nearly the same length, or in single items where it is shorter.
pub fn parts(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let size = range.len().div_ceil(PARTS).max(1);
    let end = range.end;
    range.step_by(size).map(move |start| start..(start + size).min(end))
}

/// Says what the metrics of consumers mean.
fn describe() {
    static DESCRIBED: Once = Once::new();
    DESCRIBED.call_once(|| {
        metrics::describe_counter!(
            "reminders_consumer_batches_split_total",
            "Batches, and parts of them, that were split to find the message that made them fail"
        );
        metrics::describe_counter!(
            "reminders_consumer_batch_retries_total",
            "Tries of batches in place, while their store was away or in the way of another \
             transaction"
        );
        metrics::describe_counter!(
            "reminders_consumer_panics_total",
            "Panics of handlers of messages"
        );
        metrics::describe_counter!(
            "reminders_dead_letters_purged_total",
            "Dead letters that were removed as they were older than they are kept"
        );
    });
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
            metrics::counter!(
                "reminders_consumer_messages_total",
                "queue" => name.clone(),
                "outcome" => outcome
            )
            .increment(number as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Mutex};

    use chrono::Utc;

    use super::*;

    fn message(number: usize, receive_count: u32) -> Received {
        Received {
            receipt: Receipt(number.to_string()),
            message_id: number.to_string(),
            body: "{}".to_owned(),
            attributes: BTreeMap::new(),
            receive_count,
            sent_at: Utc::now(),
        }
    }

    /// A handler that panics at some messages, and remembers the sizes of its batches.
    struct Panicking(&'static [&'static str], Mutex<Vec<usize>>);

    impl Handler for Panicking {
        async fn handle(&self, batch: &[Received]) -> Vec<Settlement> {
            self.1.lock().unwrap().push(batch.len());
            assert!(
                !batch.iter().any(|message| self.0.contains(&message.message_id.as_str())),
                "scripted"
            );
            vec![Settlement::Done; batch.len()]
        }
    }

    #[tokio::test]
    async fn isolates_message_whose_handling_panics() {
        let handler = Panicking(&["7", "300"], Mutex::default());
        let mut batch: Vec<_> = (0..500).map(|number| message(number, 1)).collect();
        batch[300].receive_count = 2;

        let settlements = handle(&handler, &batch).await;

        assert_eq!(settlements[7], Settlement::RetryAfter(AFTER_PANIC));
        assert_eq!(settlements[300], Settlement::Reject("its handling panicked".to_owned()));
        assert_eq!(
            settlements.iter().filter(|settlement| **settlement == Settlement::Done).count(),
            498
        );
        assert!(handler.1.lock().unwrap().len() < 60);
    }

    #[test]
    fn handles_fresh_messages_before_small_groups() {
        let counts = [5, 1, 2, 1].into_iter().chain([2; 70]).chain([4; 10]);
        let batch: Vec<_> =
            counts.enumerate().map(|(number, count)| message(number, count)).collect();
        let sizes: Vec<_> = groups(batch.clone()).iter().map(Vec::len).collect();
        assert_eq!(sizes, [2, 64, 7, 8, 3]);
        assert_eq!(groups(batch)[0][0].message_id, "1");
    }

    #[test]
    fn bounds_groups_by_bytes() {
        let large =
            |number| Received { body: "x".repeat(MAX_RECEIVE_BYTES / 2), ..message(number, 1) };
        assert_eq!(
            groups((0..5).map(large).collect()).iter().map(Vec::len).collect::<Vec<_>>(),
            [2, 2, 1]
        );
    }

    #[test]
    fn splits_range_into_parts() {
        let lengths =
            |length: usize| parts(3..3 + length).map(|part| part.len()).collect::<Vec<_>>();
        assert_eq!(lengths(500), [63, 63, 63, 63, 63, 63, 63, 59]);
        assert_eq!(lengths(9), [2, 2, 2, 2, 1]);
        assert_eq!(lengths(2), [1, 1]);
        assert_eq!(parts(0..500).flatten().collect::<Vec<_>>(), (0..500).collect::<Vec<_>>());
    }
}
