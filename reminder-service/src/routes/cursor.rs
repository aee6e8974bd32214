//! Cursors of lists: the encoded place of the last entry of a page. Reminders that are created or
//! deleted meanwhile do not move it.

use std::{fmt, str::FromStr};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use contract::bounds::is_date;
use service::http::ApiError;
use uuid::Uuid;

use crate::domain::reminder::{NO_DELIVERY, NextAt, Position};

/// Cursor after a reminder.
pub(super) fn after(id: Uuid) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(id.as_bytes())
}

/// Decodes a cursor to the id of its reminder.
///
/// # Errors
/// If the text is not a cursor of this list.
pub(super) fn read(text: &str) -> Result<Uuid, ApiError> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
    let id = bytes.and_then(|bytes| Uuid::from_slice(&bytes).ok());
    id.ok_or_else(foreign)
}

/// Cursor of a list by time: the time, the reminder and a flag of the last entry of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeCursor {
    at: DateTime<Utc>,
    reminder_id: Uuid,
    flag: bool,
}

impl fmt::Display for TimeCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.at.timestamp_millis().to_be_bytes().to_vec();
        bytes.extend(self.reminder_id.as_bytes());
        bytes.push(self.flag.into());
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for TimeCursor {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<Self, ApiError> {
        let read = || {
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
            let (at, rest) = bytes.split_first_chunk::<8>()?;
            let (id, flag) = rest.split_first_chunk::<16>()?;
            let at = DateTime::from_timestamp_millis(i64::from_be_bytes(*at))?;
            let flag = match flag {
                [0] => false,
                [1] => true,
                _ => return None,
            };
            let is_place = is_date(at) || at == NO_DELIVERY;
            is_place.then_some(Self { at, reminder_id: Uuid::from_bytes(*id), flag })
        };
        read().ok_or_else(foreign)
    }
}

impl From<Position> for TimeCursor {
    fn from(Position { at, reminder_id, is_snoozed: flag }: Position) -> Self {
        Self { at, reminder_id, flag }
    }
}

impl From<TimeCursor> for Position {
    fn from(TimeCursor { at, reminder_id, flag: is_snoozed }: TimeCursor) -> Self {
        Self { at, reminder_id, is_snoozed }
    }
}

impl From<NextAt> for TimeCursor {
    fn from(NextAt { at, reminder_id }: NextAt) -> Self {
        Self { at, reminder_id, flag: false }
    }
}

impl From<TimeCursor> for NextAt {
    fn from(TimeCursor { at, reminder_id, .. }: TimeCursor) -> Self {
        Self { at, reminder_id }
    }
}

fn foreign() -> ApiError {
    ApiError::invalid("cursor: must be a nextCursor of this list")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_time_cursor_that_it_writes() {
        let time = DateTime::from_timestamp_millis(4_000_000_000_123).expect("a time");
        for (at, flag) in [(time, false), (time, true), (NO_DELIVERY, false)] {
            let cursor = TimeCursor { at, reminder_id: Uuid::from_u128(7), flag };
            assert_eq!(cursor.to_string().parse().ok(), Some(cursor));
        }
    }

    #[test]
    fn refuses_other_texts_as_time_cursors() {
        let far = [i64::MAX.to_be_bytes().to_vec(), vec![0; 17]].concat();
        let flag = [0_i64.to_be_bytes().to_vec(), vec![2; 17]].concat();
        let [far, flag] = [far, flag].map(|bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes));
        for text in ["", "x", "AAAA", &far, &flag] {
            assert!(text.parse::<TimeCursor>().is_err(), "{text}");
        }
    }
}
