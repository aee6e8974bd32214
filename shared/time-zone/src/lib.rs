//! IANA time zones: the instants of wall-clock times and the wall-clock times of instants, by one
//! edition of the time zone database for the whole process.
//!
//! The database of the machine is used if it is newer than the compiled-in one. The names of both
//! are known; other files in the folder of the machine are not reachable by a name.

mod changed_times;
mod database;
mod folder;
mod local;
mod name;
mod observance;
mod preferred;
mod zone;

pub use changed_times::ChangedTimes;
pub use database::{edition, names, refresh};
pub use local::Instants;
pub use observance::{Change, NEAR, Observance};
pub use preferred::preferred;
pub use zone::{UnknownZone, Zone};

#[cfg(test)]
mod tests;
