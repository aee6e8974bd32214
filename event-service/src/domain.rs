//! Rules of notifications and their occurrences. Pure: time is a parameter, and nothing is read or
//! written.

pub mod changed_notification;
pub mod erasure;
pub mod identity;
pub mod incoming;
pub mod notification_event;
pub mod occurrence_changes;
pub mod outcome_counts;
pub mod plan;
pub mod reconcile_command;
pub mod revision_commands;
