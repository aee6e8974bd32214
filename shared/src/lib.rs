//! What two or more services use today, and no business rule: the wire contract, the bus,
//! configuration, database access, HTTP conventions, the outbox, the consumer loop, telemetry and
//! shutdown.

pub mod bus;
pub mod cli;
pub mod config;
pub mod consumer;
pub mod contract;
pub mod db;
mod healthcheck;
pub mod http;
pub mod open_files;
pub mod outbox;
pub mod shutdown;
pub mod startup;
pub mod telemetry;

/// The version of this build: what an image is tagged with. The build of an image names it
/// (`SUITE_VERSION`); elsewhere it is the workspace's.
pub const VERSION: &str = match option_env!("SUITE_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};
