//! REST API of reminder-service, which runs alone, as the one of 1.0.0 did when it was measured.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use http::Method;
use support::Service;

use super::reminders::{self, now_ms, user};
use crate::{
    cpu::{Meter, Usage},
    load::{self, Make, Outcome, Until, request},
    options::Options,
    progress::Progress,
    report::{Figure, Row},
    stats::{median_by, rate},
    test_suite::{Services, TestSuite},
    testbed::Testbed,
};

const SERVICE: Service = Service::Reminders;
const CONNECTIONS: usize = 64;
/// Reminders that are stored when lists are read.
const STORED: u32 = 10_000;
/// Users of the stored reminders.
const READERS: u32 = 100;
/// Time until a reminder is due, in milliseconds.
const AHEAD_MS: u64 = 86_400_000;

struct Run {
    outcome: Outcome,
    usage: Usage,
}

impl Run {
    fn per_second(&self) -> f64 {
        rate(self.outcome.requests, self.outcome.time)
    }

    /// CPU seconds of the service and of PostgreSQL per 1,000 requests.
    fn cpu_per_thousand(&self) -> (f64, f64) {
        let service = self
            .usage
            .processes
            .iter()
            .find(|(name, _)| *name == SERVICE.binary())
            .map_or(0.0, |(_, seconds)| *seconds);
        let thousands = self.outcome.requests as f64 / 1e3;
        (service / thousands, self.usage.postgres / thousands)
    }
}

pub(crate) async fn measure(
    options: &Options,
    testbed: &Testbed,
    rows: &mut Vec<Row>,
) -> anyhow::Result<()> {
    let suite = TestSuite::create(testbed, "api").await?;
    let services = suite.start(&[SERVICE]).await?;
    let addr = services.rest(SERVICE)?;
    fill(addr).await?;
    let list = move |number: u32| {
        request(Method::GET, addr, "/reminders?limit=10", &user(number % READERS), "")
    };
    let create = move |number: u32| {
        reminders::post(addr, &user(number % 1_000), number, now_ms() + AHEAD_MS)
    };
    let get = median(options, &suite, &services, "GET /reminders", Arc::new(list)).await?;
    let post = median(options, &suite, &services, "POST /reminders", Arc::new(create)).await?;
    services.stop().await?;
    rows.push(row("post", "POST /reminders, 64 connections, durable with outbox", post, POST));
    rows.push(row(
        "get",
        "GET /reminders?limit=10, 64 connections, 100 reminders of the user, 10,000 in all",
        get,
        GET,
    ));
    Ok(())
}

async fn fill(addr: std::net::SocketAddr) -> anyhow::Result<()> {
    let progress = Progress::counting("api: creating the reminders to list", STORED as usize);
    let make = move |number: u32| {
        reminders::post(addr, &user(number % READERS), number, now_ms() + AHEAD_MS)
    };
    load::run(addr, CONNECTIONS, Until::Sent(0..STORED), Arc::new(make), move |count| {
        progress.add(count)
    })
    .await?;
    Ok(())
}

async fn median(
    options: &Options,
    suite: &TestSuite<'_>,
    services: &Services,
    name: &str,
    make: Arc<Make>,
) -> anyhow::Result<Run> {
    let addr = services.rest(SERVICE)?;
    let warm_up = Until::Elapsed(Duration::from_secs(1));
    load::run(addr, CONNECTIONS, warm_up, Arc::clone(&make), |_| ()).await?;
    let mut runs = Vec::new();
    for number in 1..=options.runs() {
        let _waiting = Progress::waiting(&format!("api: {name} {number}/{}", options.runs()));
        suite.testbed.reset_statements().await?;
        let meter = Meter::start(suite.watched(services))?;
        let until = Until::Elapsed(Duration::from_secs(options.seconds(10)));
        let outcome = load::run(addr, CONNECTIONS, until, Arc::clone(&make), |_| ()).await?;
        let run = Run { outcome, usage: meter.read()? };
        suite.testbed.print_statements(name, run.outcome.requests).await?;
        runs.push(run);
    }
    median_by(runs, Run::per_second).context("at least one run")
}

/// Figures of 1.0.0, and the first milestone and the goal if there are any.
struct References {
    machine: [&'static str; 3],
    service: [&'static str; 3],
    cpu: &'static str,
    postgres: &'static str,
    p50: &'static str,
    p99: &'static str,
}

const POST: References = References {
    machine: ["624/s", "6,000/s", "10,000/s"],
    service: ["606/s", "10,000/s", "16,000/s"],
    cpu: "1.65 s",
    postgres: "0.32 s",
    p50: "101 ms",
    p99: "144 ms",
};

const GET: References = References {
    machine: ["1,443/s", "10,000/s", "15,000/s"],
    service: ["1,390/s", "15,000/s", "25,000/s"],
    cpu: "0.72 s",
    postgres: "0.25 s",
    p50: "43 ms",
    p99: "71 ms",
};

fn row(id: &'static str, title: &str, run: Run, references: References) -> Row {
    let (cpu, postgres) = run.cpu_per_thousand();
    let latency = run.outcome.latency_ms;
    let per_cpu_second = if cpu > 0.0 { 1e3 / cpu } else { 0.0 };
    let figure = |key, label, value, unit, [baseline, milestone, goal]: [&'static str; 3]| {
        Figure::new(key, label, value, unit).compared_with(baseline, milestone, goal)
    };
    let References { machine, service, cpu: cpu_before, postgres: postgres_before, p50, p99 } =
        references;
    Row::new(id, title)
        .figure(figure("perSecond", "on the machine", run.per_second(), "/s", machine))
        .figure(figure(
            "perCpuSecond",
            "per CPU second of the service",
            per_cpu_second,
            "/s",
            service,
        ))
        .figure(figure("p50Ms", "p50", latency.p50, "ms", [p50, "", ""]))
        .figure(figure("p99Ms", "p99", latency.p99, "ms", [p99, "", ""]))
        .figure(figure(
            "cpuPer1000",
            "CPU of the service per 1,000",
            cpu,
            "s",
            [cpu_before, "", ""],
        ))
        .figure(figure(
            "postgresPer1000",
            "CPU of PostgreSQL per 1,000",
            postgres,
            "s",
            [postgres_before, "", ""],
        ))
        .cpu(run.outcome.requests, run.usage)
}
