//! Background tasks: each calls functions of the store at its times.

pub(crate) mod purge_old_rows;
