//! Use cases of the event queue and of the background tasks.

pub(crate) mod apply_events;
pub mod erase_user;
pub(crate) mod record_erasures;
mod record_outcomes;
