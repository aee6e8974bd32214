//! Classification of failed statements that apply several items, by SQLSTATE.

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

/// Returns the class of an error, by its SQLSTATE (appendix A of PostgreSQL).
#[must_use]
pub fn failure_class(error: &sqlx::Error) -> FailureClass {
    match error {
        sqlx::Error::Encode(_) => FailureClass::Data,
        // A check without a name is that of a partition: another transaction has split the
        // partition meanwhile, and a retry writes the row into the new one.
        sqlx::Error::Database(error)
            if error.code().as_deref() == Some("23514") && error.constraint().is_none() =>
        {
            FailureClass::Conflict
        }
        sqlx::Error::Database(error) => {
            error.code().map_or(FailureClass::Suspect, |code| class_of(&code))
        }
        // A row that this binary cannot read, which a newer one may have written.
        sqlx::Error::Decode(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::InvalidArgument(_)
        | sqlx::Error::RowNotFound => FailureClass::Suspect,
        _ => FailureClass::Outage,
    }
}

fn class_of(code: &str) -> FailureClass {
    match code {
        // Timeouts of a statement, of an idle or of a whole transaction; out of memory; limits of
        // the configuration.
        "57014" | "25P03" | "25P04" | "53200" | "53400" => FailureClass::Suspect,
        "55P03" => FailureClass::Conflict,
        // The database accepts no connections at present.
        "55000" => FailureClass::Outage,
        _ => match code.get(..2).unwrap_or_default() {
            // Cardinality (two items of a batch concern one row), data, constraints, program
            // limits.
            "21" | "22" | "23" | "54" => FailureClass::Data,
            "40" => FailureClass::Conflict,
            // Connections; features and prepared statements that a migration changed; transaction
            // states (as on a standby); authorization; names; syntax and privileges; resources;
            // operator intervention; system errors.
            "08" | "0A" | "25" | "26" | "28" | "3D" | "3F" | "42" | "53" | "57" | "58" => {
                FailureClass::Outage
            }
            _ => FailureClass::Suspect,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
