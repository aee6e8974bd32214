//! Rules of notifications and their occurrences, without any input or output.

pub mod identity;
pub mod incoming;
pub(crate) mod notification_event;
pub mod plan;
pub(crate) mod revision_commands;
