//! Classification of failed statements that apply several items, by the class of the error.

use super::ErrorClass;

/// Class of the failure of a statement that applies several items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    /// The data of an item is refused: the same statement fails again.
    Data,
    /// Either an item or the database is the cause, which a retry of single items shows.
    Suspect,
    /// Another transaction conflicted; the same statement may succeed at once.
    Conflict,
    /// The database is unreachable, full or overloaded, or its schema or privileges differ from
    /// what this binary expects. No item is the cause.
    Outage,
}

/// Returns the class of an error.
#[must_use]
pub fn failure_class(error: &sqlx::Error) -> FailureClass {
    ErrorClass::of(error).into()
}

impl From<ErrorClass> for FailureClass {
    fn from(class: ErrorClass) -> Self {
        match class {
            ErrorClass::Value | ErrorClass::Constraint => Self::Data,
            ErrorClass::Conflict => Self::Conflict,
            ErrorClass::Timeout
            | ErrorClass::OutOfMemory
            | ErrorClass::Corrupted
            | ErrorClass::Other => Self::Suspect,
            ErrorClass::Unavailable
            | ErrorClass::AccessDenied
            | ErrorClass::StaleSession
            | ErrorClass::SchemaMismatch => Self::Outage,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class_of(code: &str) -> FailureClass {
        ErrorClass::of_code(code).into()
    }

    #[test]
    fn classifies_database_failures_as_outages() {
        for code in [
            "08006", "08001", "57P01", "57P02", "57P03", "28P01", "3D000", "53300", "53100",
            "42P01", "42501", "25006", "55000",
        ] {
            assert_eq!(class_of(code), FailureClass::Outage, "{code}");
        }
        assert_eq!(failure_class(&sqlx::Error::PoolTimedOut), FailureClass::Outage);
        assert_eq!(
            failure_class(&std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into()),
            FailureClass::Outage
        );
    }

    #[test]
    fn classifies_refused_values_as_data() {
        for code in ["22021", "22P05", "23514", "21000", "54000", "54001"] {
            assert_eq!(class_of(code), FailureClass::Data, "{code}");
        }
        assert_eq!(failure_class(&sqlx::Error::Encode("no JSON".into())), FailureClass::Data);
    }

    #[test]
    fn classifies_other_failures_as_suspect() {
        for code in ["57014", "25P03", "25P04", "53200", "P0001", "XX000", "XX001", "38000", ""] {
            assert_eq!(class_of(code), FailureClass::Suspect, "{code}");
        }
        for code in ["40001", "40P01", "55P03"] {
            assert_eq!(class_of(code), FailureClass::Conflict, "{code}");
        }
    }
}
