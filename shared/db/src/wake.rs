//! Sleep of those who poll a table, until somebody who writes to it wakes them.
//!
//! After [`EMPTY`] without work a sleeper *announces* in the database that it is about to sleep.
//! Writers look at the announcement in their own transaction, and only if there is one they
//! withdraw it and notify (NOTIFY takes a lock of the whole server at the commit, so it is no part
//! of busy traffic). A writer that began before it could see the announcement does not notify;
//! therefore the sleeper goes on polling for some time, its *caution*, and only then sleeps, never
//! longer than [`LONGEST_SLEEP`]. While no notification can arrive, it does not sleep.

mod idle;
mod listener;

pub use idle::{ANNOUNCEMENT, EMPTY, Idle, LONGEST_SLEEP, Step};
pub use listener::Listener;
