//! Use cases of the scheduler: each combines statements, rules and messages.

pub mod claim_due_occurrences;
pub mod claim_next_batch;
mod compute_next_occurrences;
pub mod end_unpublished;
mod find_superseded;
pub mod limit_user_releases;
pub mod mark_released;
pub mod publish_commands;
pub mod quarantine_unreadable;
mod read_series;
pub mod release_due_occurrences;
pub(crate) mod sleep_while_idle;

use std::time::Duration;

use backoff::Backoff;

/// Back-off after failures of the database or the topic.
pub(crate) const BACKOFF: Backoff =
    Backoff::new(Duration::from_millis(100), Duration::from_secs(2));

/// Error of a use case.
#[derive(Debug, thiserror::Error)]
#[error("{action}")]
pub struct Error {
    /// Description of the attempted action.
    action: &'static str,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Error {
    fn of<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        action: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self { action, source: source.into() }
    }
}
