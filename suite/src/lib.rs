//! The four services in one process, with a private PostgreSQL, the postgres bus, sandbox providers
//! and a web console that shows the messages that arrive.
//!
//! The services run unmodified: each is built from an environment (`environment.rs`) as its own
//! binary is, calls the sandbox over HTTP as it would call FCM and SES, and stops as after SIGTERM.

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
