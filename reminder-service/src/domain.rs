//! Rules of reminders, without input and output.

pub mod calendar;
pub mod email_addresses;
pub mod events;
pub mod quota;
pub mod reminder;
