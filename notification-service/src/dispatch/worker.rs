//! Worker of one channel: takes queued jobs and runs each admitted attempt in a task of its own.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use contract::Reason;
use sqlx::PgPool;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Dispatcher, Job, Sender,
    admission::{Admission, Postponement, Ticket},
    attempt::{self, AdmittedAttempt, AttemptRunner},
    deleted_devices::DeletedDevices,
    recalls::Recalls,
    result_writer::{ResultWriter, Submitted},
    send_budget::{Grant, SendBudget},
};
use crate::{channels::retry_policy::Policy, clock::DbClock};

/// Longest time that attempts in flight may take to end during shutdown.
const DRAIN: Duration = Duration::from_secs(20);

/// Dependencies that the workers of all channels share.
#[derive(Clone)]
pub(super) struct WorkerSettings {
    /// Pool of the devices database.
    pub(super) pool: PgPool,
    /// Clock of the database.
    pub(super) clock: Arc<DbClock>,
    /// Policy of retries.
    pub(super) policy: Policy,
    /// Time after which other processes take over claimed deliveries.
    pub(super) takeover: Duration,
    /// Devices that were deleted lately.
    pub(super) deleted_devices: Arc<DeletedDevices>,
    /// Deliveries that were revised or cancelled lately.
    pub(super) recalls: Arc<Recalls>,
}

/// Worker of one channel, one a process.
pub(super) struct Worker<S> {
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) pool: PgPool,
    pub(super) result_writer: Arc<ResultWriter>,
    pub(super) attempts: Arc<AttemptRunner<S>>,
    pub(super) budget: Arc<SendBudget>,
    pub(super) takeover: Duration,
}

impl<S: Sender> Worker<S> {
    /// Creates the worker of a dispatcher.
    pub(super) fn new(
        dispatcher: Arc<Dispatcher>,
        sender: S,
        result_writer: Arc<ResultWriter>,
        results: mpsc::Sender<Submitted>,
        budget: Arc<SendBudget>,
        settings: WorkerSettings,
    ) -> Self {
        let channel = dispatcher.channel().as_str();
        let lateness =
            metrics::histogram!("reminders_delivery_lateness_seconds", "channel" => channel);
        let WorkerSettings { pool, clock, policy, takeover, deleted_devices, recalls } = settings;
        let attempts = Arc::new(AttemptRunner {
            dispatcher: Arc::clone(&dispatcher),
            sender,
            clock,
            policy,
            results,
            lateness,
            budget: Arc::clone(&budget),
            deleted_devices,
            recalls,
        });
        Self { dispatcher, pool, result_writer, attempts, budget, takeover }
    }

    /// Sends until the token is cancelled; then lets attempts in flight end, for a bounded time,
    /// and releases all other jobs.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        let in_flight = TaskTracker::new();
        tokio::join!(
            self.claim(&shutdown),
            self.queue_held(&shutdown),
            self.send_queued(&in_flight, &shutdown)
        );
        let held = self.dispatcher.held.close();
        for job in held.into_iter().chain(self.dispatcher.jobs.close()) {
            self.attempts.release(job).await;
        }
        in_flight.close();
        if timeout(DRAIN, in_flight.wait()).await.is_err() {
            tracing::warn!(
                channel = self.dispatcher.channel.as_str(),
                "attempts were still in flight at the drain limit, their outcomes are lost and \
                 their leases will expire"
            );
        }
    }

    /// Queues the jobs that are held, each once it is due.
    async fn queue_held(&self, shutdown: &CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                jobs = self.dispatcher.held.next() => self.dispatcher.accept(jobs),
            }
        }
    }

    async fn send_queued(&self, in_flight: &TaskTracker, shutdown: &CancellationToken) {
        let limit_per_user = || self.dispatcher.admission().limit_per_user();
        loop {
            let (job, user_guard) = tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                next = self.dispatcher.jobs.next(limit_per_user) => next,
            };
            let admission = tokio::select! {
                biased;
                () = shutdown.cancelled() => Admission::Postponed(Postponement::default()),
                admission = self.wait_for_admission(&job) => admission,
            };
            match admission {
                Admission::Admitted(ticket) => {
                    self.start(job, ticket, user_guard, in_flight, shutdown).await
                }
                Admission::Postponed(postponement) => {
                    self.attempts.postpone(job, postponement).await
                }
                Admission::Wait => {}
            }
        }
    }

    /// Starts the attempt of an admitted job once the provider's budget allows it. `user_guard`
    /// counts the attempt against its user's limit of attempts in flight.
    async fn start(
        &self,
        job: Job,
        ticket: Ticket,
        user_guard: impl Send + 'static,
        in_flight: &TaskTracker,
        shutdown: &CancellationToken,
    ) {
        let admitted = AdmittedAttempt::new(Arc::clone(&self.dispatcher), ticket);
        if !attempt::has_time(&job) {
            drop(admitted);
            return self.attempts.release_expired(job).await;
        }
        let grant = tokio::select! {
            biased;
            () = shutdown.cancelled() => None,
            grant = self.budget.take(|| self.dispatcher.queued().max(1)) => Some(grant),
        };
        match grant {
            Some(Grant::Granted) => {
                let attempts = Arc::clone(&self.attempts);
                in_flight.spawn(async move {
                    attempts.run(job, admitted).await;
                    drop(user_guard);
                });
            }
            Some(Grant::QuotaUsedUp(wait)) => {
                self.dispatcher.admission().quota_used_up(Instant::now(), wait);
                drop(admitted);
                let reason = Some(Reason::DailyQuotaExceeded);
                let postponement = Postponement { wait, reason, fails_persistently: false };
                self.attempts.postpone(job, postponement).await;
            }
            None => {
                drop(admitted);
                self.attempts.release(job).await;
            }
        }
    }

    /// Waits until a job is admitted or postponed.
    async fn wait_for_admission(&self, job: &Job) -> Admission {
        let target = self.dispatcher.target_of(&job.delivery);
        loop {
            let admission = self.dispatcher.admission().admit(Instant::now(), target);
            if admission != Admission::Wait {
                return admission;
            }
            self.dispatcher.attempt_may_start.notified().await;
        }
    }
}
