//! From exec to the first 200 of `/readyz`, each service alone, its database migrated before.

use anyhow::Context as _;

use crate::{
    house::House,
    options::Options,
    progress::Progress,
    report::{Figure, Row, ms},
    stage::{SERVICES, Stage},
    stats::median_by,
};

/// Starts of each service, of which the median is told.
const STARTS: usize = 5;

pub(crate) async fn measure(
    options: &Options,
    house: &House,
    rows: &mut Vec<Row>,
) -> anyhow::Result<()> {
    let stage = Stage::make(house, "start").await?;
    let starts = if options.quick { 1 } else { STARTS };
    let progress = Progress::counting("start: starting and ending", SERVICES.len() * starts);
    let mut row =
        Row::new("start", "cold start, exec to ready").note(format!("median of {starts} starts"));
    let mut slowest: f64 = 0.0;
    for service in SERVICES {
        let mut times = Vec::new();
        for _ in 0..starts {
            let running = stage.program(service)?.start(&stage.logs)?;
            let (_, time) = running.ready().await?;
            running.stop().await?;
            times.push(ms(time));
            progress.add(1);
        }
        let time = median_by(times, |time| *time).context("at least one start")?;
        slowest = slowest.max(time);
        row = row.figure(Figure::new(key(service), service, time, "ms"));
    }
    let slowest = Figure::new("slowestMs", "the slowest of them", slowest, "ms").beside(
        "620–800 ms",
        "300 ms",
        "150 ms",
    );
    rows.push(row.figure(slowest));
    Ok(())
}

fn key(service: &str) -> &'static str {
    match service {
        "reminder-service" => "reminderMs",
        "event-service" => "eventMs",
        "notification-scheduler" => "schedulerMs",
        _ => "notificationMs",
    }
}
