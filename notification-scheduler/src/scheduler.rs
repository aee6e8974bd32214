//! Claims what is due, again and again, and hands each batch to be released while the next is claimed.
//!
//! Two loops claim. The first goes on from where it was: it passes over what lies before the last claim, so that index
//! entries of released occurrences, which a held snapshot keeps alive, cost it nothing. The second looks at everything, for
//! what was made late, given back, or left by a crash; it looks the less often the longer that takes.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use shared::bus::SharedBus;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    pace::{self, BREATH, Failures},
    release::Releaser,
    store::{Batch, Store},
};

/// How a scheduler works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The topic (`NOTIFICATION_TOPIC_ARN`).
    pub topic: String,
    /// How long a claim is a lease; the store's claims have the same length.
    pub lease: Duration,
    /// Occurrences claimed together at the most.
    pub batch: usize,
    /// Batches on their way to the topic at once.
    pub in_flight: usize,
}

impl Settings {
    /// The length of a lease.
    pub const LEASE: Duration = Duration::from_secs(15);

    /// What serves well everywhere.
    #[must_use]
    pub fn new(topic: String) -> Self {
        Self { topic, lease: Self::LEASE, batch: 500, in_flight: 6 }
    }
}

/// How long a drain may take: what is not marked by then is published again by another, with the same ids.
const DRAIN: Duration = Duration::from_secs(20);

/// One scheduler; any number share a database.
#[derive(Clone)]
pub struct Scheduler {
    store: Store,
    settings: Settings,
    releaser: Arc<Releaser>,
    permits: Arc<Semaphore>,
    database: Arc<Failures>,
}

impl Scheduler {
    /// A scheduler on a database and a bus.
    #[must_use]
    pub fn new(store: Store, bus: SharedBus, settings: Settings) -> Self {
        let releaser = Arc::new(Releaser::new(store.clone(), bus, settings.topic.clone(), settings.lease));
        let permits = Arc::new(Semaphore::new(settings.in_flight));
        Self { store, settings, releaser, permits, database: Arc::default() }
    }

    /// Whether the topic took what was published last.
    #[must_use]
    pub fn topic_answers(&self) -> bool {
        !self.releaser.topic.any()
    }

    /// Works until the token is cancelled, then lets the batches under way finish.
    pub async fn run(&self, shutdown: CancellationToken) {
        let everything = tokio::spawn(self.clone().claim_everything(shutdown.clone()));
        let mut releasing = self.clone().claim_onwards(shutdown).await;
        match everything.await {
            Ok(others) => drain(others).await,
            Err(error) => tracing::error!(error = %error, "the loop of full claims ended unexpectedly"),
        }
        drain_in_time(&mut releasing).await;
    }

    /// Claims from the hint on, full batches without a pause, and otherwise when the next one is due.
    async fn claim_onwards(self, shutdown: CancellationToken) -> JoinSet<()> {
        let mut releasing = JoinSet::new();
        let mut hint = None;
        while let Some(permit) = self.permit(&shutdown).await {
            while releasing.try_join_next().is_some() {}
            let pause = match self.claim(hint).await {
                None => Duration::ZERO,
                Some(batch) if batch.claimed.is_empty() => self.until_next(hint).await,
                Some(batch) => {
                    hint = batch.claimed.last().map(|it| it.due_at).max(hint);
                    let full = batch.claimed.len() == self.settings.batch;
                    self.start(batch, permit, &mut releasing, &shutdown);
                    if full { Duration::ZERO } else { BREATH }
                }
            };
            wait(pause, &shutdown).await;
        }
        releasing
    }

    /// Claims without the hint, now and then.
    async fn claim_everything(self, shutdown: CancellationToken) -> JoinSet<()> {
        let mut releasing = JoinSet::new();
        while let Some(permit) = self.permit(&shutdown).await {
            while releasing.try_join_next().is_some() {}
            let started = Instant::now();
            let batch = self.claim(None).await;
            let took = started.elapsed();
            let mut pause = pace::between_full_claims(took);
            if let Some(batch) = batch.filter(|batch| !batch.claimed.is_empty()) {
                if batch.claimed.len() == self.settings.batch {
                    pause = took;
                }
                self.start(batch, permit, &mut releasing, &shutdown);
            } else {
                drop(permit);
            }
            wait(pause, &shutdown).await;
        }
        releasing
    }

    /// The right to one batch more, once neither the database nor the topic asks for a pause; none after the shutdown.
    async fn permit(&self, shutdown: &CancellationToken) -> Option<OwnedSemaphorePermit> {
        let pause = self.database.pause().max(self.releaser.topic.pause());
        if let Some(pause) = pause {
            wait(pause, shutdown).await;
        }
        tokio::select! {
            biased;
            () = shutdown.cancelled() => None,
            permit = Arc::clone(&self.permits).acquire_owned() => permit.ok(),
        }
    }

    /// One claim; nothing when the database failed, which is noted.
    async fn claim(&self, hint: Option<DateTime<Utc>>) -> Option<Batch> {
        match self.store.claim(self.settings.batch as i64, hint).await {
            Ok(batch) => {
                self.database.clear();
                count(&batch);
                Some(batch)
            }
            Err(error) => {
                self.failed(&error);
                None
            }
        }
    }

    async fn until_next(&self, hint: Option<DateTime<Utc>>) -> Duration {
        match self.store.next(hint).await {
            Ok(next) => pace::until(next),
            Err(error) => {
                self.failed(&error);
                Duration::ZERO
            }
        }
    }

    fn failed(&self, error: &crate::store::StoreError) {
        self.database.note();
        metrics::counter!("scheduler_database_failures_total").increment(1);
        tracing::warn!(error = error as &dyn std::error::Error, "the database failed; trying again");
    }

    fn start(
        &self,
        batch: Batch,
        permit: OwnedSemaphorePermit,
        releasing: &mut JoinSet<()>,
        shutdown: &CancellationToken,
    ) {
        let (releaser, shutdown) = (Arc::clone(&self.releaser), shutdown.clone());
        releasing.spawn(async move {
            if shutdown.is_cancelled() {
                releaser.give_back(&batch.claimed).await;
            } else {
                releaser.release(batch).await;
            }
            drop(permit);
        });
    }
}

fn count(batch: &Batch) {
    if batch.claimed.is_empty() {
        return;
    }
    metrics::counter!("scheduler_claimed_total").increment(batch.claimed.len() as u64);
    metrics::histogram!("scheduler_claim_duration_seconds").record(batch.claimed_at.elapsed().as_secs_f64());
    let lateness = metrics::histogram!("scheduler_lateness_seconds");
    for it in &batch.claimed {
        lateness.record(it.lateness);
    }
}

async fn wait(pause: Duration, shutdown: &CancellationToken) {
    if !pause.is_zero() {
        tokio::select! { () = sleep(pause) => {} () = shutdown.cancelled() => {} }
    }
}

async fn drain(mut releasing: JoinSet<()>) {
    drain_in_time(&mut releasing).await;
}

async fn drain_in_time(releasing: &mut JoinSet<()>) {
    let all = async { while releasing.join_next().await.is_some() {} };
    if timeout(DRAIN, all).await.is_err() {
        tracing::warn!("some batches were not finished in time; their leases run out by themselves");
    }
}
