//! reminder-service: the REST API of reminders. It owns the reminders database, and publishes every
//! change as an event, which it writes to the outbox in the transaction of the change.

pub mod app;
pub mod config;
pub mod domain;
pub mod peers;
pub mod routes;
pub mod store;
mod tasks;
mod telemetry;
pub mod usecases;

use clap::{ArgMatches, CommandFactory, FromArgMatches};
use env_config::{Env, Reader};
use service::{cli, settings::Process};
use tokio_util::sync::CancellationToken;

pub use app::{App, migrate};
pub use config::Config;

/// The service for the command line.
#[derive(Debug)]
pub struct ReminderService;

impl cli::Service for ReminderService {
    const NAME: &'static str = env!("CARGO_PKG_NAME");
    const ABOUT: &'static str = env!("CARGO_PKG_DESCRIPTION");
    type Config = Config;

    fn read(reader: &mut Reader<'_>) -> Option<Config> {
        Config::parse(reader)
    }

    fn process(config: &Config) -> &Process {
        &config.process
    }

    async fn migrate(config: &Config) -> anyhow::Result<()> {
        migrate(config).await
    }

    fn own_commands() -> Vec<clap::Command> {
        vec![app::republish::Arguments::command()]
    }

    async fn run_own(_: &str, arguments: &ArgMatches, env: &dyn Env) -> anyhow::Result<()> {
        app::republish::run(&app::republish::Arguments::from_arg_matches(arguments)?, env).await
    }

    async fn serve(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
        let telemetry = config.process.telemetry.clone();
        let app = App::build(config).await?;
        telemetry.announce(Self::NAME, Some(app.rest_addr()), app.admin_addr());
        app.run(shutdown).await
    }
}
