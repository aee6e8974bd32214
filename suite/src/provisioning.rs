//! `suite provision`: sets up a local AWS before the services start.

use anyhow::Context as _;
use env_config::ProcessEnv;

use crate::options::Provision;

/// Creates the resources and prints the variables of the services.
///
/// # Errors
/// If the environment names no emulator, or the emulator refuses a step.
pub async fn provision(options: &Provision) -> anyhow::Result<()> {
    let aws = env_config::read(&ProcessEnv, service::settings::aws_settings)?;
    let plan = ::provision::Plan {
        prefix: options.prefix.clone(),
        source_email: options.source_email.clone(),
    };
    let variables =
        ::provision::provision(&aws, &plan).await.context("could not set up the local AWS")?;
    for (name, value) in variables {
        println!("{name}={value}");
    }
    Ok(())
}
