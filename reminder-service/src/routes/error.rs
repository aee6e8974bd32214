//! Mapping of the errors of use cases and of fields to HTTP.

use std::time::Duration;

use service::http::{ApiError, Reason};

use crate::{
    domain::{
        caller::UnusableEmail,
        reminder::{EditRefusal, InvalidDetails, InvalidDueDate, InvalidField, InvalidRecurrence},
    },
    peers,
    usecases::{Error, TaskError},
};

/// Time after which a user with the largest number of reminders may try again. It is long, since
/// the user must delete some first.
const RETRY_AFTER_QUOTA: Duration = Duration::from_secs(3_600);

/// Time after which a search that took too long may be repeated.
const RETRY_AFTER_SEARCH: Duration = Duration::from_secs(10);

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::MissingReminder => Self::new(Reason::MissingReminder, message),
            Error::MissingFeed => Self::new(Reason::NotFound, message),
            Error::TooManyFeeds { .. } => Self::new(Reason::Conflict, message),
            Error::OtherVersion(_) => Self::new(Reason::PreconditionFailed, message),
            Error::Contended => Self::new(Reason::UpstreamUnavailable, message),
            Error::TooCostly => Self::new(Reason::RateLimited, message).after(RETRY_AFTER_SEARCH),
            Error::QuotaExceeded { .. } => {
                Self::new(Reason::RateLimited, message).after(RETRY_AFTER_QUOTA)
            }
            Error::TooManyAddresses { retry_after } => {
                Self::new(Reason::RateLimited, message).after(retry_after)
            }
            Error::NoDeliveryAhead | Error::InvalidSnoozeEnd(_) => {
                Self::new(Reason::InvalidDueDate, message)
            }
            Error::UnusableEmail(UnusableEmail::Unverified) => {
                Self::new(Reason::PermissionDenied, message)
            }
            Error::UnusableEmail(UnusableEmail::NoAddress(error)) | Error::InvalidField(error) => {
                error.into()
            }
            Error::InvalidDueDate(error) => error.into(),
            Error::InvalidRecurrence(error) => error.into(),
            Error::NothingDelivered(_) | Error::Paused(_) => Self::new(Reason::Conflict, message),
            Error::Edit(EditRefusal::Missing(_)) => Self::new(Reason::NotFound, message),
            Error::Edit(EditRefusal::Recurrence(error)) => error.into(),
            Error::Edit(EditRefusal::DueDate(error)) => error.into(),
            Error::Edit(
                EditRefusal::NoDeliveryAhead | EditRefusal::Acknowledged | EditRefusal::NotOfRule,
            ) => Self::new(Reason::InvalidDueDate, message),
            Error::Edit(_) => Self::new(Reason::Conflict, message),
            Error::OutOfBounds(_) => Self::invalid(message),
            Error::Event(error) => error.into(),
            Error::Idempotency(error) => error.into(),
            Error::Sql(error) => error.into(),
            Error::Json(_) => Self::unexpected(error),
            Error::Task(error) => error.into(),
            Error::Peer(peers::Error::Unavailable { service, source }) => {
                Self::unavailable(service, source)
            }
            Error::Peer(peers::Error::RateLimited { retry_after }) => {
                Self::new(Reason::RateLimited, message).after(retry_after)
            }
            Error::Peer(error @ peers::Error::NoPath) => Self::unexpected(error),
        }
    }
}

impl From<InvalidField> for ApiError {
    fn from(error: InvalidField) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<InvalidDueDate> for ApiError {
    fn from(error: InvalidDueDate) -> Self {
        Self::new(Reason::InvalidDueDate, error.to_string())
    }
}

impl From<InvalidDetails> for ApiError {
    fn from(error: InvalidDetails) -> Self {
        Error::from(error).into()
    }
}

impl From<InvalidRecurrence> for ApiError {
    fn from(error: InvalidRecurrence) -> Self {
        Self::new(Reason::InvalidRecurrence, error.to_string())
    }
}

impl From<TaskError> for ApiError {
    fn from(error: TaskError) -> Self {
        Self::unexpected(error)
    }
}

/// Refusal of an id that is not one of the caller's reminders.
pub(super) fn missing() -> ApiError {
    Error::MissingReminder.into()
}

#[cfg(test)]
mod tests {
    use service::outbox::WriteError;

    use super::*;
    use crate::{
        domain::{
            caller::{Caller, Origin},
            events,
        },
        store::Unstamped,
    };

    fn refused(user_id: &str, email: String) -> WriteError {
        let caller = Caller { user_id: user_id.to_owned(), email, email_verified: true };
        let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let origin = Origin { caller, traceparent: traceparent.parse().expect("a traceparent") };
        let event = events::deleted(&origin, uuid::Uuid::nil());
        Unstamped::of(&event).expect_err("refused")
    }

    #[test]
    fn refuses_events_that_the_bus_refuses() {
        let odd = refused("u\u{ffff}", "u1@example.com".to_owned());
        let large = refused("u1", "e".repeat(300_000));
        for (error, status) in [(odd, 400), (large, 413)] {
            let error = ApiError::from(Error::from(error));
            assert_eq!(error.reason.parts().0.as_u16(), status);
        }
    }

    #[test]
    fn names_field_of_refused_snooze() {
        let error = ApiError::from(Error::from(crate::domain::reminder::InvalidSnoozeEnd));
        assert_eq!(
            (error.reason, error.details[0].field.as_str()),
            (Reason::InvalidDueDate, "until")
        );
    }
}
