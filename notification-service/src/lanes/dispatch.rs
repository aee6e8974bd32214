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
    attempt::{Attempter, LEAST_LEASE},
    gate::Turn,
};
use crate::{channels::retry::Policy, clock::DbClock};

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
}

/// The sending side of a lane, one a process.
pub struct Worker<S> {
    pub(super) lane: Arc<Lane>,
    pub(super) pool: PgPool,
    pub(super) recorder: Arc<Recorder>,
    pub(super) attempter: Arc<Attempter<S>>,
    pub(super) takeover: Duration,
}

enum Admission {
    Enter,
    Back,
}

impl<S: Sender> Worker<S> {
    /// The worker of a lane.
    pub fn new(
        lane: Arc<Lane>,
        sender: S,
        recorder: Arc<Recorder>,
        records: mpsc::Sender<Finished>,
        settings: WorkerSettings,
    ) -> Self {
        let lateness = metrics::histogram!("delivery_lateness_seconds", "channel" => lane.channel().as_str());
        let WorkerSettings { pool, clock, policy, takeover } = settings;
        let attempter = Arc::new(Attempter { lane: Arc::clone(&lane), sender, clock, policy, records, lateness });
        Self { lane, pool, recorder, attempter, takeover }
    }

    /// Sends until the token is cancelled; then lets attempts under way end, for a bounded time, and gives back the rest.
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
                "some attempts were still under way when the time to drain ended"
            );
        }
    }

    async fn dispatch(&self, attempts: &TaskTracker, shutdown: &CancellationToken) {
        loop {
            let (job, in_flight) = tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                next = self.lane.jobs.next() => next,
            };
            let admission = tokio::select! {
                biased;
                () = shutdown.cancelled() => Admission::Back,
                admission = self.admit(&job) => admission,
            };
            match admission {
                Admission::Enter => {
                    let attempter = Arc::clone(&self.attempter);
                    attempts.spawn(async move {
                        attempter.carry(job).await;
                        drop(in_flight);
                    });
                }
                Admission::Back => self.attempter.give_back(job).await,
            }
        }
    }

    /// Waits for a slot; a job that finds the gate closed, or that waited too long in memory, goes back to the ledger.
    async fn admit(&self, job: &Job) -> Admission {
        loop {
            if !job.is_probe && job.lease_ends.saturating_duration_since(Instant::now()) < LEAST_LEASE {
                metrics::counter!("delivery_leases_lost_total", "channel" => self.lane.channel.as_str()).increment(1);
                return Admission::Back;
            }
            {
                let mut gate = self.lane.gate();
                let is_open = gate.turn(Instant::now()) == Turn::Open;
                if job.is_probe || (is_open && gate.has_slot()) {
                    gate.enter();
                    return Admission::Enter;
                }
                if !is_open {
                    return Admission::Back;
                }
            }
            self.lane.slot.notified().await;
        }
    }
}
