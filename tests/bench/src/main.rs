//! The benchmark: the real binaries as processes of their own, on a durable PostgreSQL and a fast
//! provider, measured from outside. `docs/BENCHMARKS.md` says what each row means.

mod bench;
mod cpu;
mod house;
mod ledger;
mod load;
mod machine;
mod marker;
mod memory;
mod options;
mod process;
mod progress;
mod provider;
mod record;
mod report;
mod rows;
mod stage;
mod statements;
mod stats;
mod table;

use std::process::ExitCode;

use clap::Parser as _;

use options::{Command, Options};

/// One thread: the load generator and the provider need no more, and the cores are for what is
/// measured.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = Options::parse();
    let ended = match options.command {
        Some(Command::Provider) => provider::run().await,
        None => bench::run(&options).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
