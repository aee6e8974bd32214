//! Writes verdicts in batches, each in one transaction with the events that tell of them.
//!
//! A batch that fails for what one of its verdicts may have caused is split until the cause stands
//! alone. It is then tried apart from the batches, and given up once others were written that came
//! after it.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::StreamExt as _;
use shared::{
    consumer::parts,
    contract::{DeliveryState, EventType},
    db::{self, FailureClass},
    outbox::{self, Handoff, OutboxMessage},
};
use sqlx::PgPool;
use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::task::TaskTracker;

use super::Place;
use crate::{
    clock::DbClock,
    delivery::{Address, Record},
    events,
    store::{
        devices,
        ledger::{self, Counted},
    },
};

/// Verdicts written together at the most.
const BATCH: usize = 500;
/// How long the first verdict of a batch waits for others.
const GATHER: Duration = Duration::from_millis(5);
/// Batches under way at once.
const BATCHES: usize = 3;
/// The pause before a batch that failed is tried again, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
/// How long the last batches may take once nothing more comes.
const DRAIN: Duration = Duration::from_secs(10);
/// Verdicts handed over and not yet taken up.
const QUEUE: usize = 4096;
/// Tries of a verdict that fails alone, before it is given up while others are written.
const TRIES_ALONE: u32 = 5;
/// Verdicts of one batch that are tried alone at once.
const ALONE_AT_ONCE: usize = 4;

/// A verdict, with the place that its delivery held in its lane.
#[derive(Debug)]
pub struct Finished {
    /// What is to be recorded.
    pub record: Record,
    /// Given back once it is.
    pub _place: Place,
}

/// Writes verdicts, one a process, for all lanes.
pub struct Recorder {
    pool: PgPool,
    handoff: Handoff,
    clock: Arc<DbClock>,
    failing: AtomicUsize,
    /// Transactions that were written.
    written: AtomicU64,
}

/// Verdicts of a batch, in the order of their keys, and the places that their deliveries hold.
type Part = (Vec<Record>, Vec<Place>);

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("write verdicts")]
    Sql(#[from] sqlx::Error),
    #[error("write an event as JSON")]
    Json(#[from] serde_json::Error),
}

impl Error {
    /// Returns whether one of the verdicts may be the cause; otherwise the database is away or in
    /// somebody's way.
    fn accuses_verdicts(&self) -> bool {
        match self {
            Self::Sql(error) => {
                matches!(db::failure_class(error), FailureClass::Data | FailureClass::Suspect)
            }
            Self::Json(_) => true,
        }
    }
}

impl Recorder {
    /// A recorder, the way to it, and where what is handed to it comes out.
    #[must_use]
    pub fn new(
        pool: PgPool,
        handoff: Handoff,
        clock: Arc<DbClock>,
    ) -> (Arc<Self>, mpsc::Sender<Finished>, mpsc::Receiver<Finished>) {
        let (sender, records) = mpsc::channel(QUEUE);
        (
            Arc::new(Self {
                pool,
                handoff,
                clock,
                failing: AtomicUsize::default(),
                written: AtomicU64::default(),
            }),
            sender,
            records,
        )
    }

    /// Whether verdicts could not be written and are being tried again: nothing should be claimed
    /// meanwhile, for it may be what was just sent.
    pub fn is_behind(&self) -> bool {
        self.failing.load(Ordering::Acquire) > 0
    }

    /// Records until every way to it is gone, then ends the batches under way, in a bounded time.
    pub async fn run(self: Arc<Self>, mut records: mpsc::Receiver<Finished>) {
        let batches = TaskTracker::new();
        let slots = Arc::new(Semaphore::new(BATCHES));
        while let Some(batch) = gather(&mut records).await {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { break };
            let recorder = Arc::clone(&self);
            batches.spawn(async move {
                let alone = recorder.write(batch).await;
                // Others are written meanwhile: each of these holds no more than its place.
                drop(slot);
                let writing = futures::stream::iter(alone).for_each_concurrent(
                    ALONE_AT_ONCE,
                    |(record, place)| {
                        let recorder = &recorder;
                        async move {
                            recorder.write_alone(record).await;
                            drop(place);
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

    /// Writes a batch, however often it takes, but for verdicts that fail alone: those are
    /// returned. An attempt to write whose end is not known (the connection broke during the
    /// commit) is repeated too: what it had written is then no longer pending and stays as it is.
    async fn write(&self, mut batch: Vec<Finished>) -> Vec<(Record, Place)> {
        batch.sort_unstable_by_key(|finished| finished.record.delivery.key.order());
        let whole: Part =
            batch.into_iter().map(|finished| (finished.record, finished._place)).unzip();
        let (mut queue, mut alone) = (VecDeque::from([whole]), Vec::new());
        let mut pause = AGAIN.0;
        let mut is_failing = false;
        while let Some((records, places)) = queue.pop_front() {
            let Err(error) = self.try_write(&records).await else { continue };
            if !std::mem::replace(&mut is_failing, true) {
                self.failing.fetch_add(1, Ordering::AcqRel);
            }
            let is_split = error.accuses_verdicts();
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                outcomes = records.len(),
                is_split,
                "outcomes were not recorded, will retry"
            );
            if is_split && records.len() == 1 {
                alone.extend(records.into_iter().zip(places));
            } else if is_split {
                queue.extend(split((records, places)));
            } else {
                queue.push_front((records, places));
                sleep(pause).await;
                pause = (pause * 2).min(AGAIN.1);
            }
        }
        if is_failing {
            self.failing.fetch_sub(1, Ordering::AcqRel);
        }
        alone
    }

    /// Writes a verdict that failed alone. While nothing else can be written either it is tried
    /// again and again; once others are written it is given up after some tries, the last of them
    /// without the provider's words: its delivery is claimed anew when the lease ends.
    async fn write_alone(&self, record: Record) {
        let (before, mut pause, mut tries) = (self.written.load(Ordering::Acquire), AGAIN.0, 0);
        let mut record = [record];
        while tries < TRIES_ALONE {
            sleep(pause).await;
            pause = (pause * 2).min(AGAIN.1);
            let Err(error) = self.try_write(&record).await else { return };
            let has_evidence = self.written.load(Ordering::Acquire) > before;
            if has_evidence && error.accuses_verdicts() {
                tries += 1;
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    attempts = tries,
                    "outcome was not recorded alone, will retry"
                );
            }
            if tries + 1 == TRIES_ALONE {
                record[0].leave_out_words();
            }
        }
        let [Record { delivery, .. }] = record;
        tracing::error!(
            occurrence.id = %delivery.key.occurrence_id.simple(),
            channel = delivery.key.channel.as_str(),
            "outcome cannot be recorded while others can, was abandoned, its delivery will be \
             claimed again"
        );
        let channel = delivery.key.channel.as_str();
        metrics::counter!("reminders_outcomes_abandoned_total", "channel" => channel).increment(1);
    }

    async fn try_write(&self, records: &[Record]) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        let counted = ledger::record(&mut *transaction, records).await?;
        let mut messages = Vec::with_capacity(counted.len());
        let mut dead = Vec::new();
        for (record, withdrawn) in
            counted.iter().filter_map(|it| Some((records.get(it.position)?, &it.withdrawn)))
        {
            messages.extend(events::recorded(record, withdrawn.as_deref())?);
            if let (true, Address::Device { version, .. }) =
                (record.token_is_dead, &record.delivery.address)
            {
                dead.push((
                    record.delivery.key.device_id,
                    *version,
                    record.reason().unwrap_or_default().to_owned(),
                ));
            }
        }
        if !dead.is_empty() {
            messages.extend(self.invalidate(&mut transaction, &dead).await?);
        }
        outbox::insert(&mut *transaction, &messages).await?;
        transaction.commit().await?;
        self.written.fetch_add(1, Ordering::AcqRel);
        count(records, &counted);
        self.handoff.after_commit(messages);
        Ok(())
    }

    async fn invalidate(
        &self,
        transaction: &mut sqlx::PgConnection,
        dead: &[(uuid::Uuid, i64, String)],
    ) -> Result<Vec<OutboxMessage>, Error> {
        let invalidated = devices::invalidate(&mut *transaction, dead).await?;
        let now = self.clock.now();
        let mut messages = Vec::with_capacity(invalidated.len());
        for device in &invalidated {
            let reason = dead.iter().find(|it| it.0 == device.id).map(|it| it.2.as_str());
            messages.push(events::device(
                EventType::DeviceInvalidated,
                device,
                None,
                reason,
                now,
                None,
            )?);
        }
        Ok(messages)
    }
}

/// Splits a part in a few, in the same order.
fn split((mut records, mut places): Part) -> Vec<Part> {
    let ranges: Vec<_> = parts(0..records.len()).collect();
    let mut split: Vec<Part> = ranges
        .into_iter()
        .rev()
        .map(|range| (records.split_off(range.start), places.split_off(range.start)))
        .collect();
    split.reverse();
    split
}

/// A batch: what is there, and what comes within [`GATHER`]; none when nothing will come any more.
async fn gather(records: &mut mpsc::Receiver<Finished>) -> Option<Vec<Finished>> {
    let mut batch = Vec::with_capacity(BATCH);
    if records.recv_many(&mut batch, BATCH).await == 0 {
        return None;
    }
    let deadline = Instant::now() + GATHER;
    while batch.len() < BATCH {
        let missing = BATCH - batch.len();
        match timeout_at(deadline, records.recv_many(&mut batch, missing)).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    Some(batch)
}

fn count(records: &[Record], counted: &[Counted]) {
    let stale = records.len() - counted.len();
    if stale > 0 {
        metrics::counter!("reminders_outcomes_stale_total").increment(stale as u64);
    }
    let mut figures = std::collections::BTreeMap::<(&str, &str), u64>::new();
    for (record, withdrawn) in
        counted.iter().filter_map(|it| Some((records.get(it.position)?, &it.withdrawn)))
    {
        let state = if withdrawn.is_some() { DeliveryState::Suppressed } else { record.state() };
        *figures.entry((record.delivery.key.channel.as_str(), state.as_str())).or_default() += 1;
    }
    for ((channel, state), number) in figures {
        metrics::counter!("reminders_deliveries_total", "channel" => channel, "state" => state)
            .increment(number);
    }
}
