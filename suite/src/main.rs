//! `suite`: everything in one process, nothing configured.

use std::process::ExitCode;

use clap::Parser;
use suite::Options;

#[tokio::main]
async fn main() -> ExitCode {
    match suite::run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nsuite: {error:#}");
            ExitCode::FAILURE
        }
    }
}
