//! Background tasks.

pub(crate) mod purge;
