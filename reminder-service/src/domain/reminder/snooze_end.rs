//! End of a snooze, as the user gives it.

use chrono::{DateTime, TimeDelta, Utc};

use super::InvalidField;

/// Longest snooze: a year.
const MAX_MINUTES: i64 = 527_040;

/// End of a snooze.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnoozeEnd {
    /// After a time from now.
    After(TimeDelta),
    /// At a time.
    At(DateTime<Utc>),
}

/// Error: the end of a snooze is not in the future, or more than a year ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("until: must be in the future, and at most a year ahead")]
pub struct InvalidSnoozeEnd;

impl SnoozeEnd {
    /// End after a number of minutes.
    ///
    /// # Errors
    /// If it is less than one minute or more than a year.
    pub fn after_minutes(minutes: i64) -> Result<Self, InvalidField> {
        if (1..=MAX_MINUTES).contains(&minutes) {
            return Ok(Self::After(TimeDelta::minutes(minutes)));
        }
        Err(InvalidField::new("minutes", format!("must be between 1 and {MAX_MINUTES}")))
    }

    /// Time of the end, to the millisecond.
    ///
    /// # Errors
    /// If it is not in the future, or more than a year ahead.
    pub fn at(self, now: DateTime<Utc>) -> Result<DateTime<Utc>, InvalidSnoozeEnd> {
        let end = match self {
            Self::After(delay) => now + delay,
            Self::At(at) => at,
        };
        if end <= now || end > now + TimeDelta::minutes(MAX_MINUTES) {
            return Err(InvalidSnoozeEnd);
        }
        Ok(DateTime::from_timestamp_millis(end.timestamp_millis()).unwrap_or(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_end_outside_of_next_year() {
        let now = DateTime::UNIX_EPOCH;
        let end = |minutes| SnoozeEnd::At(now + TimeDelta::minutes(minutes)).at(now);
        assert_eq!(end(0), Err(InvalidSnoozeEnd));
        assert_eq!(end(1), Ok(now + TimeDelta::minutes(1)));
        assert_eq!(end(MAX_MINUTES), Ok(now + TimeDelta::minutes(MAX_MINUTES)));
        assert_eq!(end(MAX_MINUTES + 1), Err(InvalidSnoozeEnd));
    }

    #[test]
    fn refuses_number_of_minutes_out_of_range() {
        for minutes in [-1, 0, MAX_MINUTES + 1] {
            assert!(SnoozeEnd::after_minutes(minutes).is_err(), "{minutes}");
        }
        let end = SnoozeEnd::after_minutes(5).expect("in range");
        let now = DateTime::UNIX_EPOCH;
        assert_eq!(end.at(now), Ok(now + TimeDelta::minutes(5)));
    }
}
