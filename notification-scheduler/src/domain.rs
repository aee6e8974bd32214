//! Rules of the scheduler, without input and output.

pub mod claim;
pub mod claim_interval;
pub mod events;
pub mod next_occurrences;
pub mod series;
pub mod user_key;
pub mod user_rate_limits;
