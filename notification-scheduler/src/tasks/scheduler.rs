//! Claims due occurrences in a loop; each batch is published while the next one is claimed.
//!
//! Two loops claim. The first continues from the due time of its last claim, so that index entries
//! of released occurrences, which a held snapshot keeps alive, cost nothing. The second claims from
//! the beginning, for occurrences that were created late, returned, or left by a crash; it runs the
//! less often the longer a claim takes.
//!
//! While some user has more due than the rate limit allows
//! ([`limit_user_releases`](crate::usecases::limit_user_releases)), both loops pass over that user,
//! and the first one also claims what the limit allows.

use std::{sync::Arc, time::Duration};

use backoff::SharedBackoff;
use bus::SharedBus;
use service::shutdown::spawn_critical;
use sqlx::PgPool;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{
        claim::{Batch, LeaseTerms, PublishStatus},
        claim_interval::{self, MIN_INTERVAL},
        user_key::UserKey,
    },
    usecases::{
        BACKOFF, claim_due_occurrences::DueOccurrences, claim_next_batch::BatchClaimer,
        limit_user_releases::ReleaseLimits, release_due_occurrences::Releaser,
        sleep_while_idle::Sleeper,
    },
};

/// Settings of a scheduler.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Topic that is published to (`NOTIFICATION_TOPIC_ARN`).
    pub topic: String,
    /// Duration of a lease.
    pub lease: Duration,
    /// Time before its due time from which on an occurrence is claimed
    /// (`CLAIM_AHEAD_MILLISECONDS`).
    pub claim_ahead: Duration,
    /// Largest number of occurrences claimed together.
    pub batch: usize,
    /// Number of batches published at once.
    pub in_flight: usize,
    /// Occurrences of one user released in a second at the most (`USER_RELEASES_PER_SECOND`), and
    /// as many at once.
    pub user_releases_per_second: u32,
}

impl Settings {
    /// Default duration of a lease.
    pub const LEASE: Duration = Duration::from_secs(15);
    /// Default time before the due time from which on an occurrence is claimed: longer than it
    /// usually takes to notification-service.
    pub const CLAIM_AHEAD: Duration = Duration::from_millis(100);

    /// Returns the default settings for a topic.
    #[must_use]
    pub fn new(topic: String) -> Self {
        Self {
            topic,
            lease: Self::LEASE,
            claim_ahead: Self::CLAIM_AHEAD,
            batch: 500,
            in_flight: 6,
            user_releases_per_second: 500,
        }
    }
}

/// Longest time that a drain may take: occurrences that are not marked by then are published again
/// by another scheduler, with the same ids.
const DRAIN: Duration = Duration::from_secs(20);

/// One scheduler; any number share a database.
#[derive(Clone)]
pub struct Scheduler {
    claimer: Arc<BatchClaimer>,
    releaser: Arc<Releaser>,
    limits: Arc<ReleaseLimits>,
    sleeper: Arc<Sleeper>,
    /// Back-off of the topic.
    topic: Arc<SharedBackoff>,
    permits: Arc<Semaphore>,
    /// Largest number of occurrences claimed together.
    batch: usize,
    lease: Duration,
}

impl Scheduler {
    /// A scheduler on a database and a bus. `listener` is a pool of one connection to the same
    /// database.
    #[must_use]
    pub fn new(pool: PgPool, listener: PgPool, bus: SharedBus, settings: Settings) -> Self {
        let Settings { topic, lease, claim_ahead, batch, in_flight, user_releases_per_second } =
            settings;
        let limits = Arc::new(ReleaseLimits::new(user_releases_per_second));
        let backoff = Arc::new(SharedBackoff::new(BACKOFF));
        let due = DueOccurrences::new(pool.clone(), LeaseTerms { lease, ahead: claim_ahead });
        let sleeper = Arc::new(Sleeper::new(pool.clone(), due.clone(), listener));
        let claimer = BatchClaimer::new(due, batch, Arc::clone(&limits), Arc::clone(&backoff));
        let releaser = Releaser::new(
            pool,
            bus,
            topic,
            lease,
            Arc::clone(&backoff),
            Arc::clone(&limits),
            Arc::clone(&sleeper),
        );
        Self {
            claimer: Arc::new(claimer),
            releaser: Arc::new(releaser),
            limits,
            sleeper,
            topic: backoff,
            permits: Arc::new(Semaphore::new(in_flight)),
            batch,
            lease,
        }
    }

    /// Returns `true` unless the last publish failed. A failure counts for two leases: a scheduler
    /// with work has published again by then, and one without work would never be ready again.
    #[must_use]
    pub fn topic_answers(&self) -> bool {
        !self.topic.has_failed_within(self.lease * 2)
    }

    /// Runs until the token is cancelled, then waits for the batches in progress.
    pub async fn run(&self, shutdown: CancellationToken) {
        let everything = spawn_critical(
            "full claims",
            &shutdown,
            self.clone().claim_from_start(shutdown.clone()),
        );
        let mut releasing = self.clone().claim_from_last(shutdown).await;
        match everything.await {
            Ok(others) => drain(others).await,
            Err(error) => {
                tracing::error!(error = %error, "loop of full claims ended unexpectedly")
            }
        }
        drain_in_time(&mut releasing).await;
    }

    /// Claims from the last due time on: full batches without a pause, otherwise when the next
    /// occurrence may be claimed.
    async fn claim_from_last(self, shutdown: CancellationToken) -> JoinSet<()> {
        let mut releasing = JoinSet::new();
        let mut not_before = None;
        while let Some(permit) = self.permit(&shutdown).await {
            while releasing.try_join_next().is_some() {}
            let started = Instant::now();
            let backlogged = self.limits.backlogged();
            let claimed = self.claimer.claim(not_before, &backlogged).await;
            let took = started.elapsed();
            let pause = match &claimed {
                None => Duration::ZERO,
                Some(batch) if batch.leased() >= self.batch => Duration::ZERO,
                Some(_) if !backlogged.is_empty() => claim_interval::while_backlogged(took),
                Some(batch) if batch.leased() == 0 => self.claimer.until_next(not_before).await,
                Some(_) => MIN_INTERVAL,
            };
            self.record(claimed.as_ref(), &backlogged).await;
            if let Some(batch) = claimed {
                not_before = batch.last_due_at().max(not_before);
                self.admit_and_publish(batch, permit, &mut releasing, &shutdown).await;
            }
            if !backlogged.is_empty() {
                self.claim_allowances(&mut releasing, &shutdown).await;
            }
            self.wait(pause, &shutdown).await;
        }
        releasing
    }

    /// Records whether a claim found something. A scheduler with backlogged users does not sleep.
    async fn record(&self, claimed: Option<&Batch>, backlogged: &[UserKey]) {
        let Some(batch) = claimed else { return };
        if batch.leased() > 0 || !backlogged.is_empty() {
            self.sleeper.found_some();
        } else if let Err(error) = self.sleeper.found_nothing().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "scheduler cannot sleep, will look again for due occurrences"
            );
        }
    }

    /// Waits for a pause, and while there is nothing to claim.
    async fn wait(&self, pause: Duration, shutdown: &CancellationToken) {
        wait(pause, shutdown).await;
        tokio::select! { () = self.sleeper.wait() => {} () = shutdown.cancelled() => {} }
    }

    /// Claims occurrences of backlogged users, as far as their rate limits allow.
    async fn claim_allowances(&self, releasing: &mut JoinSet<()>, shutdown: &CancellationToken) {
        for allowance in self.limits.allowances() {
            let Some(permit) = self.permit(shutdown).await else { return };
            let Some(batch) = self.claimer.claim_allowance(allowance).await else { return };
            self.release(batch, permit, releasing, shutdown);
        }
    }

    /// Claims from the beginning, at longer intervals.
    async fn claim_from_start(self, shutdown: CancellationToken) -> JoinSet<()> {
        let mut releasing = JoinSet::new();
        while let Some(permit) = self.permit(&shutdown).await {
            while releasing.try_join_next().is_some() {}
            let started = Instant::now();
            let backlogged = self.limits.backlogged();
            let batch = self.claimer.claim(None, &backlogged).await;
            let took = started.elapsed();
            let mut pause = claim_interval::between_full_claims(took);
            self.record(batch.as_ref(), &backlogged).await;
            if let Some(batch) = batch.filter(|batch| batch.leased() > 0) {
                if batch.leased() >= self.batch {
                    pause = took;
                }
                self.admit_and_publish(batch, permit, &mut releasing, &shutdown).await;
            } else {
                drop(permit);
            }
            self.wait(pause, &shutdown).await;
        }
        releasing
    }

    /// Acquires the permit for one more batch, after the back-off of database and topic; `None`
    /// after the shutdown.
    async fn permit(&self, shutdown: &CancellationToken) -> Option<OwnedSemaphorePermit> {
        wait(self.claimer.database.pause().max(self.topic.pause()), shutdown).await;
        tokio::select! {
            biased;
            () = shutdown.cancelled() => None,
            permit = Arc::clone(&self.permits).acquire_owned() => permit.ok(),
        }
    }

    /// Returns occurrences beyond their user's rate limit, and publishes the rest.
    async fn admit_and_publish(
        &self,
        mut batch: Batch,
        permit: OwnedSemaphorePermit,
        releasing: &mut JoinSet<()>,
        shutdown: &CancellationToken,
    ) {
        self.releaser.return_excess(&mut batch).await;
        self.release(batch, permit, releasing, shutdown);
    }

    fn release(
        &self,
        batch: Batch,
        permit: OwnedSemaphorePermit,
        releasing: &mut JoinSet<()>,
        shutdown: &CancellationToken,
    ) {
        if batch.leased() == 0 {
            return;
        }
        let (releaser, shutdown) = (Arc::clone(&self.releaser), shutdown.clone());
        releasing.spawn(async move {
            if shutdown.is_cancelled() {
                releaser.return_leases(&batch.claimed, PublishStatus::NotPublished).await;
            } else {
                releaser.release(batch).await;
            }
            drop(permit);
        });
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
        tracing::warn!(
            "batches were not finished before the drain limit, their leases will expire"
        );
    }
}
