//! Background tasks: their timing, their metrics and their logs.

pub(crate) mod backlog_metrics;
pub(crate) mod erasures;
pub mod purge;
pub(crate) mod watchdog;
