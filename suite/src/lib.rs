//! The four services in one process, with a private PostgreSQL, the postgres bus, sandbox providers
//! and a page that shows what arrives.
//!
//! The services run unmodified: each is built from an environment (in `environment.rs`) as its own
//! binary would be, speaks HTTP to the sandbox as it would to FCM and SES, and is stopped as
//! SIGTERM would stop it.

mod banner;
mod console;
mod data;
mod environment;
mod interrupt;
mod last_start;
mod lifecycle;
mod options;
mod ports;
mod provisioning;
mod services;

pub use lifecycle::run;
pub use options::{Cli, Command, Options};
pub use provisioning::provision;
