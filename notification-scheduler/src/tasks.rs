//! Tasks that run until the shutdown.

pub mod relay_commands;
pub mod scheduler;
