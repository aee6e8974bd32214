//! What two or more services use today, and no business rule: the wire contract, the bus, configuration,
//! database access, HTTP conventions, the outbox, the consumer loop, telemetry and shutdown.

pub mod bus;
pub mod cli;
pub mod config;
pub mod consumer;
pub mod contract;
pub mod db;
pub mod http;
pub mod outbox;
pub mod shutdown;
pub mod startup;
pub mod telemetry;
