//! `make storm`: injects random faults into the real binaries, and judges the deliveries.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::{process::ExitCode, time::Duration};

use clap::{Parser, ValueEnum};
use system::{
    Bus,
    storm::{self, Settings},
};

/// Kills, pauses and disconnects the services at random while reminders are created; then judges
/// the messages that arrived.
///
/// Exit status 0 if nothing was lost, unexpected, early, stuck or sent twice without a fault that
/// explains it. Everything runs on this machine: a throw-away PostgreSQL, a local AWS and sandbox
/// providers.
#[derive(Debug, Parser)]
#[command(name = "storm")]
struct Options {
    /// Bus of the services; both: one after the other
    #[arg(long, value_enum, default_value = "both")]
    bus: BusOption,
    /// Duration of the faults on each bus, in seconds
    #[arg(long, default_value_t = 240, value_parser = clap::value_parser!(u64).range(5..=3_600))]
    seconds: u64,
    /// Seed of the faults, which is printed, so that a storm can be repeated [default: random]
    #[arg(long)]
    seed: Option<u64>,
    /// Number of processes of each service
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=4))]
    replicas: u8,
    /// Number of reminders created per second
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=200))]
    per_second: u32,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum BusOption {
    Aws,
    Postgres,
    Both,
}

impl BusOption {
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
    let mut has_passed = true;
    for bus in options.bus.all() {
        let settings = Settings {
            bus: *bus,
            seed,
            length: Duration::from_secs(options.seconds),
            replicas: options.replicas.into(),
            per_second: options.per_second,
            settle_limit: Duration::from_secs(180),
        };
        eprintln!("{bus:?} bus, seed {seed}: starting {} processes per service", options.replicas);
        let report = storm::run(settings, |progress| eprint!("\r\x1b[K{progress}")).await;
        eprintln!();
        println!("{bus:?} bus, {report}");
        has_passed &= report.findings.is_empty();
    }
    if has_passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
