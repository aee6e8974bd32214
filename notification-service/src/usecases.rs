//! Use cases of the notification queue and of the API. Each combines a transaction, domain rules,
//! the store and the outbox.

pub mod accept_occurrences;
pub mod apply_ses_bounces;
pub mod change_preferences;
pub mod change_read_marks;
pub mod erase_users;
pub mod register_device;
pub mod remove_device;
pub mod republish_outcomes;
pub mod revise_pending_deliveries;

use db::FailureClass;
use service::{
    consumer::isolation::Failure,
    idempotency::{self, Replay},
};

/// Answer of a use case that runs once for each idempotency key.
#[derive(Debug)]
pub enum Answer<A> {
    /// Answer of the first request.
    First(A),
    /// Stored answer to a repeated request.
    Repeat(Replay),
}

/// Error of a use case: nothing was committed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A statement failed.
    #[error("change the ledger of deliveries")]
    Sql(#[from] sqlx::Error),
    /// An event could not be serialized.
    #[error("write an event as JSON")]
    Json(#[from] serde_json::Error),
    /// The bus can never accept an event.
    #[error("check that an event can be published")]
    Unpublishable(#[from] bus::Unpublishable),
    /// The idempotency key cannot be used.
    #[error("use an idempotency key")]
    Idempotency(#[from] idempotency::Error),
    /// The user has no such occurrence.
    #[error("the user has no such occurrence")]
    NoOccurrence,
}

impl Failure for Error {
    fn class(&self) -> FailureClass {
        match self {
            Self::Json(_) | Self::Unpublishable(_) | Self::NoOccurrence => FailureClass::Data,
            Self::Idempotency(idempotency::Error::Sql(error)) | Self::Sql(error) => {
                db::failure_class(error)
            }
            Self::Idempotency(_) => FailureClass::Data,
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Sql(sqlx::Error::Database(error)) => {
                format!("it cannot be stored: SQLSTATE {}", error.code().unwrap_or_default())
            }
            _ => "it cannot be stored".to_owned(),
        }
    }
}
