//! Recurring times: the occurrences of an RFC 5545 rule in the wall-clock time of an IANA zone, as instants.
//!
//! A rule is expanded in floating local time, where no hour is missing and none comes twice, and each instance is then
//! placed in the zone: a local time that does not exist is shifted or left out, one that exists twice is taken once or
//! twice, as the reminder says ([`Gap`], [`Fold`]). So a clock change neither loses an instance of `COUNT` nor moves the
//! ones after it.
//!
//! Everything here is pure and bounded: a rule that would take long to expand is refused when it is read.

mod database;
mod exclusion;
mod rule;
mod series;
mod subdaily;
mod timetable;
mod until;
mod zone;

pub use database::time_zone_database;
pub use exclusion::canonical_exclusion;
pub use rule::{Refusal, Rule};
pub use series::{Occurrences, Series};
pub use timetable::{Deliveries, Delivery, Merged, Timetable};
pub use zone::{Fold, Gap, UnknownZone, Zone};

#[cfg(test)]
mod tests;
