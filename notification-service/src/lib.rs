//! Keeps devices and sends push messages and e-mail.
//!
//! REST calls ([`routes`]) keep the registry of devices; the consumer of the notification queue ([`consumer`]) writes
//! a row into the ledger of deliveries for each device and mailbox; the lanes ([`lanes`]) send what the ledger says,
//! each channel on its own, and record what became of it together with the event that tells of it.
//!
//! # What a cancelled or changed reminder can still cause
//!
//! An occurrence that event-service has not released yet is never sent once its cancellation is applied there. From the
//! release on (milliseconds around the due time) this service sends what was released: it does not ask back, because
//! the answer could change while it is on its way. A retry of a delivery, which may come minutes later, is a repetition of
//! the same occurrence with the same collapse key.

pub mod app;
pub mod channels;
pub mod clock;
pub mod config;
pub mod consumer;
pub mod delivery;
pub mod device;
pub mod events;
mod housekeeping;
pub mod lanes;
pub mod preferences;
pub mod routes;
pub mod store;
pub mod waiting;

use shared::{
    cli,
    config::{Process, Reader},
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
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
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

    async fn serve(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
        let app = App::build(config).await?;
        println!("listening rest={} admin={}", app.rest_addr(), app.admin_addr());
        app.run(shutdown).await
    }
}
