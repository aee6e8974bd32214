//! Writes results of deliveries to the ledger in batches, each in one transaction with the events
//! that report them.
//!
//! A batch that fails with an error that one of its results may have caused is split until that
//! result stands alone. It is then retried apart from the batches, and abandoned once later results
//! were written.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use backoff::Backoff;
use contract::{DeliveryState, EventType, Reason};
use db::FailureClass;
use futures::StreamExt as _;
use service::{
    consumer::parts,
    outbox::{self, OutboxMessage, RelayHandle},
};
use sqlx::PgPool;
use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::task::TaskTracker;

use super::Permit;
use crate::{
    clock::DbClock,
    domain::{
        delivery::{Address, DeliveryResult},
        events,
    },
    store::{
        devices,
        ledger::{self, Written},
    },
};

/// Most results that are written together.
const BATCH: usize = 500;
/// Time that the first result of a batch waits for others.
const GATHER: Duration = Duration::from_millis(5);
/// Batches that are written at the same time.
const BATCHES: usize = 3;
/// Pause before a batch that failed is retried.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(500));
/// Longest time that the last batches may take once no result follows.
const DRAIN: Duration = Duration::from_secs(10);
/// Results that were submitted and not taken up yet.
const QUEUE: usize = 4096;
/// Retries of a result that fails alone, before it is abandoned while others are written.
const ISOLATED_RETRIES: u32 = 5;
/// Results of one batch that are retried alone at the same time.
const ISOLATED_AT_ONCE: usize = 4;

/// Writes the results of all channels, one a process.
pub(super) struct ResultWriter {
    pool: PgPool,
    relay_handle: RelayHandle,
    clock: Arc<DbClock>,
    failing: AtomicUsize,
    /// Number of transactions that were committed.
    committed: AtomicU64,
}

/// Result that was submitted, with the permit of its delivery, which is released once it is
/// written.
pub(super) type Submitted = (DeliveryResult, Permit);

/// Results of a batch, in the order of their keys, and the permits of their deliveries.
type Batch = (Vec<DeliveryResult>, Vec<Permit>);

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("write results")]
    Sql(#[from] sqlx::Error),
    #[error("write an event as JSON")]
    Json(#[from] serde_json::Error),
}

impl Error {
    /// Returns `true` if one of the results may be the cause; otherwise the database is unreachable
    /// or refuses every statement.
    fn may_be_caused_by_result(&self) -> bool {
        match self {
            Self::Sql(error) => {
                matches!(db::failure_class(error), FailureClass::Data | FailureClass::Suspect)
            }
            Self::Json(_) => true,
        }
    }
}

impl ResultWriter {
    /// Creates a result writer, and the channel through which results are submitted to it.
    #[must_use]
    pub(super) fn new(
        pool: PgPool,
        relay_handle: RelayHandle,
        clock: Arc<DbClock>,
    ) -> (Arc<Self>, mpsc::Sender<Submitted>, mpsc::Receiver<Submitted>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let (failing, committed) = Default::default();
        (Arc::new(Self { pool, relay_handle, clock, failing, committed }), sender, receiver)
    }

    /// Returns `true` if results could not be written and are being retried: nothing should be
    /// claimed meanwhile, as it may be a delivery that was just sent.
    pub(super) fn is_retrying(&self) -> bool {
        self.failing.load(Ordering::Acquire) > 0
    }

    /// Writes until every sender is dropped, then ends the batches under way, in a bounded time.
    pub(super) async fn run(self: Arc<Self>, mut results: mpsc::Receiver<Submitted>) {
        let batches = TaskTracker::new();
        let batch_permits = Arc::new(Semaphore::new(BATCHES));
        while let Some(batch) = gather(&mut results).await {
            let Ok(batch_permit) = Arc::clone(&batch_permits).acquire_owned().await else { break };
            let writer = Arc::clone(&self);
            batches.spawn(async move {
                let isolated = writer.write(batch).await;
                // Other batches are written meanwhile: each isolated result holds only its permit.
                drop(batch_permit);
                let writing = futures::stream::iter(isolated).for_each_concurrent(
                    ISOLATED_AT_ONCE,
                    |(result, permit)| {
                        let writer = &writer;
                        async move {
                            writer.write_isolated(result).await;
                            drop(permit);
                        }
                    },
                );
                writing.await;
            });
        }
        batches.close();
        if timeout(DRAIN, batches.wait()).await.is_err() {
            tracing::warn!(
                "outcomes were not recorded before the drain limit, their deliveries will be \
                 claimed again"
            );
        }
    }

    /// Writes a batch, retrying as often as needed, and returns the results that fail alone. A
    /// transaction whose end is not known (the connection broke during the commit) is repeated too:
    /// the rows that it wrote are no longer pending then, and stay as they are.
    async fn write(&self, mut batch: Vec<Submitted>) -> Vec<Submitted> {
        batch.sort_unstable_by_key(|(result, _)| result.delivery.key.order());
        let whole: Batch = batch.into_iter().unzip();
        let (mut queue, mut isolated) = (VecDeque::from([whole]), Vec::new());
        let (mut retries, mut is_failing) = (0, false);
        while let Some((results, permits)) = queue.pop_front() {
            let Err(error) = self.try_write(&results).await else { continue };
            if !std::mem::replace(&mut is_failing, true) {
                self.failing.fetch_add(1, Ordering::AcqRel);
            }
            let is_split = error.may_be_caused_by_result();
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                outcomes = results.len(),
                is_split,
                "outcomes were not recorded, will retry"
            );
            if is_split && results.len() == 1 {
                isolated.extend(results.into_iter().zip(permits));
            } else if is_split {
                queue.extend(split((results, permits)));
            } else {
                queue.push_front((results, permits));
                retries += 1;
                sleep(BACKOFF.pause(retries)).await;
            }
        }
        if is_failing {
            self.failing.fetch_sub(1, Ordering::AcqRel);
        }
        isolated
    }

    /// Writes a result that failed alone. While nothing else can be written either it is retried
    /// again and again; once others are written it is abandoned after some retries, the last of
    /// them without the provider's text. Its delivery is claimed again when the lease ends.
    async fn write_isolated(&self, result: DeliveryResult) {
        let before = self.committed.load(Ordering::Acquire);
        let (mut attempts, mut retries) = (0, 0);
        let mut result = [result];
        while retries < ISOLATED_RETRIES {
            attempts += 1;
            sleep(BACKOFF.pause(attempts)).await;
            let Err(error) = self.try_write(&result).await else { return };
            let others_are_written = self.committed.load(Ordering::Acquire) > before;
            if others_are_written && error.may_be_caused_by_result() {
                retries += 1;
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    attempts = retries,
                    "single outcome was not recorded, will retry"
                );
            }
            if retries + 1 == ISOLATED_RETRIES {
                result[0].remove_provider_text();
            }
        }
        let [DeliveryResult { delivery, .. }] = result;
        let channel = delivery.key.channel.as_str();
        tracing::error!(
            occurrence.id = %delivery.key.occurrence_id.simple(),
            channel,
            "outcome could not be recorded although others were, its delivery will be claimed again"
        );
        metrics::counter!("reminders_outcomes_abandoned_total", "channel" => channel).increment(1);
    }

    async fn try_write(&self, results: &[DeliveryResult]) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        let written = ledger::write_results(&mut *transaction, results).await?;
        let mut messages = Vec::with_capacity(written.len());
        let mut dead = Vec::new();
        for (result, cancelled) in applied(results, &written) {
            messages.extend(
                events::result(result, cancelled).as_ref().map(OutboxMessage::of).transpose()?,
            );
            if let (true, Address::Device { version, .. }) =
                (result.token_is_dead, &result.delivery.address)
            {
                dead.push((
                    result.delivery.key.device_id,
                    *version,
                    result.reason().unwrap_or(Reason::Unregistered),
                ));
            }
        }
        if !dead.is_empty() {
            messages.extend(self.invalidate(&mut transaction, &dead).await?);
        }
        outbox::insert(&mut *transaction, &messages).await?;
        transaction.commit().await?;
        self.committed.fetch_add(1, Ordering::AcqRel);
        count(results, &written);
        self.relay_handle.after_commit(messages);
        Ok(())
    }

    async fn invalidate(
        &self,
        transaction: &mut sqlx::PgConnection,
        dead: &[(uuid::Uuid, i64, Reason)],
    ) -> Result<Vec<OutboxMessage>, Error> {
        let invalidated = devices::invalidate(&mut *transaction, dead).await?;
        let now = self.clock.now();
        let mut messages = Vec::with_capacity(invalidated.len());
        for device in &invalidated {
            let reason = dead.iter().find(|(id, ..)| *id == device.id).map(|(.., reason)| *reason);
            let event_type = EventType::DeviceInvalidated;
            let event = events::device(event_type, device, None, reason, now, None);
            messages.push(OutboxMessage::of(&event)?);
        }
        Ok(messages)
    }
}

/// Results that the ledger accepted, each with the reason for which its delivery was cancelled, if
/// it was.
fn applied<'a>(
    results: &'a [DeliveryResult],
    written: &'a [Written],
) -> impl Iterator<Item = (&'a DeliveryResult, Option<Reason>)> {
    written.iter().filter_map(|written| Some((results.get(written.position)?, written.cancelled)))
}

/// Splits a batch in a few, in the same order.
fn split((mut results, mut permits): Batch) -> Vec<Batch> {
    let ranges: Vec<_> = parts(0..results.len()).collect();
    let mut split: Vec<Batch> = ranges
        .into_iter()
        .rev()
        .map(|range| (results.split_off(range.start), permits.split_off(range.start)))
        .collect();
    split.reverse();
    split
}

/// Takes the results that are there and that come within [`GATHER`]; `None` once every sender is
/// dropped.
async fn gather(results: &mut mpsc::Receiver<Submitted>) -> Option<Vec<Submitted>> {
    let mut batch = Vec::with_capacity(BATCH);
    if results.recv_many(&mut batch, BATCH).await == 0 {
        return None;
    }
    let deadline = Instant::now() + GATHER;
    while batch.len() < BATCH {
        let missing = BATCH - batch.len();
        match timeout_at(deadline, results.recv_many(&mut batch, missing)).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    Some(batch)
}

fn count(results: &[DeliveryResult], written: &[Written]) {
    let stale = results.len() - written.len();
    if stale > 0 {
        metrics::counter!("reminders_outcomes_stale_total").increment(stale as u64);
    }
    let mut counts = BTreeMap::<(&str, &str), u64>::new();
    for (result, cancelled) in applied(results, written) {
        let state = if cancelled.is_some() { DeliveryState::Suppressed } else { result.state() };
        *counts.entry((result.delivery.key.channel.as_str(), state.as_str())).or_default() += 1;
    }
    for ((channel, state), count) in counts {
        metrics::counter!("reminders_deliveries_total", "channel" => channel, "state" => state)
            .increment(count);
    }
}
