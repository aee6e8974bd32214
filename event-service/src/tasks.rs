//! Background tasks: their timing, their metrics and their logs.

pub(crate) mod backlog_metrics;
pub(crate) mod erasures;
pub(crate) mod purge;
pub(crate) mod watchdog;
