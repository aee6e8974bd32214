//! Our own words around a user's text, one set a language, and the language's way of writing a time.

use chrono::{DateTime, Datelike, Timelike};
use chrono_tz::Tz;

/// The words of one language.
#[derive(Debug)]
pub struct Wording {
    /// The language, for `lang` attributes (BCP 47).
    pub language: &'static str,
    /// What stands where a reminder has no title.
    pub reminder: &'static str,
    /// The label of a link to what the reminder is about.
    pub open_link: &'static str,
    /// The label of the link by which one stops these mails.
    pub unsubscribe: &'static str,
    /// Why the reader gets this mail.
    pub why: &'static str,
    /// Joins a date, a time and a zone into a phrase.
    phrase: fn(&str, &str, &str) -> String,
    weekdays: [&'static str; 7],
    months: [&'static str; 12],
}

/// A time as a reader in its zone would write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenTime {
    /// Such as `Friday, 3 October 2025`.
    pub date: String,
    /// Such as `09:30`.
    pub time: String,
    /// All of it, the zone named: `Friday, 3 October 2025 at 09:30 (Europe/Berlin)`.
    pub phrase: String,
}

const ENGLISH: Wording = Wording {
    language: "en",
    reminder: "Reminder",
    open_link: "Open link",
    unsubscribe: "Unsubscribe",
    why: "You are receiving this because you set a reminder.",
    phrase: |date, time, zone| format!("{date} at {time} ({zone})"),
    weekdays: ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
    months: [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ],
};

const LANGUAGES: [&Wording; 1] = [&ENGLISH];

/// The words for a BCP 47 locale: those of its language, else English.
pub fn for_locale(locale: Option<&str>) -> &'static Wording {
    let language = locale.and_then(|locale| locale.split(['-', '_']).next()).unwrap_or_default();
    LANGUAGES.into_iter().find(|words| words.language.eq_ignore_ascii_case(language)).unwrap_or(&ENGLISH)
}

impl Wording {
    /// Writes a time in its zone.
    pub fn write(&self, at: &DateTime<Tz>) -> WrittenTime {
        let weekday = self.weekdays[at.weekday().num_days_from_monday() as usize];
        let month = self.months[at.month0() as usize];
        let date = format!("{weekday}, {} {month} {}", at.day(), at.year());
        let time = format!("{:02}:{:02}", at.hour(), at.minute());
        let phrase = (self.phrase)(&date, &time, at.timezone().name());
        WrittenTime { date, time, phrase }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Utc;

    #[test]
    fn a_time_is_written_in_the_readers_zone() {
        let at: DateTime<Utc> = "2025-10-03T22:05:00Z".parse().unwrap();
        let written = for_locale(None).write(&at.with_timezone(&Tz::Europe__Berlin));
        assert_eq!(written.date, "Saturday, 4 October 2025");
        assert_eq!(written.time, "00:05");
        assert_eq!(written.phrase, "Saturday, 4 October 2025 at 00:05 (Europe/Berlin)");
    }

    #[test]
    fn an_unknown_language_falls_back_to_english() {
        for locale in [None, Some("en-GB"), Some("EN_us"), Some("tlh"), Some("")] {
            assert_eq!(for_locale(locale).language, "en");
        }
    }
}
