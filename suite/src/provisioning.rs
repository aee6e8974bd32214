//! `suite provision`: the one-shot that sets up a local AWS before the services start.

use anyhow::Context as _;
use shared::config::{self, ProcessEnv};

use crate::options::Provision;

/// Makes what is asked for and prints the services' variables.
///
/// # Errors
/// When the environment names no emulator, or it refuses a step.
pub async fn provision(what: &Provision) -> anyhow::Result<()> {
    let aws = config::read(&ProcessEnv, config::aws_settings)?;
    let plan =
        ::provision::Plan { prefix: what.prefix.clone(), source_email: what.source_email.clone() };
    let variables =
        ::provision::provision(&aws, &plan).await.context("could not set up the local AWS")?;
    for (name, value) in variables {
        println!("{name}={value}");
    }
    Ok(())
}
