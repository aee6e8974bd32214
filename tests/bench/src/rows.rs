//! The rows, one module a group that shares its set-up.

pub(crate) mod api;
pub(crate) mod events;
pub(crate) mod generator;
pub(crate) mod pipeline;
mod reminders;
mod run;
pub(crate) mod start;

use std::time::Duration;

/// How long nothing may move before a wait is given up.
const STUCK_LIMIT: Duration = Duration::from_secs(20);
