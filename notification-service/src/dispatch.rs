//! The delivery engine: a lane for each channel, so that trouble with one provider holds up nobody
//! else.
//!
//! A lane has a bounded number of places in memory. The consumer reserves places before it writes
//! the ledger: rows for which there is a place are written already leased and are sent right after
//! the commit. All others wait in the ledger, where the lane's sweep claims them, the latest first,
//! as places become free; it also takes what other processes left behind. A place is given back
//! when the verdict is recorded, so what is in memory is bounded from one end to the other.
//!
//! No user stands in another's way: each holds a bounded part of the permits and leaves as many to
//! others (`share`), the jobs in memory are taken in turn by user (`queue`), and what one user has
//! due beyond a pace waits in the ledger until its turn (`pace`).
//!
//! A delivery goes: *waiting* → *leased* (claimed under a fence) → attempt → verdict: ended, or
//! waiting again. Who holds a lease must start the attempt within 15 seconds and end it within
//! [`LEASE`]; the rest of [`TAKEOVER`] is for recording what came of it, should the database be out
//! of reach meanwhile. Afterwards the row is anybody's, and the old fence counts no more.

mod address_pauses;
mod admission;
mod attempt;
mod circuit_breaker;
mod claimer;
mod deleted_devices;
mod delivery_result;
mod email_sender;
mod failure_evidence;
mod fair_queue;
mod permits;
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
use shared::contract::{Channel, Priority};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    channels::outcome::Outcome,
    delivery::{Address, Delivery, Dispatch},
};
use admission::{Gate, LEAST_IN_FLIGHT, Origin, Turn};
pub use circuit_breaker::ProbePace;
use fair_queue::FairQueue;
pub use permits::Place;
use permits::{self as share, Shares};
pub use recalls::Recalls;
pub use result_writer::{Finished, Recorder};
use user_rate_limit::Pace;
pub use worker::{Worker, WorkerSettings};
pub use workers::Engine;

/// For how long whoever claimed a delivery may work on it: an attempt has ended by then.
pub const LEASE: Duration = Duration::from_secs(35);
/// After how long a delivery that was claimed is claimed by others, if nothing was recorded of it.
/// What is longer than [`LEASE`] is for the outcome: a process that was cut off from the database
/// for that long records it before anybody sends again.
pub const TAKEOVER: Duration = Duration::from_secs(90);
/// Places in memory for each message that may be in flight: the others are being written, waiting
/// or being recorded.
const PLACES_PER_FLIGHT: usize = 4;
/// Places that one user may have where there are enough for others.
const LEAST_PLACES: usize = 16;

/// A way to a provider.
pub trait Sender: Send + Sync + 'static {
    /// Makes one attempt. It is cut off at `deadline`, before the lease ends; what cannot be sent
    /// early enough for an answer until then is better not sent.
    fn send(&self, delivery: &Delivery, deadline: Instant) -> impl Future<Output = Outcome> + Send;
}

/// A claimed delivery with its place in the lane.
#[derive(Debug)]
pub struct Job {
    /// What is to be sent.
    pub delivery: Delivery,
    /// When the claim ends, by this machine's monotonic clock.
    pub lease_ends: Instant,
    /// Its place.
    pub place: Place,
}

/// Whether an occurrence comes before the others of its user.
pub(crate) fn is_urgent(dispatch: &Dispatch) -> bool {
    dispatch.send.content.priority == Priority::High
}

/// Why there is no place for a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPlace {
    /// The lane is full.
    Lane,
    /// Its user has their share of the lane.
    User,
}

/// For how long a delivery is put off whose user has their share of a lane, at least.
pub const PUT_OFF: TimeDelta = TimeDelta::milliseconds(500);

/// Places reserved in a lane.
#[derive(Debug)]
pub struct Places {
    permits: Option<OwnedSemaphorePermit>,
    room: Arc<Semaphore>,
    shares: Arc<Shares>,
}

impl Places {
    /// Takes one for a delivery of this user.
    ///
    /// # Errors
    /// When none is left, or the user has their share of all.
    pub fn take(&mut self, user: &str, is_urgent: bool) -> Result<Place, NoPlace> {
        let permits = self
            .permits
            .as_mut()
            .filter(|permits| permits.num_permits() > 0)
            .ok_or(NoPlace::Lane)?;
        let free = self.room.available_permits() + permits.num_permits();
        let share = self.shares.take(user, is_urgent, free).ok_or(NoPlace::User)?;
        Ok(Place::new(permits.split(1).ok_or(NoPlace::Lane)?, share))
    }

    /// How many are left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.permits.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Whether none is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A channel's lane, as its consumer, its sweep and its dispatcher share it.
#[derive(Debug)]
pub struct Lane {
    channel: Channel,
    gate: Mutex<Gate>,
    /// Digests of users and addresses, which nobody outside can aim at.
    hasher: RandomState,
    /// A slot may be free, or the gate may have turned: for the dispatcher.
    slot: Notify,
    /// The gate has turned: for the sweep.
    turned: Notify,
    /// Rows were left waiting in the ledger: for the sweep.
    waiting: Notify,
    room: Arc<Semaphore>,
    size: usize,
    shares: Arc<Shares>,
    pace: Pace,
    jobs: Arc<FairQueue<Job>>,
}

/// How much a lane does at once.
#[derive(Debug, Clone, Copy)]
pub struct LaneSettings {
    /// Messages on their way to the provider.
    pub max_in_flight: usize,
    /// Deliveries of one user that are begun in a minute.
    pub per_user_per_minute: u32,
    /// How often a stopped lane tries again.
    pub probes: ProbePace,
}

impl Lane {
    /// A lane in which nothing is on its way yet.
    #[must_use]
    pub fn new(channel: Channel, settings: LaneSettings) -> Arc<Self> {
        let LaneSettings { max_in_flight, per_user_per_minute, probes } = settings;
        let size = max_in_flight.max(1) * PLACES_PER_FLIGHT;
        Arc::new(Self {
            channel,
            gate: Mutex::new(Gate::new(max_in_flight, probes)),
            hasher: RandomState::new(),
            slot: Notify::new(),
            turned: Notify::new(),
            waiting: Notify::new(),
            room: Arc::new(Semaphore::new(size)),
            size,
            shares: Shares::new(share::part(size, LEAST_PLACES)),
            pace: Pace::new(per_user_per_minute),
            jobs: FairQueue::new(share::part(max_in_flight, LEAST_IN_FLIGHT)),
        })
    }

    /// The channel.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel
    }

    /// Reserves up to `wanted` places, waiting for them no longer than `patience`. A lane that does
    /// not send at the moment has none.
    pub async fn reserve(&self, wanted: usize, patience: Duration) -> Places {
        if wanted == 0 || self.turn() != Turn::Open {
            return self.reserved(None);
        }
        let wanted = wanted.min(self.size / 2).max(1);
        match timeout(patience, self.places(wanted)).await {
            Ok(places) => places,
            Err(_) => self.free_places(wanted),
        }
    }

    /// Takes over jobs, each with its place.
    pub fn accept(&self, jobs: impl IntoIterator<Item = Job>) {
        for job in jobs {
            let dispatch = Arc::clone(&job.delivery.dispatch);
            // After the end of the dispatcher the job is dropped; its lease runs out and another
            // process claims it.
            self.jobs.push(&dispatch.user_id, is_urgent(&dispatch), job);
        }
    }

    /// When the delivery of a user with `ahead` others of the same batch before it may begin;
    /// `None` when it may now.
    #[must_use]
    pub fn user_turn(
        &self,
        user: &str,
        is_urgent: bool,
        ahead: u32,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        self.pace.turn(user, is_urgent, ahead, now)
    }

    /// Charges deliveries that were written to their user.
    pub fn charge(&self, user: &str, is_urgent: bool, deliveries: u32, now: DateTime<Utc>) {
        self.pace.charge(user, is_urgent, deliveries, now);
    }

    /// Places that one user may hold of each urgency.
    #[must_use]
    pub fn share(&self) -> usize {
        self.shares.most()
    }

    /// Says that rows without a lease were written.
    pub fn left_waiting(&self) {
        self.waiting.notify_one();
    }

    async fn places(&self, wanted: usize) -> Places {
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        self.reserved(Arc::clone(&self.room).acquire_many_owned(wanted).await.ok())
    }

    fn reserved(&self, permits: Option<OwnedSemaphorePermit>) -> Places {
        Places { permits, room: Arc::clone(&self.room), shares: Arc::clone(&self.shares) }
    }

    /// Up to `wanted` places that are free now.
    fn free_places(&self, wanted: usize) -> Places {
        let wanted = u32::try_from(self.room.available_permits().min(wanted)).unwrap_or(u32::MAX);
        if wanted == 0 {
            return self.reserved(None);
        }
        // Somebody may have taken them in between: then there are none.
        self.reserved(Arc::clone(&self.room).try_acquire_many_owned(wanted).ok())
    }

    /// Whom and what trouble of a delivery is charged to.
    fn origin(&self, delivery: &Delivery) -> Origin {
        let party = self.hasher.hash_one(&delivery.dispatch.user_id);
        let (address, platform) = match &delivery.address {
            Address::Device { device_type, version, .. } => {
                (self.hasher.hash_one((delivery.key.device_id, version)), Some(*device_type))
            }
            Address::Mailbox(address) => (self.hasher.hash_one(address), None),
            Address::Gone(_) => (party, None),
        };
        Origin { party, address, platform }
    }

    /// Jobs in memory that are not in flight.
    fn backlog(&self) -> usize {
        self.size
            .saturating_sub(self.room.available_permits())
            .saturating_sub(self.gate().in_flight())
    }

    fn turn(&self) -> Turn {
        self.gate().turn(Instant::now())
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lanes by channel.
#[derive(Debug, Clone)]
pub struct Lanes {
    /// FCM.
    pub push: Arc<Lane>,
    /// SES.
    pub email: Arc<Lane>,
}

impl Lanes {
    /// A channel's lane.
    #[must_use]
    pub fn of(&self, channel: Channel) -> &Arc<Lane> {
        match channel {
            Channel::Push => &self.push,
            Channel::Email => &self.email,
        }
    }
}
