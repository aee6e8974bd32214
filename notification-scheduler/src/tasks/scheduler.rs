//! Claims due occurrences in a loop; each batch is published while the next one is claimed.
//!
//! Two loops claim. The first continues from the due time of its last claim, so that index entries
//! of released occurrences, which a held snapshot keeps alive, cost nothing. The second claims from
//! the beginning, for occurrences that were created late, returned, or left by a crash; it runs the
//! less often the longer a claim takes.
//!
//! While some user has more due than the rate limit allows (`user_rate_limits`), both loops pass
//! over that user, and the first one also claims what the limit allows.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bus::SharedBus;
use chrono::{DateTime, Utc};
use contract::Priority;
use service::shutdown::spawn_essential;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    backoff::Backoff,
    domain::{
        claim_interval::{self, MIN_INTERVAL},
        user_key::UserKey,
        user_rate_limits::{self, Candidate, UserRateLimits},
    },
    store::{Batch, Claimed, PublishStatus, Store},
    usecases::release_due_occurrences::Releaser,
};

/// Settings of a scheduler.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Topic that is published to (`NOTIFICATION_TOPIC_ARN`).
    pub topic: String,
    /// Duration of a lease; the same as the store's.
    pub lease: Duration,
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

    /// Returns the default settings for a topic.
    #[must_use]
    pub fn new(topic: String) -> Self {
        Self { topic, lease: Self::LEASE, batch: 500, in_flight: 6, user_releases_per_second: 500 }
    }
}

/// Longest time that a drain may take: occurrences that are not marked by then are published again
/// by another scheduler, with the same ids.
const DRAIN: Duration = Duration::from_secs(20);

/// Time after the start, or after a failure of the database or the topic, in which occurrences that
/// were due before it count as possibly changed: the outage may have delayed changes as well.
/// notification-service waits for those changes.
const UNCERTAIN_FOR: Duration = Duration::from_secs(10);

/// One scheduler; any number share a database.
#[derive(Clone)]
pub struct Scheduler {
    store: Store,
    settings: Settings,
    releaser: Arc<Releaser>,
    permits: Arc<Semaphore>,
    database: Arc<Backoff>,
    rate_limits: Arc<Mutex<UserRateLimits>>,
    started: Instant,
}

impl Scheduler {
    /// A scheduler on a database and a bus.
    #[must_use]
    pub fn new(store: Store, bus: SharedBus, settings: Settings) -> Self {
        let rate_limits = Arc::new(Mutex::new(UserRateLimits::new(
            settings.user_releases_per_second,
            Instant::now(),
        )));
        let (topic, lease) = (settings.topic.clone(), settings.lease);
        let releaser =
            Arc::new(Releaser::new(store.clone(), bus, topic, lease, Arc::clone(&rate_limits)));
        let permits = Arc::new(Semaphore::new(settings.in_flight));
        Self {
            store,
            settings,
            releaser,
            permits,
            database: Arc::default(),
            rate_limits,
            started: Instant::now(),
        }
    }

    /// Returns `true` if the last publish succeeded.
    #[must_use]
    pub fn topic_answers(&self) -> bool {
        !self.releaser.topic.is_failing()
    }

    /// Runs until the token is cancelled, then waits for the batches in progress.
    pub async fn run(&self, shutdown: CancellationToken) {
        let everything = spawn_essential(
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
    /// occurrence is due.
    async fn claim_from_last(self, shutdown: CancellationToken) -> JoinSet<()> {
        let mut releasing = JoinSet::new();
        let mut not_before = None;
        while let Some(permit) = self.permit(&shutdown).await {
            while releasing.try_join_next().is_some() {}
            let started = Instant::now();
            let backlogged = self.rate_limits().backlogged();
            let claimed = self.claim(not_before, &backlogged).await;
            let took = started.elapsed();
            let pause = match &claimed {
                None => Duration::ZERO,
                Some(batch) if batch.leased() >= self.settings.batch => Duration::ZERO,
                Some(_) if !backlogged.is_empty() => claim_interval::while_backlogged(took),
                Some(batch) if batch.leased() == 0 => self.until_next(not_before).await,
                Some(_) => MIN_INTERVAL,
            };
            if let Some(batch) = claimed {
                not_before = batch.last_due_at().max(not_before);
                self.admit_and_publish(batch, permit, &mut releasing, &shutdown).await;
            }
            if !backlogged.is_empty() {
                self.claim_allowances(&mut releasing, &shutdown).await;
            }
            wait(pause, &shutdown).await;
        }
        releasing
    }

    /// Claims occurrences of backlogged users, as far as their rate limits allow.
    async fn claim_allowances(&self, releasing: &mut JoinSet<()>, shutdown: &CancellationToken) {
        let allowances = self.rate_limits().allowances(Instant::now());
        for allowance in allowances {
            let Some(permit) = self.permit(shutdown).await else { return };
            let limit = allowance.limit.min(self.settings.batch);
            let claimed =
                self.store.claim_of_user(limit as i64, Some(allowance.since), allowance.user).await;
            let Some(batch) = self.record_claim_result(claimed) else { return };
            let ordinary =
                batch.claimed.iter().filter(|claimed| claimed.content.priority != Priority::High);
            let first_due_at = ordinary.map(|claimed| claimed.due_at).min();
            let spent = user_rate_limits::Allowance { limit, ..allowance };
            self.rate_limits().record_claim(spent, batch.leased(), first_due_at, Instant::now());
            self.release(batch, permit, releasing, shutdown);
        }
    }

    /// Claims from the beginning, at longer intervals.
    async fn claim_from_start(self, shutdown: CancellationToken) -> JoinSet<()> {
        let mut releasing = JoinSet::new();
        while let Some(permit) = self.permit(&shutdown).await {
            while releasing.try_join_next().is_some() {}
            let started = Instant::now();
            let backlogged = self.rate_limits().backlogged();
            let batch = self.claim(None, &backlogged).await;
            let took = started.elapsed();
            let mut pause = claim_interval::between_full_claims(took);
            if let Some(batch) = batch.filter(|batch| batch.leased() > 0) {
                if batch.leased() >= self.settings.batch {
                    pause = took;
                }
                self.admit_and_publish(batch, permit, &mut releasing, &shutdown).await;
            } else {
                drop(permit);
            }
            wait(pause, &shutdown).await;
        }
        releasing
    }

    /// Acquires the permit for one more batch, after the back-off of database and topic; `None`
    /// after the shutdown.
    async fn permit(&self, shutdown: &CancellationToken) -> Option<OwnedSemaphorePermit> {
        let pause = self.database.delay().max(self.releaser.topic.delay());
        if let Some(pause) = pause {
            wait(pause, shutdown).await;
        }
        tokio::select! {
            biased;
            () = shutdown.cancelled() => None,
            permit = Arc::clone(&self.permits).acquire_owned() => permit.ok(),
        }
    }

    /// Claims occurrences of all users but the backlogged ones; `None` if the database failed,
    /// which is recorded.
    async fn claim(
        &self,
        not_before: Option<DateTime<Utc>>,
        backlogged: &[UserKey],
    ) -> Option<Batch> {
        let limit = self.settings.batch as i64;
        let claimed = match backlogged {
            [] => self.store.claim(limit, not_before).await,
            users => self.store.claim_of_others(limit, not_before, users).await,
        };
        self.record_claim_result(claimed)
    }

    /// Records the result of a claim; `None` if the database failed.
    fn record_claim_result(
        &self,
        claimed: Result<Batch, crate::store::StoreError>,
    ) -> Option<Batch> {
        match claimed {
            Ok(mut batch) => {
                self.database.reset();
                count(&batch);
                if let Some(since_outage) = self.time_since_outage() {
                    batch.mark_possibly_changed(since_outage);
                }
                Some(batch)
            }
            Err(error) => {
                self.failed(&error);
                None
            }
        }
    }

    /// Returns the time since the start or the last failure, while changes may be under way that
    /// were delayed by then.
    fn time_since_outage(&self) -> Option<Duration> {
        let failures =
            [self.database.since_last_failure(), self.releaser.topic.since_last_failure()];
        let since_outage =
            failures.into_iter().flatten().fold(self.started.elapsed(), Duration::min);
        (since_outage < UNCERTAIN_FOR).then_some(since_outage)
    }

    fn rate_limits(&self) -> MutexGuard<'_, UserRateLimits> {
        self.rate_limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn until_next(&self, not_before: Option<DateTime<Utc>>) -> Duration {
        match self.store.next(not_before).await {
            Ok(next) => claim_interval::until(next),
            Err(error) => {
                self.failed(&error);
                Duration::ZERO
            }
        }
    }

    fn failed(&self, error: &crate::store::StoreError) {
        self.database.note_failure();
        metrics::counter!("reminders_scheduler_database_failures_total").increment(1);
        tracing::warn!(error = error as &dyn std::error::Error, "database failed, will retry");
    }

    /// Returns occurrences beyond their user's rate limit, and publishes the rest.
    async fn admit_and_publish(
        &self,
        mut batch: Batch,
        permit: OwnedSemaphorePermit,
        releasing: &mut JoinSet<()>,
        shutdown: &CancellationToken,
    ) {
        let candidates: Vec<Candidate> = batch.claimed.iter().map(candidate).collect();
        let admitted = self.rate_limits().admit(&candidates, Instant::now());
        let mut decisions = admitted.into_iter();
        let beyond: Vec<Claimed> = batch
            .claimed
            .extract_if(.., |_| decisions.next().is_some_and(|admitted| !admitted))
            .collect();
        if !beyond.is_empty() {
            metrics::counter!("reminders_scheduler_over_share_total")
                .increment(beyond.len() as u64);
            self.releaser.return_leases(&beyond, PublishStatus::NotPublished).await;
        }
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

fn candidate(claimed: &Claimed) -> Candidate {
    Candidate {
        user: claimed.user_key,
        due_at: claimed.due_at,
        is_urgent: claimed.content.priority == Priority::High,
    }
}

fn count(batch: &Batch) {
    if batch.leased() == 0 {
        return;
    }
    metrics::counter!("reminders_scheduler_claimed_total").increment(batch.leased() as u64);
    metrics::histogram!("reminders_scheduler_claim_duration_seconds")
        .record(batch.claimed_at.elapsed().as_secs_f64());
    let lateness = metrics::histogram!("reminders_scheduler_lateness_seconds");
    for claimed in &batch.claimed {
        lateness.record(claimed.lateness);
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
