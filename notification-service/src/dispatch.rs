//! Dispatch of deliveries to the providers. Each channel has a [`Dispatcher`] of its own, so that
//! trouble with one provider delays no other channel.
//!
//! A dispatcher holds a bounded number of deliveries in memory; each of them holds a [`Permit`].
//! The consumer reserves permits before it writes the ledger: deliveries with a permit are written
//! as leased and are sent right after the commit, or at their due time if the scheduler released
//! them ahead of it (`held_jobs`). All others wait in the ledger until the
//! dispatcher's `claimer` has permits for them. The claimer takes the latest due rows first, and
//! also the rows whose lease ran out because another process died. A permit is released once the
//! result of its delivery is written.
//!
//! No user delays another: each user holds a bounded part of the permits and of the attempts in
//! flight (`permits`), the deliveries in memory are taken round-robin by user (`fair_queue`), and
//! deliveries beyond a user's rate wait in the ledger (`user_rate_limit`).
//!
//! # From a claim to its outcome
//!
//! A delivery is *claimed* under a lease and a fence token, *admitted* (`admission`: circuit
//! breakers, paused addresses, concurrency limit; `send_budget`: the provider's rate and quota) and
//! *attempted* (`attempt`). The holder of the lease starts the attempt within 15 seconds and ends
//! it within [`LEASE`]; the rest of [`TAKEOVER`] is left for writing the result while the database
//! is unreachable. Afterwards any process may claim the row, and the old fence token is void.
//!
//! The result passes through these types, one for each step:
//!
//! | step | type |
//! | --- | --- |
//! | a provider answers one attempt, classified by its error table | `channels::outcome::Outcome` |
//! | the retry policy decides if another attempt follows | `channels::retry_policy::Decision` |
//! | the delivery's new state, with its reason (`delivery_result`) | [`DeliveryResult`] |
//! | `result_writer` writes it to the ledger under its fence token | `store::ledger::Written` |
//! | the event that reports the state, in the same transaction | `contract::OutcomeData` |
//!
//! [`DeliveryResult`]: crate::domain::delivery::DeliveryResult

mod address_pauses;
mod admission;
mod attempt;
mod circuit_breaker;
mod claimer;
mod concurrency_limit;
mod deleted_devices;
mod delivery_result;
mod email_sender;
mod failure_evidence;
mod fair_queue;
mod held_jobs;
mod permits;
mod polled_rows;
mod push_sender;
mod recalls;
mod result_writer;
mod send_budget;
mod user_rate_limit;
mod worker;
mod workers;

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use contract::{Channel, Priority};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    channels::outcome::Outcome,
    domain::delivery::{Address, Delivery, Dispatch},
};
use admission::{AdmissionControl, AttemptTarget, BreakerState};
pub use circuit_breaker::ProbeIntervals;
use concurrency_limit::MIN_IN_FLIGHT_PER_USER;
use fair_queue::FairQueue;
use held_jobs::HeldJobs;
pub use permits::{NoPermit, Permit, ReservedPermits};
use permits::{UserShares, user_part};
pub use recalls::Recalls;
use user_rate_limit::UserRateLimit;
use worker::{Worker, WorkerSettings};
pub use workers::Workers;

/// Time that the claimer of a delivery may work on it: an attempt has ended by then.
pub const LEASE: Duration = Duration::from_secs(35);
/// Time after which other processes claim a claimed delivery if no result of it was written. The
/// part beyond [`LEASE`] is left for the result: a process that was cut off from the database for
/// that long writes it before another process sends again.
pub const TAKEOVER: Duration = Duration::from_secs(90);
/// Shortest wait of a delivery that is postponed because its user holds their share of the permits.
pub const MIN_POSTPONEMENT: TimeDelta = TimeDelta::milliseconds(500);
/// Permits for each attempt that may be in flight: the deliveries beyond it are being written to
/// the ledger, queued, or waiting for their result to be written.
const PERMITS_PER_ATTEMPT: usize = 4;
/// Permits that one user may hold where enough are left for others.
const MIN_PERMITS_PER_USER: usize = 16;

/// Client of a provider.
pub trait Sender: Send + Sync + 'static {
    /// Makes one attempt. The caller cuts it off at `deadline`, before the lease ends; a message
    /// that cannot be sent early enough for an answer by then should not be sent.
    fn send(&self, delivery: &Delivery, deadline: Instant) -> impl Future<Output = Outcome> + Send;
}

/// Claimed delivery with its permit.
#[derive(Debug)]
pub struct Job {
    /// Delivery to send.
    pub delivery: Delivery,
    /// Instant before which the attempt does not start: the occurrence is not due.
    pub starts_at: Instant,
    /// End of the claim, by this machine's monotonic clock.
    pub lease_ends: Instant,
    /// Right to hold the delivery in memory.
    pub permit: Permit,
}

/// Returns `true` if an occurrence is sent before the others of its user.
pub(crate) fn is_urgent(dispatch: &Dispatch) -> bool {
    dispatch.send.content.priority == Priority::High
}

/// State of one channel that the consumer, the claimer and the worker share.
#[derive(Debug)]
pub struct Dispatcher {
    channel: Channel,
    admission: Mutex<AdmissionControl>,
    /// Hashes users and addresses with a random key, so that no caller can provoke collisions.
    hasher: RandomState,
    /// Wakes the worker: an attempt ended or a circuit breaker changed.
    attempt_may_start: Notify,
    /// Wakes the claimer: a circuit breaker changed.
    breaker_changed: Notify,
    /// Wakes the claimer: rows without a lease were written.
    backlog_grew: Notify,
    permits: Arc<Semaphore>,
    capacity: usize,
    shares: Arc<UserShares>,
    rate_limit: UserRateLimit,
    jobs: Arc<FairQueue<Job>>,
    held: HeldJobs<Job>,
}

/// Limits of a dispatcher.
#[derive(Debug, Clone, Copy)]
pub struct DispatcherSettings {
    /// Messages on their way to the provider.
    pub max_in_flight: usize,
    /// Deliveries of one user that are begun in a minute.
    pub per_user_per_minute: u32,
    /// Distances between the probes of an open circuit breaker.
    pub probes: ProbeIntervals,
}

impl Dispatcher {
    /// Creates a dispatcher with nothing in flight.
    #[must_use]
    pub fn new(channel: Channel, settings: DispatcherSettings) -> Arc<Self> {
        let DispatcherSettings { max_in_flight, per_user_per_minute, probes } = settings;
        let capacity = max_in_flight.max(1) * PERMITS_PER_ATTEMPT;
        Arc::new(Self {
            channel,
            admission: Mutex::new(AdmissionControl::new(max_in_flight, probes)),
            hasher: RandomState::new(),
            attempt_may_start: Notify::new(),
            breaker_changed: Notify::new(),
            backlog_grew: Notify::new(),
            permits: Arc::new(Semaphore::new(capacity)),
            capacity,
            shares: UserShares::new(user_part(capacity, MIN_PERMITS_PER_USER)),
            rate_limit: UserRateLimit::new(per_user_per_minute),
            jobs: FairQueue::new(user_part(max_in_flight, MIN_IN_FLIGHT_PER_USER)),
            held: HeldJobs::new(),
        })
    }

    /// Channel that the dispatcher sends on.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel
    }

    /// Reserves up to `wanted` permits, waiting for them no longer than `patience`. Reserves none
    /// while a circuit breaker is open or half-open.
    pub async fn reserve(&self, wanted: usize, patience: Duration) -> ReservedPermits {
        if wanted == 0 || self.breaker_state() != BreakerState::Closed {
            return self.reservation(None);
        }
        let wanted = wanted.min(self.capacity / 2).max(1);
        match timeout(patience, self.acquire(wanted)).await {
            Ok(permits) => permits,
            Err(_) => self.acquire_free(wanted),
        }
    }

    /// Queues jobs to be sent, each once it is due.
    pub fn accept(&self, jobs: impl IntoIterator<Item = Job>) {
        let now = Instant::now();
        for job in jobs {
            if job.starts_at > now {
                self.held.hold(job.starts_at, job);
                continue;
            }
            let dispatch = Arc::clone(&job.delivery.dispatch);
            // Once the worker has ended the job is dropped; its lease runs out and another process
            // claims it.
            self.jobs.push(&dispatch.user_id, is_urgent(&dispatch), job);
        }
    }

    /// Returns the time before which a user's delivery must not begin, with `ahead` others of the
    /// same batch before it; `None` if it may begin now.
    #[must_use]
    pub fn earliest_start(
        &self,
        user: &str,
        is_urgent: bool,
        ahead: u32,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        self.rate_limit.earliest_start(user, is_urgent, ahead, now)
    }

    /// Counts deliveries that were written against their user's rate.
    pub fn charge(&self, user: &str, is_urgent: bool, deliveries: u32, now: DateTime<Utc>) {
        self.rate_limit.charge(user, is_urgent, deliveries, now);
    }

    /// Permits that one user may hold for urgent deliveries, and as many for all others.
    #[must_use]
    pub fn permits_per_user(&self) -> usize {
        self.shares.most()
    }

    /// Wakes the claimer: rows without a lease were written.
    pub fn notify_backlog(&self) {
        self.backlog_grew.notify_one();
    }

    async fn acquire(&self, wanted: usize) -> ReservedPermits {
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        self.reservation(Arc::clone(&self.permits).acquire_many_owned(wanted).await.ok())
    }

    /// Reserves up to `wanted` permits that are free now.
    fn acquire_free(&self, wanted: usize) -> ReservedPermits {
        let wanted =
            u32::try_from(self.permits.available_permits().min(wanted)).unwrap_or(u32::MAX);
        if wanted == 0 {
            return self.reservation(None);
        }
        // Another task may have taken them in between: then none are reserved.
        self.reservation(Arc::clone(&self.permits).try_acquire_many_owned(wanted).ok())
    }

    fn reservation(&self, permits: Option<OwnedSemaphorePermit>) -> ReservedPermits {
        ReservedPermits::new(permits, Arc::clone(&self.permits), Arc::clone(&self.shares))
    }

    /// User, address and platform that a failure of this delivery counts against.
    fn target_of(&self, delivery: &Delivery) -> AttemptTarget {
        let user = self.hasher.hash_one(&delivery.dispatch.user_id);
        let (address, platform) = match &delivery.address {
            Address::Device { device_type, version, .. } => {
                (self.hasher.hash_one((delivery.key.device_id, version)), Some(*device_type))
            }
            Address::Mailbox(address) => (self.hasher.hash_one(address), None),
            Address::Gone(_) => (user, None),
        };
        AttemptTarget { user, address, platform }
    }

    /// Number of jobs in memory that are due and not in flight.
    fn queued(&self) -> usize {
        self.capacity
            .saturating_sub(self.permits.available_permits())
            .saturating_sub(self.held.len())
            .saturating_sub(self.admission().in_flight())
    }

    fn breaker_state(&self) -> BreakerState {
        self.admission().state(Instant::now())
    }

    fn admission(&self) -> MutexGuard<'_, AdmissionControl> {
        self.admission.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Dispatchers by channel.
#[derive(Debug, Clone)]
pub struct Dispatchers {
    /// Dispatcher that sends to FCM.
    pub push: Arc<Dispatcher>,
    /// Dispatcher that sends to SES.
    pub email: Arc<Dispatcher>,
}

impl Dispatchers {
    /// Dispatcher of a channel.
    #[must_use]
    pub fn of(&self, channel: Channel) -> &Arc<Dispatcher> {
        match channel {
            Channel::Push => &self.push,
            Channel::Email => &self.email,
        }
    }
}
