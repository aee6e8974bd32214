//! Translations of the texts around a user's message.

mod time_format;

use icu_locale_core::{Locale, locale};
use serde::{Deserialize, Serialize};

pub use time_format::{WrittenTime, write};

/// Locale of a reader whose own is unknown: English with the day before the month and 24 hours,
/// which is unambiguous everywhere.
pub const FALLBACK: Locale = locale!("en-GB");

macro_rules! built_in {
    ($($tag:literal),*) => {
        [$(($tag, include_str!(concat!("../../templates/", $tag, "/words.json")))),*]
    };
}

/// Built-in translations by BCP 47 tag. A tag with a region contains only the differences to its
/// language.
pub const LANGUAGES: [(&str, &str); 12] =
    built_in!("de", "en", "es", "fr", "hi", "it", "ja", "nl", "pl", "pt", "pt-PT", "tr");

/// Translated words of one language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Words {
    /// Heading of a reminder without a title.
    pub reminder: String,
    /// Label of the reminder's link.
    pub open_link: String,
    /// Sentence that explains why the reader gets the message.
    pub why: String,
    /// Label of the unsubscribe link.
    pub unsubscribe: String,
    /// Direction in which the language is written.
    #[serde(skip)]
    pub direction: Direction,
}

/// Direction in which a language is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Left to right.
    Ltr,
    /// Right to left.
    Rtl,
}

impl Direction {
    /// Returns the value of HTML's `dir` attribute.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::Ltr => "ltr",
            Direction::Rtl => "rtl",
        }
    }
}

/// Contents of a `words.json`: all words of a language, or those that differ from the language it
/// extends.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wordlist {
    reminder: Option<String>,
    open_link: Option<String>,
    why: Option<String>,
    unsubscribe: Option<String>,
    direction: Option<Direction>,
}

impl Wordlist {
    /// Parses a `words.json`.
    ///
    /// # Errors
    /// If it is no JSON, has an unknown key, or has a word that is blank or spans several lines.
    pub fn parse(json: &str) -> Result<Self, serde_json::Error> {
        use serde::de::Error;
        let list: Self = serde_json::from_str(json)?;
        let is_no_line = |word: &String| word.trim().is_empty() || word.contains(char::is_control);
        let broken =
            list.keyed().into_iter().find(|(_, word)| word.as_ref().is_some_and(is_no_line));
        broken.map_or(Ok(()), |(key, _)| {
            Err(serde_json::Error::custom(format!("`{key}` must be one line of text")))
        })?;
        Ok(list)
    }

    /// Returns these words, and those of `base` for missing ones.
    #[must_use]
    pub fn over(self, base: Self) -> Self {
        Wordlist {
            reminder: self.reminder.or(base.reminder),
            open_link: self.open_link.or(base.open_link),
            why: self.why.or(base.why),
            unsubscribe: self.unsubscribe.or(base.unsubscribe),
            direction: self.direction.or(base.direction),
        }
    }

    /// Returns the words of a language if none is missing. A language without a direction is
    /// written left to right.
    ///
    /// # Errors
    /// The missing keys.
    pub fn complete(self) -> Result<Words, Vec<&'static str>> {
        let missing = self.missing();
        let Wordlist { reminder, open_link, why, unsubscribe, direction } = self;
        match (reminder, open_link, why, unsubscribe) {
            (Some(reminder), Some(open_link), Some(why), Some(unsubscribe)) => {
                let direction = direction.unwrap_or(Direction::Ltr);
                Ok(Words { reminder, open_link, why, unsubscribe, direction })
            }
            _ => Err(missing),
        }
    }

    fn missing(&self) -> Vec<&'static str> {
        self.keyed().into_iter().filter(|(_, word)| word.is_none()).map(|(key, _)| key).collect()
    }

    fn keyed(&self) -> [(&'static str, &Option<String>); 4] {
        [
            ("reminder", &self.reminder),
            ("openLink", &self.open_link),
            ("why", &self.why),
            ("unsubscribe", &self.unsubscribe),
        ]
    }
}

/// Returns a tag and its fallbacks, most specific first: `pt-PT`, then `pt` (the lookup of RFC
/// 4647, section 3.4).
pub fn lookup(tag: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(tag), |tag| tag.rsplit_once('-').map(|(shorter, _)| shorter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges_region_over_language() {
        let list = |tag| {
            let (_, json) = LANGUAGES.iter().find(|(language, _)| *language == tag).unwrap();
            Wordlist::parse(json).unwrap()
        };
        let words = list("pt-PT").over(list("pt")).complete().unwrap();
        assert_eq!((&*words.reminder, &*words.unsubscribe), ("Lembrete", "Cancelar subscrição"));
    }

    #[test]
    fn names_missing_words() {
        let list =
            Wordlist::parse(r#"{"reminder": "Påminnelse", "why": "Du bad om det."}"#).unwrap();
        assert_eq!(list.complete().unwrap_err(), ["openLink", "unsubscribe"]);
    }

    #[test]
    fn rejects_unknown_keys_and_blank_words() {
        for json in [
            r#"{"remindr": "x"}"#,
            r#"{"why": " "}"#,
            r#"{"why": "a\nb"}"#,
            r#"{"direction": "up"}"#,
            "[]",
        ] {
            assert!(Wordlist::parse(json).is_err(), "{json}");
        }
    }

    #[test]
    fn falls_back_on_shorter_tags() {
        assert_eq!(lookup("zh-Hant-TW").collect::<Vec<_>>(), ["zh-Hant-TW", "zh-Hant", "zh"]);
    }
}
