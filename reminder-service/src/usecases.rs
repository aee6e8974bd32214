//! Use cases.

pub(crate) mod compute;
