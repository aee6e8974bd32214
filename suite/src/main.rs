//! `suite`: everything in one process, nothing configured; and what sets up a local AWS.

use std::process::ExitCode;

use clap::Parser;
use suite::{Cli, Command};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        Some(Command::Provision(what)) => suite::provision(what).await,
        None => suite::run(cli.options).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nsuite: {error:#}");
            ExitCode::FAILURE
        }
    }
}
