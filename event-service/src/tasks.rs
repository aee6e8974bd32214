//! Background tasks: their timing, their metrics and their logs.

pub(crate) mod backlog_metrics;
pub mod purge;
pub(crate) mod watchdog;
