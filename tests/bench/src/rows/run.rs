//! One run through the whole pipeline: reminders are made, come due, arrive, are recorded, and are
//! known to have been sent.

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
    stage::{Services, Stage},
    stats::rate,
};

/// How long before the first is due the measurement begins.
const BEFORE: Duration = Duration::from_millis(200);
/// Between two looks at how many arrived, and at whether all is recorded.
const ARRIVAL_PAUSE: Duration = Duration::from_millis(20);
const RECORD_PAUSE: Duration = Duration::from_millis(5);

/// What is to run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) count: u32,
    /// Reminders due in each millisecond; all at one instant where it is none.
    pub(crate) per_ms: Option<u32>,
    /// At the provider.
    pub(crate) latency_ms: u64,
    /// Reminders a second that can be made and known; a guess before the first run.
    pub(crate) made_per_second: f64,
}

/// What came of it.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) count: usize,
    /// From the first due time.
    pub(crate) accepted: Duration,
    pub(crate) recorded: Duration,
    pub(crate) known: Duration,
    pub(crate) arrivals: Arrivals,
    pub(crate) usage: Usage,
    /// Reminders a second that were made and known.
    pub(crate) made_per_second: f64,
}

impl Run {
    pub(crate) fn recorded_per_second(&self) -> f64 {
        rate(self.count, self.recorded)
    }
}

/// Runs it.
///
/// # Errors
/// When anything stops moving, or what arrived is not what was due.
pub(crate) async fn run(
    stage: &Stage<'_>,
    services: &Services,
    plan: Plan,
    name: &str,
) -> anyhow::Result<Run> {
    let Plan { count, per_ms, latency_ms, made_per_second } = plan;
    stage.house.provider.reset(latency_ms).await?;
    let lead_ms = (f64::from(count) / made_per_second * 1_400.0) as u64 + 3_000;
    let first_ms = reminders::now_ms() + lead_ms;
    let due_ms =
        move |number: u32| first_ms + per_ms.map_or(0, |per_ms| u64::from(number / per_ms));
    let last_ms = due_ms(count.saturating_sub(1));

    let begun = Instant::now();
    reminders::create(services, count, &format!("{name}: making reminders"), due_ms).await?;
    reminders::wait_until_known(stage, count, first_ms, last_ms).await?;
    let made_per_second = rate(count as usize, begun.elapsed());
    {
        let _waiting = Progress::waiting(&format!("{name}: until they are due"));
        tokio::time::sleep(until(first_ms).saturating_sub(BEFORE)).await;
    }
    stage.house.count_statements().await?;
    let meter = Meter::start(stage.watched(services))?;
    wait_for_arrivals(stage, count as usize, last_ms, name).await?;
    let recorded = wait_for_records(stage, count, first_ms, last_ms).await?;
    let known = wait_for_facts(stage, count, first_ms, last_ms).await?;
    let usage = meter.read()?;
    stage.house.tell_statements(name, count as usize).await?;
    let arrivals = Arrivals::of(&stage.house.provider.records().await?);
    ensure!(
        arrivals.distinct == count as usize,
        "{} of {count} reminders arrived",
        arrivals.distinct
    );
    let accepted = Duration::from_micros(arrivals.last_us.saturating_sub(first_ms * 1_000));
    Ok(Run { count: count as usize, accepted, recorded, known, arrivals, usage, made_per_second })
}

/// Waits until `count` messages arrived at the provider.
async fn wait_for_arrivals(
    stage: &Stage<'_>,
    count: usize,
    last_ms: u64,
    name: &str,
) -> anyhow::Result<()> {
    let progress = Progress::counting(&format!("{name}: arriving"), count);
    let (mut arrived, mut moved) = (0, Instant::now());
    loop {
        let (now, unmarked) = stage.house.provider.count().await?;
        progress.set(now);
        ensure!(unmarked == 0, "{unmarked} messages arrived that are not the bench's");
        if now >= count {
            return Ok(());
        }
        if now > arrived || !until(last_ms).is_zero() {
            (arrived, moved) = (now, Instant::now());
        }
        ensure!(
            moved.elapsed() < STUCK_LIMIT,
            "{now} of {count} arrived, and nothing more for {STUCK_LIMIT:?}"
        );
        tokio::time::sleep(ARRIVAL_PAUSE).await;
    }
}

/// Waits until the ledger shows every delivery as sent.
async fn wait_for_records(
    stage: &Stage<'_>,
    count: u32,
    first_ms: u64,
    last_ms: u64,
) -> anyhow::Result<Duration> {
    let quiet = async || anyhow::Ok(!ledger::any_unfinished(&stage.devices).await?);
    let sent =
        async || ledger::recorded_sent(&stage.devices, instant(first_ms), instant(last_ms)).await;
    wait_for("recorded as sent", count, first_ms, RECORD_PAUSE, quiet, sent).await
}

/// Waits until the outcomes have gone through the outbox and the bus and event-service has applied
/// them.
async fn wait_for_facts(
    stage: &Stage<'_>,
    count: u32,
    first_ms: u64,
    last_ms: u64,
) -> anyhow::Result<Duration> {
    let bus = stage.bus().await?;
    let quiet = async || {
        let depth = bus.depth("event-queue").await?;
        let idle = depth.visible + depth.in_flight == 0;
        let published = !ledger::any_unpublished(&stage.devices).await?
            && !ledger::any_unpublished(&stage.notifications).await?;
        anyhow::Ok(idle && published)
    };
    let sent = async || {
        ledger::known_sent(&stage.notifications, instant(first_ms), instant(last_ms)).await
    };
    wait_for("known to event-service as sent", count, first_ms, ARRIVAL_PAUSE, quiet, sent).await
}

/// Waits until all is quiet and `seen` confirms the whole count; how long after `since_ms` it
/// became quiet.
async fn wait_for(
    what: &str,
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
                "{} of {count} were {what}, {STUCK_LIMIT:?} after the last arrived",
                seen().await?
            );
        }
        tokio::time::sleep(pause).await;
    }
}
