//! Deliveries, devices, preferences and revisions: values and their rules, without a database, a
//! network or a clock.

pub mod delivery;
pub mod device;
pub mod email_address;
pub mod erasure;
pub mod events;
pub mod occurrence_outcome;
pub mod preferences;
pub mod revision;
pub mod ses_notice;
pub mod suppression;
