//! One run of the benchmark: start the testbed, measure row by row, report, clean up.

use std::{fs::File, io::Write as _, path::Path};

use anyhow::{Context as _, bail, ensure};
use chrono::Utc;

use crate::{
    machine::Machine,
    options::{Options, RowId},
    report::{Figure, Row},
    rows, table,
    testbed::Testbed,
};

/// Measures the rows that the options select.
///
/// # Errors
/// If something cannot be started, a row fails (the others are reported all the same), or a figure
/// misses its bound under `--check`.
pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let logs = options.json.with_file_name("bench-logs");
    let testbed = Testbed::start(&logs, options.statements).await?;
    eprintln!("{}", table::machine(&testbed.machine));
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    let measured = tokio::select! {
        () = measure(options, &testbed, &mut rows, &mut failures) => true,
        _ = tokio::signal::ctrl_c() => false,
    };
    let machine = testbed.machine.clone();
    testbed.stop().await?;
    report(options, &machine, &rows)?;
    ensure!(measured, "interrupted");
    if !failures.is_empty() {
        bail!(
            "some rows failed; the logs of the services are in {}\n{}",
            logs.display(),
            failures.join("\n")
        );
    }
    ensure!(
        !options.check || rows.iter().flat_map(|row| &row.figures).all(Figure::is_met),
        "a figure misses its bound"
    );
    Ok(())
}

async fn measure(
    options: &Options,
    testbed: &Testbed,
    rows: &mut Vec<Row>,
    failures: &mut Vec<String>,
) {
    let mut note = |name: &str, result: anyhow::Result<()>| {
        if let Err(error) = result {
            failures.push(format!("{name}: {error:#}"));
        }
    };
    if options.wants(RowId::Generator) {
        note("generator", rows::generator::measure(options, testbed, rows).await);
    }
    if [RowId::Burst, RowId::Latency, RowId::Lateness, RowId::Memory, RowId::Idle]
        .into_iter()
        .any(|row| options.wants(row))
    {
        note(
            "burst, latency, lateness, memory, idle",
            rows::pipeline::measure(options, testbed, rows).await,
        );
    }
    if options.wants(RowId::Events) {
        note("events", rows::events::measure(options, testbed, rows).await);
    }
    if options.wants(RowId::Api) {
        note("api", rows::api::measure(options, testbed, rows).await);
    }
    if options.wants(RowId::Start) {
        note("start", rows::start::measure(options, testbed, rows).await);
    }
}

fn report(options: &Options, machine: &Machine, rows: &[Row]) -> anyhow::Result<()> {
    println!("{}\n\n{}", table::machine(machine), table::figures(rows));
    println!("CPU time per item in µs\n{}", table::cpu(rows));
    write_json(&options.json, machine, rows)
        .with_context(|| format!("write {}", options.json.display()))
}

fn write_json(path: &Path, machine: &Machine, rows: &[Row]) -> anyhow::Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let mut file = File::options().create(true).append(true).open(path)?;
    let at = Utc::now();
    for row in rows {
        writeln!(file, "{}", row.json(machine, at))?;
    }
    Ok(())
}
