//! Blame for the failure of a statement that applies several items, by its SQLSTATE.

/// The cause of the failure of a statement that applies several items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The data of an item: the same statement fails again.
    Data,
    /// An item, or the state of the database: alone it will be seen which.
    Suspect,
    /// Another transaction that was in the way; the same statement may succeed at once.
    Conflict,
    /// The database: it is away, full or overloaded, or its schema or rights are not what this
    /// binary expects. No item is to blame.
    Outage,
}

/// Returns the cause of an error, by its SQLSTATE (PostgreSQL's appendix A).
#[must_use]
pub fn blame(error: &sqlx::Error) -> Blame {
    match error {
        sqlx::Error::Encode(_) => Blame::Data,
        // A check without a name is that of a partition: the row was on its way into one that
        // another transaction has split meanwhile, and finds its place when it is written again.
        sqlx::Error::Database(error)
            if error.code().as_deref() == Some("23514") && error.constraint().is_none() =>
        {
            Blame::Conflict
        }
        sqlx::Error::Database(error) => error.code().map_or(Blame::Suspect, |code| blame_of(&code)),
        // A row that this binary cannot read, as a newer one may have written it.
        sqlx::Error::Decode(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::InvalidArgument(_)
        | sqlx::Error::RowNotFound => Blame::Suspect,
        _ => Blame::Outage,
    }
}

fn blame_of(code: &str) -> Blame {
    match code {
        // A timeout of a statement, of an idle or of a whole transaction; memory; settings that a
        // statement exceeds.
        "57014" | "25P03" | "25P04" | "53200" | "53400" => Blame::Suspect,
        "55P03" => Blame::Conflict,
        // The database accepts no connections for a while.
        "55000" => Blame::Outage,
        _ => match code.get(..2).unwrap_or_default() {
            // Cardinality (two items of a batch meet in one row), data, constraints, limits of the
            // program.
            "21" | "22" | "23" | "54" => Blame::Data,
            "40" => Blame::Conflict,
            // Connections, features and prepared statements that a migration changed, transaction
            // states (as on a standby), authorization, names, syntax and rights, resources,
            // operator intervention, system errors.
            "08" | "0A" | "25" | "26" | "28" | "3D" | "3F" | "42" | "53" | "57" | "58" => {
                Blame::Outage
            }
            _ => Blame::Suspect,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blames_database_for_outages() {
        for code in [
            "08006", "08001", "57P01", "57P02", "57P03", "28P01", "3D000", "53300", "53100",
            "42P01", "42501", "25006", "55000",
        ] {
            assert_eq!(blame_of(code), Blame::Outage, "{code}");
        }
        assert_eq!(blame(&sqlx::Error::PoolTimedOut), Blame::Outage);
        assert_eq!(
            blame(&std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into()),
            Blame::Outage
        );
    }

    #[test]
    fn blames_data_when_values_are_refused() {
        for code in ["22021", "22P05", "23514", "21000", "54000", "54001"] {
            assert_eq!(blame_of(code), Blame::Data, "{code}");
        }
        assert_eq!(blame(&sqlx::Error::Encode("no JSON".into())), Blame::Data);
    }

    #[test]
    fn suspects_item_when_its_statement_ends_otherwise() {
        for code in ["57014", "25P03", "25P04", "53200", "P0001", "XX000", "XX001", "38000", ""] {
            assert_eq!(blame_of(code), Blame::Suspect, "{code}");
        }
        for code in ["40001", "40P01", "55P03"] {
            assert_eq!(blame_of(code), Blame::Conflict, "{code}");
        }
    }
}
