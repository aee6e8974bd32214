//! Bursts, lateness and memory: everything for which all four services run.

use super::{
    reminders,
    run::{self, Plan, Run},
};
use crate::{
    house::House,
    memory::Memory,
    options::{Options, RowId},
    progress::Progress,
    report::{Due, Figure, Row},
    stage::{SERVICES, Services, Stage},
    stats::{Spread, median_by, rate},
    table::number,
};

/// Reminders of the run that warms everything up and tells how fast reminders can be made.
const WARM_UP: u32 = 2_000;
/// What is taken to be possible before the first run.
const CAUTIOUS_PER_SECOND: f64 = 400.0;
/// Latency of a provider that is away over a network.
const LATENCY_MS: u64 = 50;
/// Memory is idle when it has not grown by more than this (MiB) for a second.
const STEADY_MIB: f64 = 0.5;
/// After so many seconds it is taken as it is.
const SETTLE_SECONDS: usize = 20;

pub(crate) async fn measure(
    options: &Options,
    house: &House,
    rows: &mut Vec<Row>,
) -> anyhow::Result<()> {
    let stage = Stage::make(house, "pipeline").await?;
    let services = stage.start(&SERVICES).await?;
    let idle = if options.wants(RowId::Memory) { Some(settle(&services).await?) } else { None };

    reminders::register_devices(&services).await?;
    let plan = Plan {
        count: WARM_UP.min(options.count()),
        per_ms: None,
        latency_ms: 0,
        made_per_second: CAUTIOUS_PER_SECOND,
    };
    let warm_up = run::run(&stage, &services, plan, "warming up").await?;
    let plan = Plan { count: options.count(), made_per_second: warm_up.made_per_second, ..plan };

    if options.wants(RowId::Burst) {
        rows.push(burst(&bursts(options, &stage, &services, plan, "burst").await?, 0));
    } else if idle.is_some() {
        run::run(&stage, &services, plan, "memory").await?;
    }
    if options.wants(RowId::Latency) {
        let plan = Plan { latency_ms: LATENCY_MS, ..plan };
        rows.push(burst(&bursts(options, &stage, &services, plan, "latency").await?, LATENCY_MS));
    }
    if options.wants(RowId::Lateness) {
        let seconds = u32::try_from(options.seconds(20))?;
        let plan = Plan { count: 1_000 * seconds, per_ms: Some(1), ..plan };
        rows.push(lateness(&run::run(&stage, &services, plan, "lateness").await?, seconds));
    }
    if let Some(idle) = idle {
        rows.push(memory(idle, now(&services)?));
    }
    services.stop().await
}

async fn bursts(
    options: &Options,
    stage: &Stage<'_>,
    services: &Services,
    plan: Plan,
    name: &str,
) -> anyhow::Result<Vec<Run>> {
    let mut runs = Vec::new();
    for number in 1..=options.runs() {
        runs.push(
            run::run(stage, services, plan, &format!("{name} {number}/{}", options.runs())).await?,
        );
    }
    Ok(runs)
}

/// The row of several bursts: their median.
fn burst(runs: &[Run], latency_ms: u64) -> Row {
    let rates = Spread::of(runs.iter().map(Run::recorded_per_second).collect());
    let Some((run, rates)) =
        median_by(runs.iter().collect(), |run| run.recorded_per_second()).zip(rates)
    else {
        return Row::new("burst", "burst");
    };
    let recorded =
        Figure::new("recordedPerSecond", "accepted and recorded", run.recorded_per_second(), "/s");
    let count = number(run.count as f64);
    let (row, recorded) = if latency_ms == 0 {
        let recorded = recorded.beside("220/s", "10,000/s", "20,000/s").due(Due::AtLeast(5_000.0));
        (Row::new("burst", format!("burst: {count} reminders due at one instant")), recorded)
    } else {
        let recorded = recorded.beside("12.7/s", "9,000/s", "as without");
        (
            Row::new(
                "latency",
                format!("the same with {latency_ms} ms of latency at the provider"),
            ),
            recorded,
        )
    };
    let duplicates: usize = runs.iter().map(|run| run.arrivals.duplicates).sum();
    let unlike: usize = runs.iter().map(|run| run.arrivals.unlike).sum();
    let earliest = runs
        .iter()
        .filter_map(|run| run.arrivals.lateness_ms)
        .map(|spread| spread.min)
        .fold(f64::MAX, f64::min);
    let mut row = row
        .figure(recorded)
        .figure(Figure::new(
            "acceptedPerSecond",
            "accepted by the provider",
            rate(run.count, run.accepted),
            "/s",
        ))
        .figure(Figure::new(
            "knownPerSecond",
            "and known in the timeline",
            rate(run.count, run.known),
            "/s",
        ))
        .figure(
            Figure::new("firstMs", "first after the due time", earliest, "ms")
                .due(Due::AtLeast(0.0)),
        )
        .figure(
            Figure::new("duplicates", "sent twice, in all runs", duplicates as f64, "")
                .due(Due::AtMost(0.0)),
        )
        .cpu(run.count, run.usage.clone());
    if runs.len() > 1 {
        row = row.note(format!(
            "median of {} runs, {} to {}/s",
            runs.len(),
            number(rates.min),
            number(rates.max)
        ));
    }
    if unlike > 0 {
        row = row.note(format!("{unlike} were sent twice under different collapse keys"));
    }
    row
}

fn lateness(run: &Run, seconds: u32) -> Row {
    let row = Row::new("lateness", format!("lateness at a steady 1,000 due/s for {seconds} s"));
    let Some(spread) = run.arrivals.lateness_ms else { return row };
    row.figure(Figure::new("p50Ms", "p50", spread.p50, "ms").beside("−60 s … never", "", "25 ms"))
        .figure(
            Figure::new("p99Ms", "p99", spread.p99, "ms")
                .beside("", "250 ms", "100 ms")
                .due(Due::AtMost(250.0)),
        )
        .figure(Figure::new("maxMs", "max", spread.max, "ms"))
        .figure(
            Figure::new("minMs", "min (below 0: early)", spread.min, "ms")
                .beside("", "≥ 0", "≥ 0")
                .due(Due::AtLeast(0.0)),
        )
        .figure(
            Figure::new("duplicates", "sent twice", run.arrivals.duplicates as f64, "")
                .due(Due::AtMost(0.0)),
        )
        .cpu(run.count, run.usage.clone())
}

type Memories = Vec<(&'static str, Memory)>;

fn now(services: &Services) -> anyhow::Result<Memories> {
    services.all().map(|running| Ok((running.name, Memory::of(running.pid())?))).collect()
}

fn sum(memories: &Memories) -> Memory {
    let none = Memory { pss: Some(0.0), ..Memory::default() };
    memories.iter().fold(none, |sum, (_, memory)| sum.and(*memory))
}

/// Waits until the memory of services that have nothing to do grows no more.
async fn settle(services: &Services) -> anyhow::Result<Memories> {
    let _waiting = Progress::waiting("memory: until the services are at rest");
    let mut last = now(services)?;
    for _ in 0..SETTLE_SECONDS {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let next = now(services)?;
        if (sum(&next).rss - sum(&last).rss).abs() < STEADY_MIB {
            return Ok(next);
        }
        last = next;
    }
    Ok(last)
}

fn memory(idle: Memories, after: Memories) -> Row {
    let (all, peak) = (sum(&idle), sum(&after));
    let each = |memories: &Memories, of: fn(&Memory) -> f64| {
        let parts: Vec<_> =
            memories.iter().map(|(name, memory)| format!("{name} {:.1}", of(memory))).collect();
        parts.join(", ")
    };
    let mut row = Row::new("memory", "memory of the four processes together").figure(
        Figure::new("idleRssMib", "idle, RSS", all.rss, "MiB")
            .beside("368 MiB", "100 MiB", "60 MiB")
            .due(Due::AtMost(100.0)),
    );
    if let Some(pss) = all.pss {
        row = row.figure(Figure::new("idlePssMib", "idle, PSS", pss, "MiB"));
    }
    row.figure(Figure::new("peakRssMib", "peak RSS during the rows above", peak.peak, "MiB"))
        .note(format!("idle RSS in MiB: {}", each(&idle, |memory| memory.rss)))
        .note(format!("peak RSS in MiB: {}", each(&after, |memory| memory.peak)))
}
