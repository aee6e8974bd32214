//! The benchmark: the real binaries as processes of their own, on a durable PostgreSQL and a fast
//! provider, measured from outside. `docs/BENCHMARKS.md` explains each row.

mod bench;
mod cpu;
mod ledger;
mod load;
mod machine;
mod marker;
mod options;
mod progress;
mod provider;
mod readiness;
mod record;
mod report;
mod rows;
mod statements;
mod stats;
mod table;
mod test_suite;
mod testbed;
mod writes;

use std::process::ExitCode;

use clap::Parser as _;

use options::{Command, Options};

/// One thread: the load generator and the provider need no more, and the services need the cores.
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
