//! `make storm`: a storm of faults on the real binaries, judged.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::{process::ExitCode, time::Duration};

use clap::{Parser, ValueEnum};
use system::{
    Bus,
    storm::{self, Settings},
};

/// Kills, pauses and cuts off the services at random while reminders are made; then judges what
/// arrived.
///
/// Ends with 0 when nothing was lost, unexpected, early, stuck or unexplained. It uses this machine
/// alone: a throw-away PostgreSQL, a local AWS and sandbox providers, all on the loopback.
#[derive(Debug, Parser)]
#[command(name = "storm")]
struct Options {
    /// The bus: both, one after the other, by default.
    #[arg(long, value_enum, default_value = "both")]
    bus: Buses,
    /// For how many seconds faults happen, on each bus.
    #[arg(long, default_value_t = 240, value_parser = clap::value_parser!(u64).range(5..=3_600))]
    seconds: u64,
    /// What decides the faults; printed, so that a storm can be made again. By default another each
    /// time.
    #[arg(long)]
    seed: Option<u64>,
    /// Processes of each service.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=4))]
    replicas: u8,
    /// Reminders made in a second.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=200))]
    per_second: u32,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Buses {
    Aws,
    Postgres,
    Both,
}

impl Buses {
    fn all(self) -> &'static [Bus] {
        match self {
            Self::Aws => &[Bus::Aws],
            Self::Postgres => &[Bus::Postgres],
            Self::Both => &[Bus::Postgres, Bus::Aws],
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let seed = options.seed.unwrap_or_else(rand::random);
    let mut is_calm = true;
    for bus in options.bus.all() {
        let settings = Settings {
            bus: *bus,
            seed,
            length: Duration::from_secs(options.seconds),
            replicas: options.replicas.into(),
            per_second: options.per_second,
            calm: Duration::from_secs(180),
        };
        eprintln!("{bus:?}, seed {seed}: starting {} processes of each service", options.replicas);
        let report = storm::run(settings, |progress| eprint!("\r\x1b[K{progress}")).await;
        eprintln!();
        println!("{bus:?}, {report}");
        is_calm &= report.findings.is_empty();
    }
    if is_calm { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
