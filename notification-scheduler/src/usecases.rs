//! Use cases of the scheduler: each combines statements, rules and messages.

pub(crate) mod compute_next_occurrences;
mod end_unpublished;
pub(crate) mod publish_commands;
pub(crate) mod release_due_occurrences;
