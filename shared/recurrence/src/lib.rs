//! Recurring times: the occurrences of an RFC 5545 rule in the wall-clock time of an IANA zone, as
//! instants.
//!
//! A rule is expanded in floating local time, where no hour is missing or repeated. Each instance
//! is then placed in the zone: a local time that does not exist is shifted or skipped, and one that
//! exists twice is used once or twice, by the policies of the reminder ([`Gap`], [`Fold`]). So a
//! clock change does not move the instances after it, and `COUNT` counts those that exist.
//!
//! The crate is pure and bounded: occurrences are computed one at a time from any instant, a search
//! for the next one has a fixed number of steps, and a rule that may need more is refused when it
//! is created.

mod bits;
mod calendar;
mod clock;
mod count;
mod days;
mod expansion;
mod extra;
mod listed_date;
mod parts;
mod rule;
mod schedule;
mod search;
mod series;
mod until;
mod zone;

pub use listed_date::canonical_date;
pub use rule::{Refusal, Rule};
pub use schedule::{Deliveries, Delivery, DeliverySchedule, Merged, PAGE_STEPS};
pub use series::{Occurrences, READING_STEPS, Series};
pub use time_zone::{UnknownZone, Zone};
pub use zone::{Fold, Gap};

#[cfg(test)]
mod tests;

#[cfg(test)]
mod bounds;
