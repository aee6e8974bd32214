//! Consumes events; owns the notifications database and the event catalogue.
//!
//! A batch of messages becomes one transaction: what is new goes into the catalogue, the newest
//! version of each notification is kept, its times of delivery are kept with it, outcomes are
//! counted, and facts go into the outbox. `notification-scheduler` claims from the same database
//! what is due.

pub mod app;
pub mod config;
pub mod consumer;
pub mod domain;
mod routes;
pub mod store;
pub mod tasks;
mod telemetry;
pub mod usecases;

pub use app::{App, EventService, migrate};
pub use config::Config;
pub use routes::openapi;
