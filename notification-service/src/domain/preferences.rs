//! Preferences of a user: channels, quiet hours, time zone and language. Pure.

mod quiet_hours;

use chrono::{DateTime, Utc};
use contract::{Channel, NotifyContent, Priority};
use time_zone::Zone;

pub use quiet_hours::{QuietHours, TimeOfDay};

/// Longest accepted language tag (RFC 5646, section 4.4.1).
const MAX_LOCALE: usize = 35;

/// Invalid value: its field, and the rule that it breaks.
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

/// Preferences of a user. By default, everything is sent at any time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preferences {
    /// `true` if pushes are sent.
    pub push: bool,
    /// `true` if e-mails are sent.
    pub email: bool,
    /// Time of day in which deliveries of normal priority are deferred.
    pub quiet_hours: Option<QuietHours>,
    /// Zone of local times that name none.
    pub time_zone: Option<Zone>,
    /// Language of the texts around a message that names none.
    pub locale: Option<Locale>,
}

impl Default for Preferences {
    fn default() -> Self {
        Self { push: true, email: true, quiet_hours: None, time_zone: None, locale: None }
    }
}

impl Preferences {
    /// Returns `true` if the user has not opted out of a channel.
    #[must_use]
    pub fn allows(&self, channel: Channel) -> bool {
        match channel {
            Channel::Push => self.push,
            Channel::Email => self.email,
        }
    }

    /// Name of the zone of the user: the one that they name, or that of the quiet hours.
    #[must_use]
    pub fn zone(&self) -> Option<&'static str> {
        let of_quiet_hours = self.quiet_hours.map(|hours| hours.time_zone.name());
        time_zone::preferred(self.time_zone.map(Zone::name), of_quiet_hours)
    }

    /// Sets the preferred language of a message that names none.
    pub fn apply_locale(&self, content: &mut NotifyContent) {
        if content.locale.is_none() {
            content.locale = self.locale.as_ref().map(|locale| locale.as_str().to_owned());
        }
    }

    /// Returns the time until which a message is deferred, `None` if it may be sent now.
    #[must_use]
    pub fn deferred_until(&self, priority: Priority, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match priority {
            Priority::High => None,
            Priority::Normal => self.quiet_hours.and_then(|quiet| quiet.until(now)),
        }
    }
}

/// Parses the IANA name of a time zone in a field.
///
/// # Errors
/// If there is no such zone.
pub fn parse_zone(field: &'static str, name: &str) -> Result<Zone, InvalidField> {
    let problem = "must be the name of an IANA time zone, such as Europe/Berlin";
    Zone::parse(name).map_err(|_| InvalidField::new(field, problem))
}

/// Language tag (BCP 47).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locale(String);

impl Locale {
    /// Parses a language tag: a language of 2 to 8 letters and subtags of 1 to 8 letters or digits.
    ///
    /// # Errors
    /// If the text has another form.
    pub fn parse(text: String) -> Result<Self, InvalidField> {
        let mut subtags = text.split('-');
        let language = subtags.next().unwrap_or_default();
        let language_fits = (2..=8).contains(&language.len())
            && language.bytes().all(|byte| byte.is_ascii_alphabetic());
        let others_fit = subtags.all(|subtag| {
            (1..=8).contains(&subtag.len())
                && subtag.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        if text.len() <= MAX_LOCALE && language_fits && others_fit {
            return Ok(Self(text));
        }
        Err(InvalidField::new("locale", "must be a BCP 47 language tag, such as en or pt-BR"))
    }

    /// Restores a tag that was parsed before it was stored.
    #[must_use]
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// Returns the text of the tag.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defers_only_normal_priority() {
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
    fn parses_language_tags_only() {
        for text in ["de", "pt-BR", "zh-Hant-TW", "de-1996"] {
            assert!(Locale::parse(text.to_owned()).is_ok(), "{text}");
        }
        for text in ["", "d", "de_DE", "de-", "12", "de-waytoolongsubtag", "a\u{0}"] {
            assert!(Locale::parse(text.to_owned()).is_err(), "{text}");
        }
    }
}
