//! Parts of every service, without business rules: command line, settings, HTTP server and admin
//! port, outbox, consumer loop, telemetry, time zones, start and shutdown.

pub mod cli;
pub mod consumer;
mod healthcheck;
pub mod http;
pub mod idempotency;
pub mod open_files;
pub mod outbox;
pub mod settings;
pub mod shutdown;
pub mod startup;
pub mod telemetry;
pub mod time_zones;

/// Version of this build, as in the tag of its image. Image builds set it (`SUITE_VERSION`); other
/// builds use that of the workspace.
pub const VERSION: &str = match option_env!("SUITE_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};
