//! The order of things: build, measure row by row, tell, tidy up.

use std::{fs::File, io::Write as _, path::Path};

use anyhow::{Context as _, bail, ensure};
use chrono::Utc;

use crate::{
    house::House,
    machine::Machine,
    options::{Options, RowId},
    report::{Figure, Row},
    rows, table,
};

/// Measures what the options ask for.
///
/// # Errors
/// When something cannot be started, a row fails (the others are told all the same), or `--check`
/// finds a figure wanting.
pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let logs = options.json.with_file_name("bench-logs");
    let house = House::build(&logs, options.statements).await?;
    eprintln!("{}", table::machine(&house.machine));
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    let measured = tokio::select! {
        () = measure(options, &house, &mut rows, &mut failures) => true,
        _ = tokio::signal::ctrl_c() => false,
    };
    let machine = house.machine.clone();
    house.leave().await?;
    tell(options, &machine, &rows)?;
    ensure!(measured, "interrupted");
    if !failures.is_empty() {
        bail!(
            "some rows failed; the services' logs are in {}\n{}",
            logs.display(),
            failures.join("\n")
        );
    }
    ensure!(
        !options.check || rows.iter().flat_map(|row| &row.figures).all(Figure::is_met),
        "a figure is not as due"
    );
    Ok(())
}

async fn measure(
    options: &Options,
    house: &House,
    rows: &mut Vec<Row>,
    failures: &mut Vec<String>,
) {
    let mut note = |name: &str, result: anyhow::Result<()>| {
        if let Err(error) = result {
            failures.push(format!("{name}: {error:#}"));
        }
    };
    if options.wants(RowId::Generator) {
        note("generator", rows::generator::measure(options, house, rows).await);
    }
    if [RowId::Burst, RowId::Latency, RowId::Lateness, RowId::Memory]
        .into_iter()
        .any(|row| options.wants(row))
    {
        note(
            "burst, latency, lateness, memory",
            rows::pipeline::measure(options, house, rows).await,
        );
    }
    if options.wants(RowId::Events) {
        note("events", rows::events::measure(options, house, rows).await);
    }
    if options.wants(RowId::Api) {
        note("api", rows::api::measure(options, house, rows).await);
    }
    if options.wants(RowId::Start) {
        note("start", rows::start::measure(options, house, rows).await);
    }
}

fn tell(options: &Options, machine: &Machine, rows: &[Row]) -> anyhow::Result<()> {
    println!("{}\n\n{}", table::machine(machine), table::figures(rows));
    println!("CPU time in µs for each item\n{}", table::cpu(rows));
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
