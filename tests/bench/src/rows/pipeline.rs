//! Bursts, lateness and memory: the rows for which all four services run.

use anyhow::Context as _;
use support::{Service, memory::Memory};

use super::{
    reminders,
    run::{self, Plan, Run},
};
use crate::{
    cpu::Meter,
    options::{Options, RowId},
    progress::Progress,
    report::{Bound, Figure, Row},
    stats::{Spread, median_by, rate},
    table::number,
    test_suite::{Services, TestSuite},
    testbed::Testbed,
};

/// Reminders of the warm-up run, which measures the rate of creation.
const WARM_UP: u32 = 2_000;
/// Rate of creation that is assumed for the warm-up run.
const CAUTIOUS_PER_SECOND: f64 = 400.0;
/// Latency of a provider behind a network.
const LATENCY_MS: u64 = 50;
/// Growth within a second, in KiB, below which memory counts as stable.
const STABLE_KIB: u64 = 512;
/// Seconds after which memory is measured even if it is not stable.
const SETTLE_SECONDS: usize = 20;

pub(crate) async fn measure(
    options: &Options,
    testbed: &Testbed,
    rows: &mut Vec<Row>,
) -> anyhow::Result<()> {
    let suite = TestSuite::create(testbed, "pipeline").await?;
    let services = suite.start(&Service::ALL).await?;
    let idle = if options.wants(RowId::Memory) { Some(settle(&services).await?) } else { None };

    if options.wants(RowId::Idle) {
        rows.push(measure_idle(options, &suite, &services).await?);
    }
    reminders::register_devices(&services).await?;
    let plan = Plan {
        count: WARM_UP.min(options.count()),
        per_second: None,
        latency_ms: 0,
        created_per_second: CAUTIOUS_PER_SECOND,
    };
    let warm_up = run::run(&suite, &services, plan, "warming up").await?;
    let plan =
        Plan { count: options.count(), created_per_second: warm_up.created_per_second, ..plan };

    if options.wants(RowId::Burst) {
        rows.push(burst(&bursts(options, &suite, &services, plan, "burst").await?, 0));
    } else if idle.is_some() {
        run::run(&suite, &services, plan, "memory").await?;
    }
    if options.wants(RowId::Latency) {
        let plan = Plan { latency_ms: LATENCY_MS, ..plan };
        rows.push(burst(&bursts(options, &suite, &services, plan, "latency").await?, LATENCY_MS));
    }
    if options.wants(RowId::Lateness) {
        let seconds = u32::try_from(options.seconds(20))?;
        let rate = options.rate;
        let plan = Plan { count: rate * seconds, per_second: Some(rate), ..plan };
        let run = run::run(&suite, &services, plan, "lateness").await?;
        rows.push(lateness(&run, rate, seconds));
    }
    if let Some(idle) = idle {
        rows.push(memory(idle, measure_memory(&services)?));
    }
    services.stop().await
}

/// Measures the CPU that everything uses while there is nothing to do.
async fn measure_idle(
    options: &Options,
    suite: &TestSuite<'_>,
    services: &Services,
) -> anyhow::Result<Row> {
    let seconds = options.seconds(20);
    let _waiting = Progress::waiting(&format!("idle: {seconds} s"));
    suite.testbed.reset_statements().await?;
    let writes = suite.measure_writes().await?;
    let meter = Meter::start(suite.watched(services))?;
    tokio::time::sleep(std::time::Duration::from_secs(seconds)).await;
    let usage = meter.read()?;
    let writes = writes.read().await?;
    suite.testbed.print_statements("idle", usize::try_from(seconds)?).await?;
    let percent = |used: f64| used / usage.wall.as_secs_f64() * 100.0;
    let services = Service::ALL.map(Service::binary);
    let of_services = usage.processes.iter().filter(|(name, _)| services.contains(name));
    let of_services: f64 = of_services.map(|(_, seconds)| seconds).sum();
    let row = Row::new("idle", format!("CPU of one core while nothing is due, for {seconds} s"))
        .figure(
            Figure::new("idlePercent", "everything", percent(of_services + usage.postgres), "%")
                .compared_with("", "1 %", "0.5 %"),
        )
        .figure(Figure::new("idleServicesPercent", "the four services", percent(of_services), "%"))
        .figure(Figure::new("idlePostgresPercent", "PostgreSQL", percent(usage.postgres), "%"))
        .figure(Figure::new("idleCommits", "commits", writes.commits / seconds as f64, "/s"));
    Ok(row.cpu(usize::try_from(seconds)?, usage))
}

async fn bursts(
    options: &Options,
    suite: &TestSuite<'_>,
    services: &Services,
    plan: Plan,
    name: &str,
) -> anyhow::Result<Vec<Run>> {
    let mut runs = Vec::new();
    for number in 1..=options.runs() {
        runs.push(
            run::run(suite, services, plan, &format!("{name} {number}/{}", options.runs())).await?,
        );
    }
    Ok(runs)
}

/// Builds the row of several bursts: their median.
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
        let recorded = recorded
            .compared_with("220/s", "10,000/s", "20,000/s")
            .bounded(Bound::AtLeast(5_000.0));
        (Row::new("burst", format!("burst: {count} reminders due at one instant")), recorded)
    } else {
        let recorded = recorded.compared_with("12.7/s", "9,000/s", "as without");
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
            "visible in the timeline",
            rate(run.count, run.known),
            "/s",
        ))
        .figure(
            Figure::new("firstMs", "first arrival after the due time", earliest, "ms")
                .bounded(Bound::AtLeast(0.0)),
        )
        .figure(
            Figure::new("duplicates", "sent twice, in all runs", duplicates as f64, "")
                .bounded(Bound::AtMost(0.0)),
        )
        .cpu(run.count, run.usage.clone());
    let each = |total: f64| total / run.count.max(1) as f64;
    row = row
        .figure(
            Figure::new(
                "postgresMicros",
                "CPU of PostgreSQL, each",
                each(run.usage.postgres * 1e6),
                "µs",
            )
            .compared_with("", "110 µs", "60 µs"),
        )
        .figure(
            Figure::new("walBytes", "write-ahead log, each", each(run.writes.wal_bytes), "B")
                .compared_with("", "2 KiB", "1 KiB"),
        )
        .figure(
            Figure::new("commits", "commits, each", each(run.writes.commits), "")
                .compared_with("", "0.05", "0.02"),
        )
        .figure(Figure::new("deadRows", "dead row versions, each", each(run.writes.dead), ""));
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

fn lateness(run: &Run, rate: u32, seconds: u32) -> Row {
    let title = format!("lateness at a steady {} reminders/s for {seconds} s", number(rate.into()));
    let row = Row::new("lateness", title);
    let Some(spread) = run.arrivals.lateness_ms else { return row };
    row.figure(Figure::new("p50Ms", "p50", spread.p50, "ms").compared_with(
        "−60 s … never",
        "",
        "25 ms",
    ))
    .figure(
        Figure::new("p99Ms", "p99", spread.p99, "ms")
            .compared_with("", "250 ms", "100 ms")
            .bounded(Bound::AtMost(250.0)),
    )
    .figure(Figure::new("maxMs", "max", spread.max, "ms"))
    .figure(
        Figure::new("minMs", "min (below 0: early)", spread.min, "ms")
            .compared_with("", "≥ 0", "≥ 0")
            .bounded(Bound::AtLeast(0.0)),
    )
    .figure(
        Figure::new("duplicates", "sent twice", run.arrivals.duplicates as f64, "")
            .bounded(Bound::AtMost(0.0)),
    )
    .cpu(run.count, run.usage.clone())
}

type Memories = Vec<(Service, Memory)>;

fn measure_memory(services: &Services) -> anyhow::Result<Memories> {
    let memory = |service: Service, pid| {
        let memory = Memory::of(pid);
        let memory = memory.with_context(|| format!("read memory of {}", service.binary()))?;
        Ok((service, memory))
    };
    services.all().map(|(service, running)| memory(service, running.pid())).collect()
}

fn sum(memories: &Memories, kib: fn(&Memory) -> u64) -> u64 {
    memories.iter().map(|(_, memory)| kib(memory)).sum()
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1_024.0
}

/// Waits until the memory of idle services is stable.
async fn settle(services: &Services) -> anyhow::Result<Memories> {
    let _waiting = Progress::waiting("memory: until the services are idle");
    let resident = |memories: &Memories| sum(memories, |memory| memory.resident_kib);
    let mut last = measure_memory(services)?;
    for _ in 0..SETTLE_SECONDS {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let next = measure_memory(services)?;
        if resident(&next).abs_diff(resident(&last)) < STABLE_KIB {
            return Ok(next);
        }
        last = next;
    }
    Ok(last)
}

fn memory(idle: Memories, after: Memories) -> Row {
    let each = |memories: &Memories, kib: fn(&Memory) -> u64| {
        let parts: Vec<_> = memories
            .iter()
            .map(|(service, memory)| format!("{} {:.1}", service.binary(), mib(kib(memory))))
            .collect();
        parts.join(", ")
    };
    let resident = mib(sum(&idle, |memory| memory.resident_kib));
    let peak = mib(sum(&after, |memory| memory.peak_kib));
    let mut row = Row::new("memory", "memory of the four processes together").figure(
        Figure::new("idleRssMib", "idle, RSS", resident, "MiB")
            .compared_with("368 MiB", "100 MiB", "60 MiB")
            .bounded(Bound::AtMost(100.0)),
    );
    let proportional: Option<u64> = idle.iter().map(|(_, memory)| memory.proportional_kib).sum();
    if let Some(proportional) = proportional {
        row = row.figure(Figure::new("idlePssMib", "idle, PSS", mib(proportional), "MiB"));
    }
    row.figure(Figure::new("peakRssMib", "peak RSS during the rows above", peak, "MiB"))
        .note(format!("idle RSS in MiB: {}", each(&idle, |memory| memory.resident_kib)))
        .note(format!("peak RSS in MiB: {}", each(&after, |memory| memory.peak_kib)))
}
