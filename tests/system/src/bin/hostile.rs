//! `make hostile`: one user who does everything at once that costs much, and what another user
//! notices of it.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::{process::ExitCode, time::Duration};

use chrono::TimeDelta;
use clap::{Parser, ValueEnum};
use system::{
    Bus,
    hostile::{self, Attackers},
};

/// The most that the other user's reminders may be late (99 of 100), and the slowest that health
/// may answer.
const LATE: TimeDelta = TimeDelta::seconds(1);
/// The slowest that the other user's requests may be answered (99 of 100).
const ANSWERED: Duration = Duration::from_secs(2);
const HEALTH: Duration = Duration::from_secs(1);

/// Attacks the suite as one of its users and measures how late another user's reminders are.
///
/// Ends with 0 when 99 of 100 of the other user's deliveries are at most a second late, none is
/// lost, 99 of 100 of the other user's requests are answered as they should be and within two
/// seconds, no process took more memory than its manifest allows or ended, and health answered
/// within a second. Everything is on the loopback.
#[derive(Debug, Parser)]
#[command(name = "hostile")]
struct Options {
    /// The bus.
    #[arg(long, value_enum, default_value = "postgres")]
    bus: Choice,
    /// For how many seconds.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(5..=3_600))]
    seconds: u64,
    /// More hostile users beside the one: they attack in other ways as well.
    #[arg(long)]
    several: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Choice {
    Aws,
    Postgres,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let bus = match options.bus {
        Choice::Aws => Bus::Aws,
        Choice::Postgres => Bus::Postgres,
    };
    let attackers = if options.several { Attackers::Several } else { Attackers::One };
    let length = Duration::from_secs(options.seconds);
    let report =
        hostile::run(bus, attackers, length, |progress| eprint!("\r\x1b[K{progress}")).await;
    eprintln!();
    println!("{bus:?}: {report}");
    let mut broken = report.broken();
    if report.lateness_at(0.99) > LATE {
        broken.push(
            "more than one delivery in a hundred of the other user was more than a second late"
                .to_owned(),
        );
    }
    if report.answered_at(0.99) > ANSWERED {
        broken.push(
            "more than one request in a hundred of the other user took more than two seconds"
                .to_owned(),
        );
    }
    for process in &report.processes {
        if process.slowest_health.is_some_and(|slowest| slowest > HEALTH) {
            broken.push(format!("{}: /healthz took more than a second", process.name));
        }
    }
    for promise in &broken {
        println!("broken: {promise}");
    }
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
