//! Tasks that run until the shutdown.

pub mod scheduler;
