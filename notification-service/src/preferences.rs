//! How a user wants to be reached: on which channels, at what times not, and in which language.
//! Pure.

mod quiet_hours;

use chrono::{DateTime, Utc};
use shared::contract::{Channel, NotifyContent, Priority};

pub use quiet_hours::{QuietHours, TimeOfDay};

/// The longest language tag that is taken (RFC 5646 §4.4.1).
const MAX_LOCALE: usize = 35;

/// A value that cannot be taken: its field, and what it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InvalidField {
    field: &'static str,
    problem: &'static str,
}

impl InvalidField {
    const fn new(field: &'static str, problem: &'static str) -> Self {
        Self { field, problem }
    }
}

/// What a user prefers; by default everything, at any time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preferences {
    /// Whether pushes are wanted.
    pub push: bool,
    /// Whether e-mails are wanted.
    pub email: bool,
    /// When nothing is wanted that can wait.
    pub quiet_hours: Option<QuietHours>,
    /// The language of the texts around a message that names none.
    pub locale: Option<Locale>,
}

impl Default for Preferences {
    fn default() -> Self {
        Self { push: true, email: true, quiet_hours: None, locale: None }
    }
}

impl Preferences {
    /// Whether anything is wanted on a channel.
    #[must_use]
    pub fn allows(&self, channel: Channel) -> bool {
        match channel {
            Channel::Push => self.push,
            Channel::Email => self.email,
        }
    }

    /// Gives a message that names no language the preferred one.
    pub fn apply_locale(&self, content: &mut NotifyContent) {
        if content.locale.is_none() {
            content.locale = self.locale.as_ref().map(|locale| locale.as_str().to_owned());
        }
    }

    /// Until when a message has to wait; none when it may be sent now.
    #[must_use]
    pub fn deferred_until(&self, priority: Priority, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match priority {
            Priority::High => None,
            Priority::Normal => self.quiet_hours.and_then(|quiet| quiet.until(now)),
        }
    }
}

/// A language tag (BCP 47).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locale(String);

impl Locale {
    /// A language tag, by its shape: a language of 2 to 8 letters and subtags of 1 to 8 letters or
    /// digits.
    ///
    /// # Errors
    /// When it has another shape.
    pub fn parse(text: String) -> Result<Self, InvalidField> {
        let mut subtags = text.split('-');
        let language = subtags.next().unwrap_or_default();
        let language_fits = (2..=8).contains(&language.len())
            && language.bytes().all(|it| it.is_ascii_alphabetic());
        let others_fit = subtags.all(|it| {
            (1..=8).contains(&it.len()) && it.bytes().all(|it| it.is_ascii_alphanumeric())
        });
        if text.len() <= MAX_LOCALE && language_fits && others_fit {
            return Ok(Self(text));
        }
        Err(InvalidField::new("locale", "must be a BCP 47 language tag, such as en or pt-BR"))
    }

    /// One that was parsed before it was stored.
    #[must_use]
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_urgent_does_not_wait() {
        let quiet_hours = QuietHours::parse("22:00", "07:00", None).expect("quiet hours");
        let preferences = Preferences { quiet_hours: Some(quiet_hours), ..Preferences::default() };
        let night = "2026-01-10T23:00:00Z".parse().expect("a time");
        let morning = "2026-01-11T07:00:00Z".parse().expect("a time");
        assert_eq!(preferences.deferred_until(Priority::Normal, night), Some(morning));
        assert_eq!(preferences.deferred_until(Priority::High, night), None);
        assert_eq!(preferences.deferred_until(Priority::Normal, morning), None);
        assert_eq!(Preferences::default().deferred_until(Priority::Normal, night), None);
    }

    #[test]
    fn a_locale_is_a_language_tag() {
        for text in ["de", "pt-BR", "zh-Hant-TW", "de-1996"] {
            assert!(Locale::parse(text.to_owned()).is_ok(), "{text}");
        }
        for text in ["", "d", "de_DE", "de-", "12", "de-waytoolongsubtag", "a\u{0}"] {
            assert!(Locale::parse(text.to_owned()).is_err(), "{text}");
        }
    }
}
