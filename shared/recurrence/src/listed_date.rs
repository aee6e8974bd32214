//! The shortest text of an entry of `exdates` or `rdates`.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Utc};

/// A date in its shortest text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Canonical {
    Instant(NaiveDateTime),
    Local(NaiveDateTime),
    Day(NaiveDate),
}

impl Canonical {
    /// Reads a date that is written in its shortest text. A general parser takes several times as
    /// long, and a rule may list thousands of dates.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (day, time) = text.as_bytes().split_at_checked(10)?;
        let [_, _, _, _, b'-', _, _, b'-', _, _] = day else { return None };
        let year = i32::try_from(number(&day[..4])?).ok().filter(|year| is_written(*year))?;
        let day = NaiveDate::from_ymd_opt(year, number(&day[5..7])?, number(&day[8..])?)?;
        let (time, is_instant) = match time {
            [] => return Some(Self::Day(day)),
            [b'T', time @ .., b'Z'] => (time, true),
            [b'T', time @ ..] => (time, false),
            _ => return None,
        };
        let [_, _, b':', _, _, b':', _, _] = time else { return None };
        let [hour, minute, second] = [&time[..2], &time[3..5], &time[6..]].map(number);
        let at = day.and_time(NaiveTime::from_hms_opt(hour?, minute?, second?)?);
        Some(if is_instant { Self::Instant(at) } else { Self::Local(at) })
    }
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0'))
    })
}

/// The shortest text that means the same date: a local time to the second, an instant in UTC to the
/// second, or a local day. `None` when the text is none of these, or its year cannot be written
/// with four digits.
///
/// Readers of times skip any number of digits after the second: a date that is kept as it was
/// written may have any length.
#[must_use]
pub fn canonical_date(text: &str) -> Option<String> {
    if Canonical::read(text).is_some() {
        return Some(text.to_owned());
    }
    parsed(text)
}

fn parsed(text: &str) -> Option<String> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        let at: DateTime<Utc> = at.to_utc().with_nanosecond(0)?;
        return is_written(at.year()).then(|| at.format("%Y-%m-%dT%H:%M:%SZ").to_string());
    }
    let forms = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"];
    let local = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    if let Some(local) = local.and_then(|local| local.with_nanosecond(0)) {
        return is_written(local.year()).then(|| local.format("%Y-%m-%dT%H:%M:%S").to_string());
    }
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    is_written(day.year()).then(|| day.format("%Y-%m-%d").to_string())
}

fn is_written(year: i32) -> bool {
    (1..=9_999).contains(&year)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn writes_each_kind_in_its_shortest_form() {
        for (text, canonical) in [
            ("2026-05-02T10:00", "2026-05-02T10:00:00"),
            ("2026-05-02T10:00:00", "2026-05-02T10:00:00"),
            ("2026-05-02T10:00:00.000000000000000001", "2026-05-02T10:00:00"),
            ("2026-05-02T10:00:00.5Z", "2026-05-02T10:00:00Z"),
            ("2026-05-02T10:00:00+02:00", "2026-05-02T08:00:00Z"),
            ("2026-05-02T23:59:60Z", "2026-05-02T23:59:59Z"),
            ("2026-05-02T23:59:60", "2026-05-02T23:59:59"),
            ("2026-05-02", "2026-05-02"),
        ] {
            assert_eq!(canonical_date(text).as_deref(), Some(canonical), "{text}");
            assert_eq!(canonical_date(canonical).as_deref(), Some(canonical), "{text}");
        }
        for text in ["", "tomorrow", "+12026-05-02", "2026-13-02", "0000-01-01T00:00:00Z"] {
            assert_eq!(canonical_date(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn reads_shortest_form_as_others(
            text in "[0-9]{4}-[01][0-9]-[0-3][0-9](T[0-2][0-9]:[0-6][0-9]:[0-6][0-9])?Z?",
        ) {
            let is_shortest = parsed(&text).as_deref() == Some(&text);
            prop_assert_eq!(Canonical::read(&text).is_some(), is_shortest, "{}", text);
        }
    }
}
