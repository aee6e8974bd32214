//! The shortest text of an entry of `exdates` or `rdates`.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Timelike, Utc};

/// The shortest text that means the same date: a local time to the second, an instant in UTC to the
/// second, or a local day. `None` when the text is none of these, or its year cannot be written
/// with four digits.
///
/// Readers of times skip any number of digits after the second: a date that is kept as it was
/// written may have any length.
#[must_use]
pub fn canonical_date(text: &str) -> Option<String> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        let at: DateTime<Utc> = at.to_utc().with_nanosecond(0)?;
        return is_written(at.year()).then(|| at.format("%Y-%m-%dT%H:%M:%SZ").to_string());
    }
    let forms = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"];
    if let Some(local) =
        forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
    {
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
            ("2026-05-02", "2026-05-02"),
        ] {
            assert_eq!(canonical_date(text).as_deref(), Some(canonical), "{text}");
            assert_eq!(canonical_date(canonical).as_deref(), Some(canonical), "{text}");
        }
        for text in ["", "tomorrow", "+12026-05-02", "2026-13-02", "0000-01-01T00:00:00Z"] {
            assert_eq!(canonical_date(text), None, "{text}");
        }
    }
}
