//! Storm test: reminders are created, edited, snoozed and deleted while processes, databases, the
//! bus and the providers fail at random. Afterwards a checker judges all messages that arrived and
//! all recorded states.
//!
//! The seed selects the faults and their times. The effects of a fault differ nevertheless between
//! two storms with one seed, since the processes are real.

mod checker;
mod evidence;
mod faults;
mod load;
mod replay;
mod safeguard;
mod stale;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::{Instant, sleep};

use crate::{Bus, Service, TestSuite};
pub use checker::{Arrival, CreatedReminder, Evidence, Finding, FindingKind, judge};
pub use replay::Replayer;
pub use safeguard::Safeguard;

/// Settings of a storm.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Bus of the services.
    pub bus: Bus,
    /// Seed of the random faults.
    pub seed: u64,
    /// Time in which reminders are created and faults happen.
    pub length: Duration,
    /// Processes of each service.
    pub replicas: usize,
    /// Reminders created per second.
    pub per_second: u32,
    /// Longest time until all deliveries have an outcome after the last fault.
    pub settle_limit: Duration,
}

/// The result of a storm.
#[derive(Debug)]
pub struct Report {
    /// Seed of the random faults.
    pub seed: u64,
    /// Number of reminders that were created.
    pub created: usize,
    /// Number of messages that the providers accepted.
    pub arrived: usize,
    /// Number of messages that repeat an earlier one.
    pub repeats: usize,
    /// Number of reminders that were snoozed, and number of those that were sent before the new
    /// time.
    pub snoozed: (usize, usize),
    /// Number of faults by kind.
    pub faults: Vec<(&'static str, usize)>,
    /// Violations of the guarantees; empty if there is none.
    pub findings: Vec<Finding>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}: {} reminders, {} messages, {} repeats; {} of {} snoozed reminders were sent \
             before the new time",
            self.seed, self.created, self.arrived, self.repeats, self.snoozed.1, self.snoozed.0
        )?;
        for (fault, times) in &self.faults {
            writeln!(f, "  {times:>5} {fault}")?;
        }
        for finding in self.findings.iter().take(50) {
            writeln!(f, "  {finding}")?;
        }
        match self.findings.len() {
            0 => write!(
                f,
                "  passed: nothing was lost, unexpected, early, stuck or sent twice without a fault"
            ),
            findings => write!(f, "  failed: {findings} findings"),
        }
    }
}

/// Time span of a fault that may have prevented the record of an accepted message.
pub type Span = (DateTime<Utc>, DateTime<Utc>);

/// URLs of the REST APIs, which change when processes are restarted.
#[derive(Debug, Clone, Default)]
pub(crate) struct RestUrls(Arc<Mutex<Vec<String>>>);

impl RestUrls {
    pub(crate) fn set(&self, urls: Vec<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = urls;
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Runs a storm and judges it. `progress` is called about once a second.
///
/// # Panics
/// If the suite itself fails: a process does not start, or a database cannot be queried.
pub async fn run(settings: Settings, mut progress: impl FnMut(&str)) -> Report {
    let mut rng = StdRng::seed_from_u64(settings.seed);
    let mut suite = TestSuite::start_with_replicas(settings.bus, settings.replicas).await;
    let users = load::users(&suite).await;
    let replayer = match settings.bus {
        Bus::Postgres => Some(Replayer::start(&suite).await),
        Bus::Aws => None,
    };
    let urls = RestUrls::default();
    urls.set(suite.rest_urls(Service::Reminders));
    let load = tokio::spawn(load::run(settings, users, urls.clone(), rng.random()));

    let mut injector = faults::FaultInjector::new(replayer, urls);
    let began = Instant::now();
    while began.elapsed() < settings.length {
        injector.inject(&mut suite, &mut rng).await;
        let elapsed = began.elapsed().as_secs();
        progress(&format!(
            "{elapsed:>4} s of {}: {} faults",
            settings.length.as_secs(),
            injector.count()
        ));
        sleep(Duration::from_millis(rng.random_range(300..1_500))).await;
    }
    injector.end_all(&mut suite).await;
    let created = load.await.expect("the load does not panic");
    progress("the faults have ended; waiting for the remaining deliveries");
    suite.wait_until_ready().await;
    evidence::settle(&suite, &created, settings.settle_limit).await;
    report(&suite, settings.seed, &created, &injector).await
}

async fn report(
    suite: &TestSuite,
    seed: u64,
    created: &[CreatedReminder],
    injector: &faults::FaultInjector,
) -> Report {
    let evidence = evidence::collect(suite, injector.spans()).await;
    Report {
        seed,
        created: created.len(),
        arrived: evidence.arrivals.len(),
        repeats: checker::repeats(&evidence.arrivals),
        snoozed: (
            created.iter().filter(|reminder| reminder.snoozed.is_some()).count(),
            checker::sent_before_snoozed_time(created, &evidence.arrivals),
        ),
        faults: injector.counts(),
        findings: judge(created, &evidence),
    }
}

/// Judges a scenario that one safeguard alone protects, with the safeguard and without it:
/// reminders whose messages are delivered again, that are created during an outage of the bus by a
/// process that is then killed, or that a scheduler without its lease is about to end. Without the
/// safeguard the checker must report a finding.
///
/// # Panics
/// As [`run`].
pub async fn judge_with_and_without(safeguard: Safeguard) -> [Vec<Finding>; 2] {
    // Both suites are dropped after both are judged: their end blocks the thread for seconds.
    let (with, without) =
        tokio::join!(judge_scenario(safeguard, true), judge_scenario(safeguard, false));
    [with.1, without.1]
}

/// Runs the scenario of a safeguard, and returns the suite and the findings.
async fn judge_scenario(safeguard: Safeguard, is_enabled: bool) -> (TestSuite, Vec<Finding>) {
    let mut suite = TestSuite::start(Bus::Postgres).await;
    let users = load::users(&suite).await;
    if !is_enabled {
        safeguard.disable(&suite).await;
    }
    let created = match safeguard {
        Safeguard::Inbox | Safeguard::LedgerKey => replay::replay_all(&suite, &users).await,
        Safeguard::Outbox => faults::kill_during_bus_outage(&mut suite, &users).await,
        Safeguard::Fence => stale::end_without_lease(&mut suite, &users).await,
    };
    // Messages that a killed process left in its outbox are published after half a minute.
    evidence::settle(&suite, &created, Duration::from_secs(75)).await;
    let findings = judge(&created, &evidence::collect(&suite, Vec::new()).await);
    (suite, findings)
}
