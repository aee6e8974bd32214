//! Claims due occurrences and publishes them.
//!
//! It owns no table: it claims what is due in event-service's database under leases, publishes
//! `notification:send` outside of any transaction, and marks what the topic acknowledged. Any
//! number of replicas share the work; a crash anywhere publishes the same occurrence again, with
//! the same ids.

pub mod app;
pub mod config;
pub mod domain;
pub mod store;
pub mod tasks;
mod telemetry;
pub mod usecases;

pub use app::{App, NotificationScheduler, migrate};
pub use config::Config;
