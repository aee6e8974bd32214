//! The rows: one module for each group that shares its set-up.

pub(crate) mod api;
pub(crate) mod events;
pub(crate) mod generator;
pub(crate) mod pipeline;
mod reminders;
mod run;
pub(crate) mod start;

use std::time::Duration;

/// Time without progress after which a wait fails.
const STUCK_LIMIT: Duration = Duration::from_secs(20);
