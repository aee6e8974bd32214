//! Cold start: time from exec to the first 200 of `/readyz`, for each service alone on a migrated
//! database.

use anyhow::Context as _;
use support::Service;

use crate::{
    options::Options,
    progress::Progress,
    readiness::wait_until_ready,
    report::{Figure, Row, ms},
    stats::median_by,
    test_suite::{END_LIMIT, TestSuite},
    testbed::Testbed,
};

/// Starts of each service, of which the median is reported.
const STARTS: usize = 5;

pub(crate) async fn measure(
    options: &Options,
    testbed: &Testbed,
    rows: &mut Vec<Row>,
) -> anyhow::Result<()> {
    let suite = TestSuite::create(testbed, "start").await?;
    let starts = if options.quick { 1 } else { STARTS };
    let progress = Progress::counting("start: starting and stopping", Service::ALL.len() * starts);
    let mut row =
        Row::new("start", "cold start, exec to ready").note(format!("median of {starts} starts"));
    let mut slowest: f64 = 0.0;
    for service in Service::ALL {
        let mut times = Vec::new();
        for _ in 0..starts {
            let running = suite.spawn(service)?;
            let (_, time) = wait_until_ready(&running).await?;
            running.terminate_within(END_LIMIT).await?;
            times.push(ms(time));
            progress.add(1);
        }
        let time = median_by(times, |time| *time).context("at least one start")?;
        slowest = slowest.max(time);
        row = row.figure(Figure::new(key(service), service.binary(), time, "ms"));
    }
    let slowest = Figure::new("slowestMs", "slowest of them", slowest, "ms").compared_with(
        "620–800 ms",
        "300 ms",
        "150 ms",
    );
    rows.push(row.figure(slowest));
    Ok(())
}

fn key(service: Service) -> &'static str {
    match service {
        Service::Reminders => "reminderMs",
        Service::Events => "eventMs",
        Service::Scheduler => "schedulerMs",
        Service::Notifications => "notificationMs",
    }
}
