//! End of a snooze, as the user gives it.

use chrono::{DateTime, TimeDelta, Utc};

use super::{GivenTime, InvalidField, TimeZone};

/// Longest snooze: a year.
const MAX_MINUTES: i64 = 527_040;

/// End of a snooze.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnoozeEnd {
    /// After a time from now.
    After(TimeDelta),
    /// At a time.
    At(GivenTime),
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

    /// Time of the end, to the millisecond. A local time is in the zone of the reminder.
    ///
    /// # Errors
    /// If it is not in the future, or more than a year ahead.
    pub fn at(self, now: DateTime<Utc>, zone: TimeZone) -> Result<DateTime<Utc>, InvalidSnoozeEnd> {
        let end = match self {
            Self::After(delay) => now + delay,
            Self::At(given) => given.after(now, zone).ok_or(InvalidSnoozeEnd)?,
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
        let end = |minutes| {
            let until = GivenTime::Instant(now + TimeDelta::minutes(minutes));
            SnoozeEnd::At(until).at(now, TimeZone::default())
        };
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
        assert_eq!(end.at(now, TimeZone::default()), Ok(now + TimeDelta::minutes(5)));
    }
}
