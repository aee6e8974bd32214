//! `make hostile`: attacks the suite as one of its users, and measures the effects on another one.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::{process::ExitCode, time::Duration};

use chrono::TimeDelta;
use clap::{Parser, ValueEnum};
use system::{
    Bus,
    hostile::{self, Attackers},
};

/// Largest lateness (p99) of the ordinary user's reminders.
const LATENESS_LIMIT: TimeDelta = TimeDelta::seconds(1);
/// Longest response time (p99) of the ordinary user's requests.
const RESPONSE_LIMIT: Duration = Duration::from_secs(2);
/// Longest response time of `/healthz`.
const HEALTH_LIMIT: Duration = Duration::from_secs(1);

/// Attacks the suite as one of its users and measures the effects on an ordinary user.
///
/// Exit status 0 if no delivery of the ordinary user is lost and 99 % are at most one second late,
/// 99 % of the user's requests succeed and are answered within two seconds, no process ends or
/// exceeds the memory limit of its manifest, and /healthz answers within one second. All processes
/// run on this machine.
#[derive(Debug, Parser)]
#[command(name = "hostile")]
struct Options {
    /// Bus of the services
    #[arg(long, value_enum, default_value = "postgres")]
    bus: BusOption,
    /// Duration in seconds
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(5..=3_600))]
    seconds: u64,
    /// Attack as several users, with further attacks
    #[arg(long)]
    several: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum BusOption {
    Aws,
    Postgres,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let bus = match options.bus {
        BusOption::Aws => Bus::Aws,
        BusOption::Postgres => Bus::Postgres,
    };
    let attackers = if options.several { Attackers::Several } else { Attackers::One };
    let length = Duration::from_secs(options.seconds);
    let report =
        hostile::run(bus, attackers, length, |progress| eprint!("\r\x1b[K{progress}")).await;
    eprintln!();
    println!("{bus:?} bus, {report}");
    let mut violations = report.violations();
    if report.lateness_at(0.99) > LATENESS_LIMIT {
        violations.push("p99 lateness of the ordinary user is above one second".to_owned());
    }
    if report.response_time_at(0.99) > RESPONSE_LIMIT {
        violations.push("p99 response time of the ordinary user is above two seconds".to_owned());
    }
    for process in &report.processes {
        if process.slowest_health.is_some_and(|slowest| slowest > HEALTH_LIMIT) {
            violations.push(format!("{}: /healthz took more than one second", process.name));
        }
    }
    for violation in &violations {
        println!("failed: {violation}");
    }
    if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
