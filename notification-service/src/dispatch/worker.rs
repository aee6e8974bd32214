//! Lets jobs through the gate, each in a task of its own.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::PgPool;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Finished, Job, Lane, Recorder, Sender,
    admission::{Admission, Hold, Ticket},
    attempt::{self, Attempter, Slot},
    deleted_devices::Departures,
    recalls::Recalls,
    send_budget::{Budget, Leave},
};
use crate::{channels::retry::Policy, clock::DbClock, delivery::reason};

/// How long attempts under way may take to end once the lane is to stop.
const DRAIN: Duration = Duration::from_secs(20);

/// What the worker of a lane stands on.
#[derive(Clone)]
pub struct WorkerSettings {
    /// The devices database.
    pub pool: PgPool,
    /// Its time.
    pub clock: Arc<DbClock>,
    /// When to try again.
    pub policy: Policy,
    /// After how long others take over what was claimed.
    pub takeover: Duration,
    /// Devices that were deleted lately.
    pub departures: Arc<Departures>,
    /// Occurrences that were changed or taken back lately.
    pub recalls: Arc<Recalls>,
}

/// The sending side of a lane, one a process.
pub struct Worker<S> {
    pub(super) lane: Arc<Lane>,
    pub(super) pool: PgPool,
    pub(super) recorder: Arc<Recorder>,
    pub(super) attempter: Arc<Attempter<S>>,
    pub(super) budget: Arc<Budget>,
    pub(super) takeover: Duration,
}

impl<S: Sender> Worker<S> {
    /// The worker of a lane.
    pub(super) fn new(
        lane: Arc<Lane>,
        sender: S,
        recorder: Arc<Recorder>,
        records: mpsc::Sender<Finished>,
        budget: Arc<Budget>,
        settings: WorkerSettings,
    ) -> Self {
        let lateness = metrics::histogram!(
            "reminders_delivery_lateness_seconds",
            "channel" => lane.channel().as_str()
        );
        let WorkerSettings { pool, clock, policy, takeover, departures, recalls } = settings;
        let attempter = Arc::new(Attempter {
            lane: Arc::clone(&lane),
            sender,
            clock,
            policy,
            records,
            lateness,
            budget: Arc::clone(&budget),
            departures,
            recalls,
        });
        Self { lane, pool, recorder, attempter, budget, takeover }
    }

    /// Sends until the token is cancelled; then lets attempts under way end, for a bounded time,
    /// and gives back the rest.
    pub async fn run(self, shutdown: CancellationToken) {
        let attempts = TaskTracker::new();
        tokio::join!(self.sweep(&shutdown), self.dispatch(&attempts, &shutdown));
        for job in self.lane.jobs.close() {
            self.attempter.give_back(job).await;
        }
        attempts.close();
        if timeout(DRAIN, attempts.wait()).await.is_err() {
            tracing::warn!(
                channel = self.lane.channel.as_str(),
                "attempts were still in flight at the drain limit, their outcomes are lost and \
                 their leases will expire"
            );
        }
    }

    async fn dispatch(&self, attempts: &TaskTracker, shutdown: &CancellationToken) {
        loop {
            let (job, in_flight) = tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                next = self.lane.jobs.next(|| self.lane.gate().share_of_user()) => next,
            };
            let admission = tokio::select! {
                biased;
                () = shutdown.cancelled() => Admission::Back(Hold::default()),
                admission = self.admit(&job) => admission,
            };
            match admission {
                Admission::Enter(ticket) => {
                    self.enter(job, ticket, in_flight, attempts, shutdown).await
                }
                Admission::Back(hold) => self.attempter.hold(job, hold).await,
                Admission::Wait => {}
            }
        }
    }

    /// Starts the attempt of a job that was let in, once the provider's budget allows it.
    /// `in_flight` is its user's share of the attempts under way.
    async fn enter(
        &self,
        job: Job,
        ticket: Ticket,
        in_flight: impl Send + 'static,
        attempts: &TaskTracker,
        shutdown: &CancellationToken,
    ) {
        let slot = Slot::new(Arc::clone(&self.lane), ticket);
        if !attempt::has_time(&job) {
            drop(slot);
            return self.attempter.lease_was_lost(job).await;
        }
        let leave = tokio::select! {
            biased;
            () = shutdown.cancelled() => None,
            leave = self.budget.take(|| self.lane.backlog().max(1)) => Some(leave),
        };
        match leave {
            Some(Leave::Given) => {
                let attempter = Arc::clone(&self.attempter);
                attempts.spawn(async move {
                    attempter.carry(job, slot).await;
                    drop(in_flight);
                });
            }
            Some(Leave::UsedUp(wait)) => {
                self.lane.gate().quota_used_up(Instant::now(), wait);
                drop(slot);
                let reason = Some(reason::DAILY_QUOTA_EXCEEDED.into());
                self.attempter.hold(job, Hold { wait, reason, worn_out: false }).await;
            }
            None => {
                drop(slot);
                self.attempter.give_back(job).await;
            }
        }
    }

    /// Waits for a slot; a job that must not be attempted now goes back to the ledger.
    async fn admit(&self, job: &Job) -> Admission {
        let origin = self.lane.origin(&job.delivery);
        loop {
            let admission = self.lane.gate().admit(Instant::now(), origin);
            if admission != Admission::Wait {
                return admission;
            }
            self.lane.slot.notified().await;
        }
    }
}
