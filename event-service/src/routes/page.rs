//! Length and cursor of a page.

use chrono::{DateTime, Utc};
use rest::Faults;
use service::http::{ApiError, FieldFault};
use uuid::Uuid;

use crate::store::catalogue::Cursor;

const DEFAULT_LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 500;

/// Checks the length of a page.
pub(super) fn limit(asked: Option<i64>) -> Result<i64, ApiError> {
    let limit = asked.unwrap_or(DEFAULT_LIMIT);
    if (1..=MAX_LIMIT).contains(&limit) {
        Ok(limit)
    } else {
        Err(ApiError::invalid(format!("limit: must be between 1 and {MAX_LIMIT}")))
    }
}

/// Checks the length and the cursor of a page; `faults` are those of parameters that could not be
/// parsed.
///
/// # Errors
/// The faults of all parameters.
pub(super) fn checked(
    limit: Option<i64>,
    cursor: Option<&str>,
    faults: Vec<FieldFault>,
) -> Result<(i64, Option<Cursor>), ApiError> {
    let mut faults = Faults::begin(faults);
    let limit = faults.take(self::limit(limit));
    let cursor = faults.take(cursor.map(read).transpose());
    faults.or(limit.zip(cursor))
}

/// Encodes a cursor: the time of the last event in microseconds, and its id.
pub(super) fn write(cursor: Cursor) -> String {
    format!("{}-{}", cursor.occurred_at.timestamp_micros(), cursor.event_id.simple())
}

/// Decodes a cursor.
pub(super) fn read(text: &str) -> Result<Cursor, ApiError> {
    let parsed = text.rsplit_once('-').and_then(|(micros, id)| {
        let occurred_at = DateTime::<Utc>::from_timestamp_micros(micros.parse().ok()?)?;
        Some(Cursor { occurred_at, event_id: Uuid::try_parse(id).ok()? })
    });
    parsed.ok_or_else(|| ApiError::invalid("cursor: must be a nextCursor of this list"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_cursor_as_it_was_written() {
        let before_1970 = DateTime::from_timestamp_micros(-5).expect("a time");
        for occurred_at in [before_1970, "2026-05-01T08:00:00.123Z".parse().expect("a time")] {
            let cursor = Cursor { occurred_at, event_id: Uuid::from_u128(7) };
            assert_eq!(read(&write(cursor)).expect("a cursor"), cursor);
        }
    }

    #[test]
    fn refuses_foreign_cursor() {
        for text in ["", "-", "1", "1-x", "99999999999999999999-00000000000000000000000000000000"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
