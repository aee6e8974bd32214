//! Classification of errors of the database.

use db::ErrorClass;

use crate::Error;

/// Code that `bus.publish` raises for a topic that does not exist (bus.sql).
const NO_TOPIC: &str = "BUS01";

/// Classifies an error by its SQLSTATE (appendix A of PostgreSQL). Something missing, forbidden or
/// malformed is a misconfiguration; any other error, such as a topic without a subscription, may be
/// temporary.
pub(super) fn classify(action: &'static str, source: sqlx::Error) -> Error {
    let misconfigured = match &source {
        sqlx::Error::Database(error) => error.code().is_some_and(|code| is_misconfiguration(&code)),
        sqlx::Error::Configuration(_) | sqlx::Error::InvalidArgument(_) => true,
        _ => false,
    };
    let source = source.into();
    if misconfigured {
        Error::Misconfigured { action, source }
    } else {
        Error::Unavailable { action, source }
    }
}

/// Returns whether the database refused the data of a statement, possibly of a single entry: class
/// 22 (data exception) and 54 (program limit exceeded, as by nesting).
pub(super) fn is_data_refused(error: &sqlx::Error) -> bool {
    class(error) == Some(ErrorClass::Value)
}

/// Returns whether the database could not read a row, possibly a single one: class 22 (data
/// exception), 54 (program limit exceeded, as by a number with many digits), out of memory, and XX
/// (corrupted data).
pub(super) fn is_row_unreadable(error: &sqlx::Error) -> bool {
    use ErrorClass::{Corrupted, OutOfMemory, Value};
    matches!(class(error), Some(Value | OutOfMemory | Corrupted))
}

/// SQLSTATE of an error, for stored reasons, as messages of the database may quote values.
pub(super) fn code(error: &sqlx::Error) -> String {
    let code = match error {
        sqlx::Error::Database(error) => error.code(),
        _ => None,
    };
    format!("SQLSTATE {}", code.as_deref().unwrap_or("unknown"))
}

fn is_misconfiguration(code: &str) -> bool {
    code == NO_TOPIC
        || matches!(
            ErrorClass::of_code(code),
            ErrorClass::AccessDenied | ErrorClass::SchemaMismatch
        )
}

/// Class of an error that the database reported.
fn class(error: &sqlx::Error) -> Option<ErrorClass> {
    error.as_database_error()?.code().map(|code| ErrorClass::of_code(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classifies_missing_object_as_misconfigured() {
        for code in ["BUS01", "42P01", "42501", "3F000", "28P01", "3D000"] {
            assert!(is_misconfiguration(code), "{code}");
        }
        for code in ["BUS02", "57P03", "53300", "40001", "40P01", "08006", "57014"] {
            assert!(!is_misconfiguration(code), "{code}");
        }
    }
}
