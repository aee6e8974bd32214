//! Classes of database errors, by SQLSTATE (appendix A of PostgreSQL). Callers decide by the class
//! of an error, not by its code.

/// Class of a database error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// A value is refused: malformed, out of range or beyond a limit of the program (22, 54), or
    /// not encodable.
    Value,
    /// A constraint is violated (23), or two items of a statement concern one row (21).
    Constraint,
    /// Another transaction conflicted (40, 55P03); the same statement may succeed at once.
    Conflict,
    /// A timeout of a statement or transaction (57014, 25P03, 25P04), or a limit of the
    /// configuration (53400).
    Timeout,
    /// The statement ran out of memory (53200).
    OutOfMemory,
    /// The database is unreachable, starting, stopping, read-only or overloaded (08, 25006, 53,
    /// 55000, 57, 58).
    Unavailable,
    /// The user, the password, the database or a privilege is refused (28, 3D, 42501). A change of
    /// credentials may repair this.
    AccessDenied,
    /// The session does not match the schema or state: changed features or prepared statements (0A,
    /// 26), transaction states (25).
    StaleSession,
    /// Schema and binary do not match: names, syntax (3F, 42), or another error of the client.
    SchemaMismatch,
    /// Stored data is corrupted (XX).
    Corrupted,
    /// A row cannot be decoded by this binary, or the error has another code, such as that of a
    /// trigger.
    Other,
}

impl ErrorClass {
    /// Returns the class of an error.
    #[must_use]
    pub fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Encode(_) => Self::Value,
            // A check without a name is that of a partition: another transaction has split the
            // partition meanwhile, and a retry writes the row into the new one.
            sqlx::Error::Database(error)
                if error.code().as_deref() == Some("23514") && error.constraint().is_none() =>
            {
                Self::Conflict
            }
            sqlx::Error::Database(error) => {
                error.code().map_or(Self::Other, |code| Self::of_code(&code))
            }
            sqlx::Error::Decode(_)
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::InvalidArgument(_)
            | sqlx::Error::RowNotFound => Self::Other,
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_) => Self::Unavailable,
            _ => Self::SchemaMismatch,
        }
    }

    /// Returns the class of a SQLSTATE.
    #[must_use]
    pub fn of_code(code: &str) -> Self {
        match code {
            "57014" | "25P03" | "25P04" | "53400" => Self::Timeout,
            "53200" => Self::OutOfMemory,
            "55P03" => Self::Conflict,
            "25006" | "55000" => Self::Unavailable,
            "42501" => Self::AccessDenied,
            _ => match code.get(..2).unwrap_or_default() {
                "22" | "54" => Self::Value,
                "21" | "23" => Self::Constraint,
                "40" => Self::Conflict,
                "08" | "53" | "57" | "58" => Self::Unavailable,
                "28" | "3D" => Self::AccessDenied,
                "0A" | "25" | "26" => Self::StaleSession,
                "3F" | "42" => Self::SchemaMismatch,
                "XX" => Self::Corrupted,
                _ => Self::Other,
            },
        }
    }

    /// Returns whether the same statement may succeed later without being changed.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Conflict
                | Self::Timeout
                | Self::OutOfMemory
                | Self::Unavailable
                | Self::AccessDenied
        )
    }
}

/// Returns whether the same statement may succeed later without being changed.
#[must_use]
pub fn is_transient(error: &sqlx::Error) -> bool {
    ErrorClass::of(error).is_transient()
}

/// Returns whether a value has a character that PostgreSQL does not store: U+0000, in a text
/// (22021) or in JSON (22P05).
#[must_use]
pub fn is_unstorable_character(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    matches!(error.code().as_deref(), Some("22021" | "22P05"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classifies_errors_of_access_and_machine_as_transient() {
        for code in [
            "08006", "28P01", "28000", "3D000", "42501", "25006", "25P03", "40001", "55000",
            "55P03", "53200", "53300", "53400", "57014", "57P03", "58030",
        ] {
            assert!(ErrorClass::of_code(code).is_transient(), "{code}");
        }
        for code in
            ["22003", "23505", "42P01", "42601", "25P02", "54001", "55006", "XX000", "P0001", ""]
        {
            assert!(!ErrorClass::of_code(code).is_transient(), "{code}");
        }
    }

    #[test]
    fn classifies_errors_without_code() {
        assert_eq!(ErrorClass::of(&sqlx::Error::PoolTimedOut), ErrorClass::Unavailable);
        assert_eq!(ErrorClass::of(&sqlx::Error::RowNotFound), ErrorClass::Other);
        assert_eq!(ErrorClass::of(&sqlx::Error::Encode("no JSON".into())), ErrorClass::Value);
    }
}
