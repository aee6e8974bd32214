//! Stores devices and preferences, and sends push messages and e-mails.
//!
//! The REST API ([`routes`]) manages devices and preferences. The consumer of the notification
//! queue ([`consumer`]) calls the use cases ([`usecases`]): they write a row to the ledger of
//! deliveries for each device and mailbox, and revise or erase what is in it. The dispatchers
//! ([`dispatch`]) send the deliveries, each channel separately, and write each result together with
//! the event that reports it.
//!
//! # Effects of a cancelled or changed reminder
//!
//! An occurrence that event-service has not released yet is never sent once its cancellation is
//! applied there. After an occurrence was released (milliseconds around the due time), the
//! notification queue brings the cancellation or change later, and
//! [`usecases::revise_pending_deliveries`] applies it to the ledger. From that commit on:
//!
//! - A delivery that waits in the ledger is not sent any more (suppressed, with the reason of the
//!   change: `DELETED`, `EDITED`, `ACKNOWLEDGED` or `SNOOZED`), or is sent with the newest content,
//!   on the channels that both versions have. Channels that a change adds are not added to an
//!   occurrence that was released without them. An older or equal version changes nothing.
//! - A delivery that a process holds in memory is recalled. If its attempt has not begun when the
//!   process learns of the recall (at once in the process that applied the revision, within a
//!   second in the others), it is released unsent. An attempt that has begun ends as it ends: its
//!   result is written and published as it is, and no other attempt follows.
//!
//! A channel that its user switches off cancels the deliveries on it, with the reason `OPTED_OUT`.
//! An erasure deletes them. Quiet hours are applied when an occurrence arrives, and again when the
//! user changes them: a retry that falls into quiet hours is made.

pub mod app;
pub mod channels;
pub mod clock;
pub mod config;
pub mod consumer;
pub mod dispatch;
pub mod domain;
pub mod render;
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

/// The service as the command line runs it.
#[derive(Debug)]
pub struct NotificationService;

impl cli::Service for NotificationService {
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
        vec![render::Arguments::command()]
    }

    async fn run_own(_: &str, arguments: &ArgMatches, env: &dyn Env) -> anyhow::Result<()> {
        render::run(&render::Arguments::from_arg_matches(arguments)?, env)
    }

    async fn serve(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
        let telemetry = config.process.telemetry.clone();
        let app = App::build(config).await?;
        telemetry.announce(Self::NAME, Some(app.rest_addr()), app.admin_addr());
        app.run(shutdown).await
    }
}
