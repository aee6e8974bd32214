//! Durations as parameters of statements.

use std::time::Duration;

use sqlx::postgres::types::PgInterval;

/// Longest interval. Adding it to the current time stays within the years of PostgreSQL and chrono.
const CENTURY: Duration = Duration::from_secs(36_525 * 24 * 60 * 60);

/// Converts a duration to an interval of PostgreSQL, of at most a century.
#[must_use]
pub fn interval(duration: Duration) -> PgInterval {
    let microseconds = i64::try_from(duration.min(CENTURY).as_micros()).unwrap_or(i64::MAX);
    PgInterval { months: 0, days: 0, microseconds }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn converts_durations_up_to_century() {
        assert_eq!(interval(Duration::from_micros(1_500)).microseconds, 1_500);
        assert_eq!(interval(Duration::MAX), interval(CENTURY));
        assert_eq!(interval(Duration::MAX).microseconds, 3_155_760_000_000_000);
    }
}
