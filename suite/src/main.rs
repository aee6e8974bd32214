//! `suite`: the whole suite in one process without configuration, and the set-up of a local AWS.

use std::process::ExitCode;

use clap::Parser;
use suite::{Cli, Command};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        Some(Command::Provision(options)) => suite::provision(options).await,
        None => suite::run(cli.options).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nsuite: {error:#}");
            ExitCode::FAILURE
        }
    }
}
