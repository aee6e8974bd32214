//! A storm: reminders are made, edited, snoozed and deleted while processes, databases, the bus and
//! the providers fail at random; afterwards a checker judges everything that arrived and everything
//! that is recorded.
//!
//! The seed decides the faults and their times. Two storms with one seed differ all the same in
//! what a fault meets, since the processes are real.

mod checker;
mod faults;
mod guard;
mod load;
mod record;
mod replay;
mod stale;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::{Instant, sleep};

use crate::{Bus, House, Service};
pub use checker::{Arrival, Evidence, Finding, Kind, Made, judge};
pub use guard::Guard;
pub use replay::Copies;

/// How a storm is made.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The bus that the services use.
    pub bus: Bus,
    /// What decides the faults.
    pub seed: u64,
    /// For how long reminders are made and faults happen.
    pub length: Duration,
    /// Processes of each service.
    pub replicas: usize,
    /// Reminders made in a second.
    pub per_second: u32,
    /// How long everything may take to settle once the faults have ended.
    pub calm: Duration,
}

/// The result of a storm.
#[derive(Debug)]
pub struct Report {
    /// The seed it was made with.
    pub seed: u64,
    /// Reminders that were made.
    pub made: usize,
    /// Messages that the providers accepted.
    pub arrived: usize,
    /// Those of them that repeat an earlier one.
    pub repeats: usize,
    /// Reminders that were snoozed, and those of them that went out between that and the new time.
    pub snoozed: (usize, usize),
    /// Faults by kind.
    pub faults: Vec<(&'static str, usize)>,
    /// Everything that must not be; empty when all is well.
    pub findings: Vec<Finding>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}: {} reminders, {} arrivals, {} repeats; of {} snoozed {} went out all the same",
            self.seed, self.made, self.arrived, self.repeats, self.snoozed.0, self.snoozed.1
        )?;
        for (fault, times) in &self.faults {
            writeln!(f, "  {times:>5} {fault}")?;
        }
        for finding in self.findings.iter().take(50) {
            writeln!(f, "  {finding}")?;
        }
        match self.findings.len() {
            0 => write!(f, "  nothing lost, unexpected, early, stuck or unexplained"),
            findings => write!(f, "  {findings} findings"),
        }
    }
}

/// A span of time in which a fault may cost a record of what a provider accepted.
pub type Span = (DateTime<Utc>, DateTime<Utc>);

/// Where the load finds processes that come and go.
#[derive(Debug, Clone, Default)]
pub(crate) struct Addresses(Arc<Mutex<Vec<String>>>);

impl Addresses {
    pub(crate) fn set(&self, addresses: Vec<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Makes a storm and judges it; `progress` hears once a second how far it is.
///
/// # Panics
/// When something that is needed cannot be had at all: a process does not start, a database cannot
/// be asked.
pub async fn run(settings: Settings, mut progress: impl FnMut(&str)) -> Report {
    let mut rng = StdRng::seed_from_u64(settings.seed);
    let mut house = House::with_replicas(settings.bus, settings.replicas).await;
    let users = load::users(&house).await;
    let copies = match settings.bus {
        Bus::Postgres => Some(Copies::begin(&house).await),
        Bus::Aws => None,
    };
    let addresses = Addresses::default();
    addresses.set(house.rest_urls(Service::Reminders));
    let load = tokio::spawn(load::run(settings, users, addresses.clone(), rng.random()));

    let mut weather = faults::Weather::new(copies, addresses);
    let began = Instant::now();
    while began.elapsed() < settings.length {
        weather.change(&mut house, &mut rng).await;
        let elapsed = began.elapsed().as_secs();
        progress(&format!(
            "{elapsed:>4} s of {}: {} faults",
            settings.length.as_secs(),
            weather.count()
        ));
        sleep(Duration::from_millis(rng.random_range(300..1_500))).await;
    }
    weather.clear(&mut house).await;
    let made = load.await.expect("the load does not panic");
    progress("the faults have ended; waiting until everything has settled");
    house.ready().await;
    record::settle(&house, &made, settings.calm).await;
    report(&house, settings.seed, &made, &weather).await
}

async fn report(house: &House, seed: u64, made: &[Made], weather: &faults::Weather) -> Report {
    let evidence = record::evidence(house, weather.spans()).await;
    Report {
        seed,
        made: made.len(),
        arrived: evidence.arrivals.len(),
        repeats: checker::repeats(&evidence.arrivals),
        snoozed: (
            made.iter().filter(|made| made.snoozed.is_some()).count(),
            checker::out_all_the_same(made, &evidence.arrivals),
        ),
        faults: weather.counts(),
        findings: judge(made, &evidence),
    }
}

/// Judges a scenario that one guard alone holds, with it in place and with it taken out: reminders
/// that are delivered by the bus once more, that are made while the bus is away by a process that
/// is then killed, or that a scheduler without its lease is about to end. Without the guard the
/// checker must find it.
///
/// # Panics
/// As [`run`].
pub async fn prove(guard: Guard) -> [Vec<Finding>; 2] {
    // Both suites stay until both are judged: their end holds up the thread for seconds.
    let (with, without) = tokio::join!(tried(None, guard), tried(Some(guard), guard));
    [with.1, without.1]
}

/// A suite in which a scenario was made, and what is found.
async fn tried(without: Option<Guard>, scenario: Guard) -> (House, Vec<Finding>) {
    let mut house = House::start(Bus::Postgres).await;
    let users = load::users(&house).await;
    if let Some(guard) = without {
        guard.take_out(&house).await;
    }
    let made = match scenario {
        Guard::Inbox | Guard::LedgerKey => replay::everything_again(&house, &users).await,
        Guard::Outbox => faults::killed_while_the_bus_was_away(&mut house, &users).await,
        Guard::Fence => stale::ended_without_a_lease(&mut house, &users).await,
    };
    // What a process left in its outbox when it was killed is taken over after half a minute.
    record::settle(&house, &made, Duration::from_secs(75)).await;
    let findings = judge(&made, &record::evidence(&house, Vec::new()).await);
    (house, findings)
}
