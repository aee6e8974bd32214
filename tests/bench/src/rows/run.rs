//! One run through the whole pipeline: reminders are created, become due, arrive, and are recorded
//! as sent by notification-service and then by event-service.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{bail, ensure};

use super::{
    STUCK_LIMIT,
    reminders::{self, instant, until},
};
use crate::{
    cpu::{Meter, Usage},
    ledger,
    progress::Progress,
    record::Arrivals,
    stats::rate,
    test_suite::{Services, TestSuite},
    writes::Writes,
};

/// Time between the start of the measurement and the first due time.
const BEFORE: Duration = Duration::from_millis(200);
/// Pause between two counts of the arrivals.
const ARRIVAL_PAUSE: Duration = Duration::from_millis(20);
/// Pause between two looks at the ledger.
const RECORD_PAUSE: Duration = Duration::from_millis(5);

/// Parameters of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) count: u32,
    /// Reminders that are due in each second, evenly; `None`: all are due at one instant.
    pub(crate) per_second: Option<u32>,
    /// Latency of the provider.
    pub(crate) latency_ms: u64,
    /// Expected rate at which reminders are created and reach event-service.
    pub(crate) created_per_second: f64,
}

/// Result of a run.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) count: usize,
    /// Time from the first due time until the provider had accepted all messages.
    pub(crate) accepted: Duration,
    /// Time until all were recorded in the ledger.
    pub(crate) recorded: Duration,
    /// Time until event-service had all outcomes.
    pub(crate) known: Duration,
    pub(crate) arrivals: Arrivals,
    pub(crate) usage: Usage,
    pub(crate) writes: Writes,
    /// Rate at which reminders were created and reached event-service.
    pub(crate) created_per_second: f64,
}

impl Run {
    pub(crate) fn recorded_per_second(&self) -> f64 {
        rate(self.count, self.recorded)
    }
}

/// Runs the pipeline once.
///
/// # Errors
/// If there is no progress, or other messages arrive than were due.
pub(crate) async fn run(
    suite: &TestSuite<'_>,
    services: &Services,
    plan: Plan,
    name: &str,
) -> anyhow::Result<Run> {
    let Plan { count, per_second, latency_ms, created_per_second } = plan;
    suite.testbed.provider.reset(latency_ms).await?;
    let lead_ms = (f64::from(count) / created_per_second * 1_400.0) as u64 + 3_000;
    let first_ms = reminders::now_ms() + lead_ms;
    let after_ms = move |number: u32| {
        per_second.map_or(0, |per_second| u64::from(number) * 1_000 / u64::from(per_second))
    };
    let due_ms = move |number: u32| first_ms + after_ms(number);
    let last_ms = due_ms(count.saturating_sub(1));

    let begun = Instant::now();
    reminders::create(services, count, &format!("{name}: creating reminders"), due_ms).await?;
    reminders::wait_until_known(suite, count, first_ms, last_ms).await?;
    let created_per_second = rate(count as usize, begun.elapsed());
    {
        let _waiting = Progress::waiting(&format!("{name}: waiting until they are due"));
        tokio::time::sleep(until(first_ms).saturating_sub(BEFORE)).await;
    }
    suite.testbed.reset_statements().await?;
    let writes = suite.measure_writes().await?;
    let meter = Meter::start(suite.watched(services))?;
    wait_for_arrivals(suite, count as usize, last_ms, name).await?;
    let recorded = wait_for_records(suite, count, first_ms, last_ms).await?;
    let known = wait_for_outcomes(suite, count, first_ms, last_ms).await?;
    let usage = meter.read()?;
    let writes = writes.read().await?;
    suite.testbed.print_statements(name, count as usize).await?;
    let arrivals = Arrivals::of(&suite.testbed.provider.records().await?);
    ensure!(
        arrivals.distinct == count as usize,
        "{} of {count} reminders arrived",
        arrivals.distinct
    );
    let accepted = Duration::from_micros(arrivals.last_us.saturating_sub(first_ms * 1_000));
    Ok(Run {
        count: count as usize,
        accepted,
        recorded,
        known,
        arrivals,
        usage,
        writes,
        created_per_second,
    })
}

/// Waits until `count` messages arrived at the provider.
async fn wait_for_arrivals(
    suite: &TestSuite<'_>,
    count: usize,
    last_ms: u64,
    name: &str,
) -> anyhow::Result<()> {
    let progress = Progress::counting(&format!("{name}: arriving"), count);
    let (mut arrived, mut moved) = (0, Instant::now());
    loop {
        let (now, unmarked) = suite.testbed.provider.count().await?;
        progress.set(now);
        ensure!(unmarked == 0, "{unmarked} messages arrived that are not from the bench");
        if now >= count {
            return Ok(());
        }
        if now > arrived || !until(last_ms).is_zero() {
            (arrived, moved) = (now, Instant::now());
        }
        ensure!(
            moved.elapsed() < STUCK_LIMIT,
            "{now} of {count} messages arrived, and no further one for {STUCK_LIMIT:?}"
        );
        tokio::time::sleep(ARRIVAL_PAUSE).await;
    }
}

/// Waits until the ledger shows every delivery as sent.
async fn wait_for_records(
    suite: &TestSuite<'_>,
    count: u32,
    first_ms: u64,
    last_ms: u64,
) -> anyhow::Result<Duration> {
    let quiet = async || anyhow::Ok(!ledger::any_unfinished(&suite.devices).await?);
    let sent =
        async || ledger::recorded_sent(&suite.devices, instant(first_ms), instant(last_ms)).await;
    wait_for("recorded as sent", count, first_ms, RECORD_PAUSE, quiet, sent).await
}

/// Waits until the outcomes have gone through the outbox and the bus and event-service has applied
/// them.
async fn wait_for_outcomes(
    suite: &TestSuite<'_>,
    count: u32,
    first_ms: u64,
    last_ms: u64,
) -> anyhow::Result<Duration> {
    let bus = suite.bus().await?;
    let quiet = async || {
        let depth = bus.depth("event-queue").await?;
        let idle = depth.visible + depth.in_flight == 0;
        let published = !ledger::any_unpublished(&suite.devices).await?
            && !ledger::any_unpublished(&suite.notifications).await?;
        anyhow::Ok(idle && published)
    };
    let sent = async || {
        ledger::known_sent(&suite.notifications, instant(first_ms), instant(last_ms)).await
    };
    wait_for("known to event-service as sent", count, first_ms, ARRIVAL_PAUSE, quiet, sent).await
}

/// Waits until `quiet` returns `true` and `seen` the full count. Returns the time from `since_ms`
/// until then.
async fn wait_for(
    state: &str,
    count: u32,
    since_ms: u64,
    pause: Duration,
    quiet: impl AsyncFn() -> anyhow::Result<bool>,
    seen: impl AsyncFn() -> anyhow::Result<usize>,
) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    loop {
        let is_quiet = quiet().await?;
        let since = SystemTime::UNIX_EPOCH
            .elapsed()
            .unwrap_or_default()
            .saturating_sub(Duration::from_millis(since_ms));
        if is_quiet && seen().await? == count as usize {
            return Ok(since);
        }
        if begun.elapsed() > STUCK_LIMIT {
            bail!(
                "{} of {count} were {state} {STUCK_LIMIT:?} after the last arrived",
                seen().await?
            );
        }
        tokio::time::sleep(pause).await;
    }
}
