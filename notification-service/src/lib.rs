//! Keeps devices and sends push messages and e-mail.
//!
//! REST calls ([`routes`]) keep the registry of devices and what users prefer; the consumer of the
//! notification queue ([`consumer`]) writes a row into the ledger of deliveries for each device and
//! mailbox; the lanes ([`dispatch`]) send what the ledger says, each channel on its own, and record
//! what became of it together with the event that tells of it.
//!
//! # What a cancelled or changed reminder can still cause
//!
//! An occurrence that event-service has not released yet is never sent once its cancellation is
//! applied there. Of one that was released (milliseconds around the due time) the notification
//! queue brings the cancellation or the change after it, and from the commit on that applies it to
//! the ledger this holds:
//!
//! - What waits in the ledger (deferred, between two attempts, or not claimed yet) is not sent any
//!   more, and says so: suppressed, `CANCELLED`; or it says what the newest version says, on the
//!   channels that this has. An occurrence that comes only after its revision is written as that
//!   says. An older version, or the same, changes nothing. Channels that a change adds are not
//!   added to an occurrence that was released without them.
//! - What a process holds under a lease may still be sent as it was claimed: the attempt under way,
//!   or the one that stands in the lane's memory, which begins within 15 seconds of the claim or
//!   not at all (the rest of the 35 seconds of a lease is kept for the attempt itself). The lane
//!   does not ask the database again before it sends. What that one attempt comes to is recorded
//!   and told as it is: accepted is sent. No other attempt follows it.
//!
//! A channel that its user switches off is like a cancellation of what is on it, with the reason
//! `OPTED_OUT`; a user's erasure is one of which nothing at all is recorded. Quiet hours are asked
//! once, when the occurrence comes here, and again when the user changes them: a retry that falls
//! into them is made.

pub mod app;
pub mod channels;
pub mod clock;
pub mod config;
pub mod consumer;
pub mod delivery;
pub mod device;
pub mod dispatch;
pub mod erasure;
pub mod events;
pub mod feedback;

pub mod preferences;
mod purge_old_rows;
pub mod render;
pub mod revision;
pub mod routes;
pub mod store;
mod telemetry;
pub mod waiting;

use clap::{ArgMatches, CommandFactory, FromArgMatches};
use shared::{
    cli,
    config::{Env, Process, Reader},
};
use tokio_util::sync::CancellationToken;

pub use app::{App, migrate};
pub use config::Config;

/// notification-service, as its command line sees it.
#[derive(Debug)]
pub struct Notifications;

impl cli::Service for Notifications {
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

    fn run_own(_: &str, arguments: &ArgMatches, env: &dyn Env) -> anyhow::Result<()> {
        render::run(&render::Arguments::from_arg_matches(arguments)?, env)
    }

    async fn serve(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
        let app = App::build(config).await?;
        println!("listening rest={} admin={}", app.rest_addr(), app.admin_addr());
        app.run(shutdown).await
    }
}
