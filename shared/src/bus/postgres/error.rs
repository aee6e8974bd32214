//! Which class an error of the database has.

use crate::bus::Error;

/// The codes that `bus.publish` raises (sql/bus.sql).
const NO_TOPIC: &str = "BUS01";

/// Classifies by SQLSTATE (PostgreSQL's appendix A): what is missing, forbidden or malformed is
/// misconfigured; all else, a topic that nobody subscribed to yet among it, may pass.
pub(super) fn of(action: &'static str, source: sqlx::Error) -> Error {
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

/// Whether the database refused the data of a statement, so that one entry of a batch may be to
/// blame: class 22 (data exception) and 54 (program limit exceeded, as by nesting).
pub(super) fn blames_data(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    error.code().is_some_and(|code| code.starts_with("22") || code.starts_with("54"))
}

/// Returns whether the database could not read a row, so that one row of a statement may be to
/// blame: class 22 (data exception), 54 (program limit exceeded, as by a number of many digits),
/// out of memory, and XX (corrupted data).
pub(super) fn blames_row(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(database) = error else { return false };
    blames_data(error)
        || database.code().is_some_and(|code| code == "53200" || code.starts_with("XX"))
}

/// The SQLSTATE of an error, for reasons that are kept: messages of the database may quote values.
pub(super) fn code(error: &sqlx::Error) -> String {
    let code = match error {
        sqlx::Error::Database(error) => error.code(),
        _ => None,
    };
    format!("SQLSTATE {}", code.as_deref().unwrap_or("unknown"))
}

fn is_misconfiguration(code: &str) -> bool {
    code == NO_TOPIC
        // Invalid authorization, catalog name or schema name; syntax error or access rule violation
        // (as: no such table).
        || ["28", "3D", "3F", "42"].iter().any(|class| code.starts_with(class))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_misconfigured_and_what_passes_is_not() {
        for code in ["BUS01", "42P01", "42501", "3F000", "28P01", "3D000"] {
            assert!(is_misconfiguration(code), "{code}");
        }
        for code in ["BUS02", "57P03", "53300", "40001", "40P01", "08006", "57014"] {
            assert!(!is_misconfiguration(code), "{code}");
        }
    }
}
