//! Formats a time for a locale, with its order, clock and words (CLDR data by ICU4X).

use chrono::{DateTime, Datelike, NaiveDateTime, Timelike, Utc};
use icu_datetime::{
    DateTimeFormatter, NoCalendarFormatter,
    fieldsets::{T, YMDE},
    input::{self, Date, Time},
};
use icu_locale_core::Locale;
use time_zone::Zone;

/// Time formatted for a locale and a time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenTime {
    /// Date, such as `Friday, 3 October 2025`.
    pub date: String,
    /// Time of day, such as `09:30`.
    pub time: String,
    /// Date, time and zone, such as `Friday, 3 October 2025 at 09:30 (Europe/Berlin)`.
    pub phrase: String,
}

/// Formats the wall-clock time of an instant for a locale.
#[must_use]
pub fn write(at: DateTime<Utc>, zone: Zone, locale: &Locale) -> WrittenTime {
    let at = zone.wall_clock(at);
    match local(&at, locale) {
        Some([date, time, both]) => WrittenTime { date, time, phrase: format!("{both} ({zone})") },
        // For a year of five digits, or a locale without data, the format of ISO 8601 is used.
        None => WrittenTime {
            date: at.format("%Y-%m-%d").to_string(),
            time: at.format("%H:%M").to_string(),
            phrase: format!("{} ({zone})", at.format("%Y-%m-%d %H:%M")),
        },
    }
}

/// Returns the date, the time, and both in one phrase.
fn local(at: &NaiveDateTime, locale: &Locale) -> Option<[String; 3]> {
    let byte = |number: u32| u8::try_from(number).ok();
    let date = Date::try_new_iso(at.year(), byte(at.month())?, byte(at.day())?).ok()?;
    let time = Time::try_new(byte(at.hour())?, byte(at.minute())?, 0, 0).ok()?;
    let days = DateTimeFormatter::try_new(locale.into(), YMDE::long()).ok()?;
    let minutes = NoCalendarFormatter::try_new(locale.into(), T::hm()).ok()?;
    let both = DateTimeFormatter::try_new(locale.into(), YMDE::long().with_time_hm()).ok()?;
    let moment = input::DateTime { date, time };
    let texts = [
        days.format(&date).to_string(),
        minutes.format(&time).to_string(),
        both.format(&moment).to_string(),
    ];
    Some(texts.map(spaced))
}

/// Replaces special spaces of CLDR, which not every font has.
fn spaced(text: String) -> String {
    text.replace(['\u{202f}', '\u{a0}'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(at: &str, locale: &str) -> WrittenTime {
        let zone = "Europe/Berlin".parse().unwrap();
        write(at.parse().unwrap(), zone, &locale.parse().unwrap())
    }

    #[test]
    fn writes_time_in_zone() {
        let written = written("2025-10-03T22:05:00Z", "en-GB");
        assert_eq!(written.date, "Saturday, 4 October 2025");
        assert_eq!(written.time, "00:05");
        assert_eq!(written.phrase, "Saturday, 4 October 2025 at 00:05 (Europe/Berlin)");
    }

    #[test]
    fn writes_order_and_clock_of_region() {
        let phrases = [
            ("en-US", "Friday, October 3, 2025 at 9:30 AM"),
            ("en-GB", "Friday, 3 October 2025 at 09:30"),
            ("en-CA", "Friday, October 3, 2025 at 9:30 a.m."),
            ("de", "Freitag, 3. Oktober 2025 um 09:30"),
            ("fr", "vendredi 3 octobre 2025 à 09:30"),
            ("fr-CA", "vendredi 3 octobre 2025 à 09 h 30"),
            ("es", "viernes, 3 de octubre de 2025 a las 09:30"),
            ("ja", "2025年10月3日金曜日 9:30"),
            ("hi", "शुक्रवार, 3 अक्टूबर, 2025 को 9:30 am बजे"),
            ("de-u-hc-h12", "Freitag, 3. Oktober 2025 um 9:30 AM"),
        ];
        for (locale, phrase) in phrases {
            assert_eq!(
                written("2025-10-03T07:30:00Z", locale).phrase,
                format!("{phrase} (Europe/Berlin)"),
                "{locale}"
            );
        }
    }

    #[test]
    fn distinguishes_noon_from_midnight() {
        assert_eq!(written("2025-10-03T10:00:00Z", "en-US").time, "12:00 PM");
        assert_eq!(written("2025-10-02T22:00:00Z", "en-US").time, "12:00 AM");
    }

    #[test]
    fn uses_calendar_of_locale() {
        assert!(written("2025-10-03T07:30:00Z", "th").date.contains("2568"));
    }

    #[test]
    fn writes_time_by_clocks_of_2026() {
        for (zone, time) in [
            ("America/Vancouver", "01:32"),
            ("America/Edmonton", "02:32"),
            ("America/Winnipeg", "03:32"),
            ("America/Havana", "04:32"),
            ("Africa/Casablanca", "08:32"),
            ("Europe/Chisinau", "10:32"),
        ] {
            let at = "2026-11-28T08:32:00Z".parse().unwrap();
            let written = write(at, zone.parse().unwrap(), &"en-GB".parse().unwrap());
            assert_eq!(written.phrase, format!("Saturday, 28 November 2026 at {time} ({zone})"));
        }
    }

    #[test]
    fn writes_time_that_no_calendar_holds() {
        let far = write(DateTime::<Utc>::MAX_UTC, Zone::UTC, &"de".parse().unwrap());
        assert!(far.phrase.ends_with("(UTC)"));
    }
}
