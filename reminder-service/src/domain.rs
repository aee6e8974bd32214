//! Rules of reminders: pure, without database, network or clock.

pub mod calendar;
pub mod caller;
pub mod email_addresses;
pub mod events;
pub mod feed;
mod gap_start;
pub mod precondition;
pub mod quota;
pub mod reconciliation;
pub mod reminder;
