//! Use cases of the event queue, of the API and of the background tasks. Each combines a
//! transaction, domain rules, the store and the outbox.

pub mod apply_events;
mod change_notifications;
pub mod create_partitions;
pub mod erase_user;
pub mod purge_old_rows;
pub mod read_timeline;
pub mod reconcile_occurrences;
mod record_erasures;
mod record_outcomes;
pub mod redrive_dead_letters;

use db::FailureClass;
use service::consumer::isolation::Failure;

/// Error of a use case: its transaction is rolled back; those that it committed before stay.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A statement failed.
    #[error("change the notifications database")]
    Sql(#[from] sqlx::Error),
    /// An event could not be serialized.
    #[error("write an event as JSON")]
    Json(#[from] serde_json::Error),
    /// Another transaction created a notification that this one was about to create.
    #[error("another transaction created one of the notifications")]
    CreatedMeanwhile,
    /// The bus failed.
    #[error("change the dead letters of a queue")]
    Bus(#[from] bus::Error),
}

impl Failure for Error {
    fn class(&self) -> FailureClass {
        match self {
            Self::Json(_) => FailureClass::Data,
            Self::Sql(error) => db::failure_class(error),
            Self::CreatedMeanwhile => FailureClass::Conflict,
            Self::Bus(_) => FailureClass::Outage,
        }
    }

    fn detail(&self) -> String {
        // The message of the database may quote values; the SQLSTATE does not.
        let code = match self {
            Self::Sql(sqlx::Error::Database(error)) => error.code(),
            _ => None,
        };
        format!("the event cannot be applied (SQLSTATE {})", code.as_deref().unwrap_or("none"))
    }
}
