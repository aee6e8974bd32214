//! Background tasks.

pub(crate) mod follow_zones;
pub(crate) mod purge;
