//! Code that two or more services use, without business rules: the wire contract, the bus,
//! configuration, database access, HTTP conventions, the outbox, the consumer loop, telemetry and
//! shutdown.

pub mod backoff;
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

/// Version of this build, as in the tag of its image. Image builds set it (`SUITE_VERSION`); other
/// builds use that of the workspace.
pub const VERSION: &str = match option_env!("SUITE_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};
