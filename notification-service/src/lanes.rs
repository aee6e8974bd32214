//! The delivery engine: a lane for each channel, so that trouble with one provider holds up nobody else.
//!
//! A lane has a bounded number of places in memory. The consumer reserves places before it writes the ledger: rows for which
//! there is a place are written already leased and are sent right after the commit. All others wait in the ledger, where
//! the lane's sweep claims them, the latest first, as places become free; it also takes what other processes left
//! behind. A place is given back when the verdict is recorded, so what is in memory is bounded from one end to the other.
//!
//! A delivery goes: *waiting* → *leased* (claimed under a fence) → attempt → verdict: ended, or waiting again. Who holds a
//! lease must start the attempt well before it ends; afterwards the row is anybody's, and the old fence counts no more.

mod attempt;
mod dispatch;
mod email;
mod engine;
mod gate;
mod push;
mod recorder;
mod sweep;
mod verdict;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use shared::contract::Channel;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};

use crate::{channels::outcome::Outcome, delivery::Delivery};
pub use dispatch::{Worker, WorkerSettings};
pub use engine::Engine;
pub use gate::ProbePace;
use gate::{Gate, Turn};
pub use recorder::{Finished, Recorder};

/// For how long a claimed delivery belongs to its claimer.
pub const LEASE: Duration = Duration::from_secs(35);
/// Places in memory for each message that may be in flight: the others are being written, waiting or being recorded.
const PLACES_PER_FLIGHT: usize = 4;

/// A way to a provider.
pub trait Sender: Send + Sync + 'static {
    /// Makes one attempt. It is bounded in time, well below [`LEASE`].
    fn send(&self, delivery: &Delivery) -> impl Future<Output = Outcome> + Send;
}

/// A claimed delivery with its place in the lane.
#[derive(Debug)]
pub struct Job {
    /// What is to be sent.
    pub delivery: Delivery,
    /// When the claim ends, by this machine's monotonic clock.
    pub lease_ends: Instant,
    /// Whether it is the one message by which a stopped lane sees whether it may go on.
    pub is_probe: bool,
    /// Its place.
    pub place: OwnedSemaphorePermit,
}

/// Places reserved in a lane.
#[derive(Debug)]
pub struct Places(Option<OwnedSemaphorePermit>);

impl Places {
    /// Takes one.
    pub fn take(&mut self) -> Option<OwnedSemaphorePermit> {
        self.0.as_mut().and_then(|all| all.split(1))
    }

    /// How many are left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
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
    /// A slot may be free, or the gate may have turned: for the dispatcher.
    slot: Notify,
    /// The gate has turned: for the sweep.
    turned: Notify,
    /// Rows were left waiting in the ledger: for the sweep.
    waiting: Notify,
    room: Arc<Semaphore>,
    size: usize,
    jobs: mpsc::UnboundedSender<Job>,
}

impl Lane {
    /// A lane that has up to `max_in_flight` messages on their way, and where its jobs come out.
    #[must_use]
    pub fn new(channel: Channel, max_in_flight: usize, pace: ProbePace) -> (Arc<Self>, mpsc::UnboundedReceiver<Job>) {
        let (sender, jobs) = mpsc::unbounded_channel();
        let size = max_in_flight.max(1) * PLACES_PER_FLIGHT;
        let lane = Self {
            channel,
            gate: Mutex::new(Gate::new(max_in_flight, pace)),
            slot: Notify::new(),
            turned: Notify::new(),
            waiting: Notify::new(),
            room: Arc::new(Semaphore::new(size)),
            size,
            jobs: sender,
        };
        (Arc::new(lane), jobs)
    }

    /// The channel.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel
    }

    /// Reserves up to `wanted` places, waiting for them no longer than `patience`. A lane that does not send at the moment
    /// has none.
    pub async fn reserve(&self, wanted: usize, patience: Duration) -> Places {
        if wanted == 0 || self.turn() != Turn::Open {
            return Places(None);
        }
        let wanted = wanted.min(self.size / 2).max(1);
        match timeout(patience, self.places(wanted)).await {
            Ok(places) => places,
            Err(_) => self.free_places(wanted),
        }
    }

    /// Takes over jobs, each with its place, in their order.
    pub fn accept(&self, jobs: impl IntoIterator<Item = Job>) {
        for job in jobs {
            // After the end of the dispatcher the job is dropped; its lease runs out and another process claims it.
            let _ = self.jobs.send(job);
        }
    }

    /// Says that rows without a lease were written.
    pub fn left_waiting(&self) {
        self.waiting.notify_one();
    }

    async fn places(&self, wanted: usize) -> Places {
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        Places(Arc::clone(&self.room).acquire_many_owned(wanted).await.ok())
    }

    /// Up to `wanted` places that are free now.
    fn free_places(&self, wanted: usize) -> Places {
        let wanted = u32::try_from(self.room.available_permits().min(wanted)).unwrap_or(u32::MAX);
        if wanted == 0 {
            return Places(None);
        }
        // Somebody may have taken them in between: then there are none.
        Places(Arc::clone(&self.room).try_acquire_many_owned(wanted).ok())
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
