//! Use cases of the notification queue and of the API. Each combines a transaction, domain rules,
//! the store and the outbox.

pub mod accept_occurrences;
pub mod change_preferences;
pub mod erase_users;
pub mod remove_device;
pub mod republish_outcomes;
pub mod revise_pending_deliveries;

use db::FailureClass;
use service::consumer::isolation::Failure;

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
}

impl Failure for Error {
    fn class(&self) -> FailureClass {
        match self {
            Self::Json(_) | Self::Unpublishable(_) => FailureClass::Data,
            Self::Sql(error) => db::failure_class(error),
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
