//! Writes verdicts in batches, each in one transaction with the events that tell of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use shared::{
    contract::{DeliveryState, EventType},
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
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("write verdicts")]
    Sql(#[from] sqlx::Error),
    #[error("write an event as JSON")]
    Json(#[from] serde_json::Error),
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
        (Arc::new(Self { pool, handoff, clock, failing: AtomicUsize::new(0) }), sender, records)
    }

    /// Whether verdicts could not be written and are being tried again: nothing should be claimed meanwhile, for it may
    /// be what was just sent.
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
                recorder.write(batch).await;
                drop(slot);
            });
        }
        batches.close();
        if timeout(DRAIN, batches.wait()).await.is_err() {
            tracing::warn!(
                "some verdicts could not be written in time; their deliveries are claimed anew when the leases end"
            );
        }
    }

    /// Writes a batch, however often it takes. An attempt to write whose end is not known (the connection broke during the
    /// commit) is repeated too: what it had written is then no longer pending and stays as it is.
    async fn write(&self, batch: Vec<Finished>) {
        let (mut records, places): (Vec<Record>, Vec<Place>) =
            batch.into_iter().map(|it| (it.record, it._place)).unzip();
        records.sort_unstable_by_key(|record| record.delivery.key.order());
        let mut pause = AGAIN.0;
        while let Err(error) = self.try_write(&records).await {
            if pause == AGAIN.0 {
                self.failing.fetch_add(1, Ordering::AcqRel);
            }
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                verdicts = records.len(),
                "verdicts could not be written; trying again"
            );
            sleep(pause).await;
            pause = (pause * 2).min(AGAIN.1);
        }
        if pause != AGAIN.0 {
            self.failing.fetch_sub(1, Ordering::AcqRel);
        }
        drop(places);
    }

    async fn try_write(&self, records: &[Record]) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        let counted = ledger::record(&mut *transaction, records).await?;
        let mut messages = Vec::with_capacity(counted.len());
        let mut dead = Vec::new();
        for (record, withdrawn) in counted.iter().filter_map(|it| Some((records.get(it.position)?, &it.withdrawn))) {
            messages.extend(events::recorded(record, withdrawn.as_deref())?);
            if let (true, Address::Device { version, .. }) = (record.token_is_dead, &record.delivery.address) {
                dead.push((record.delivery.key.device_id, *version, record.reason().unwrap_or_default().to_owned()));
            }
        }
        if !dead.is_empty() {
            messages.extend(self.invalidate(&mut transaction, &dead).await?);
        }
        outbox::insert(&mut *transaction, &messages).await?;
        transaction.commit().await?;
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
            messages.push(events::device(EventType::DeviceInvalidated, device, None, reason, now, None)?);
        }
        Ok(messages)
    }
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
        metrics::counter!("delivery_verdicts_stale_total").increment(stale as u64);
    }
    let mut figures = std::collections::BTreeMap::<(&str, &str), u64>::new();
    for (record, withdrawn) in counted.iter().filter_map(|it| Some((records.get(it.position)?, &it.withdrawn))) {
        let state = if withdrawn.is_some() { DeliveryState::Suppressed } else { record.state() };
        *figures.entry((record.delivery.key.channel.as_str(), state.as_str())).or_default() += 1;
    }
    for ((channel, state), number) in figures {
        metrics::counter!("deliveries_total", "channel" => channel, "state" => state).increment(number);
    }
}
