//! Consumes events; owns the notifications database and the event catalogue.
//!
//! A batch of messages becomes one transaction: new events are added to the catalogue, each
//! notification is stored in its newest version with its occurrences, outcomes are counted, and
//! messages are written to the outbox. `notification-scheduler` claims due occurrences from the
//! same database.

pub mod app;
pub mod config;
pub mod consumer;
pub mod domain;
mod routes;
pub mod store;
mod tasks;
mod telemetry;
pub mod usecases;

pub use app::{App, EventService, migrate};
pub use config::Config;
pub use routes::openapi;
