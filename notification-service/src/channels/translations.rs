//! Our own words around a user's text, one set a language.

mod time_format;

use icu_locale_core::{Locale, locale};
use serde::{Deserialize, Serialize};

pub use time_format::{WrittenTime, write};

/// The locale of a reader whose own we do not know: English, the day before the month and 24 hours,
/// which can be misread nowhere.
pub const FALLBACK: Locale = locale!("en-GB");

macro_rules! built_in {
    ($($tag:literal),*) => {
        [$(($tag, include_str!(concat!("../../templates/", $tag, "/words.json")))),*]
    };
}

/// The languages we have words in, by BCP 47 tag; one with a region says only what is said
/// differently there.
pub const LANGUAGES: [(&str, &str); 12] =
    built_in!("de", "en", "es", "fr", "hi", "it", "ja", "nl", "pl", "pt", "pt-PT", "tr");

/// The words of one language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Words {
    /// What stands where a reminder has no title.
    pub reminder: String,
    /// The label of a link to what the reminder is about.
    pub open_link: String,
    /// Why the reader gets this message.
    pub why: String,
    /// The label of the link by which one stops these mails.
    pub unsubscribe: String,
    /// Which way the language is written.
    #[serde(skip)]
    pub direction: Direction,
}

/// Which way a language is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Left to right.
    Ltr,
    /// Right to left.
    Rtl,
}

impl Direction {
    /// As HTML's `dir` names it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::Ltr => "ltr",
            Direction::Rtl => "rtl",
        }
    }
}

/// A `words.json`: all the words of a language, or those that are to be different.
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
    /// Reads a `words.json`.
    ///
    /// # Errors
    /// When it is no JSON, has a key that is no word of ours, or a word that is not written on one
    /// line.
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

    /// These words, and `base` where there are none.
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

    /// The words of a language, if none is missing; else the keys that are. A language is written
    /// left to right unless it says otherwise.
    ///
    /// # Errors
    /// The keys that are missing.
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

/// A tag and what it falls back on, most special first: `pt-PT`, then `pt` (the lookup of RFC 4647,
/// section 3.4).
pub fn lookup(tag: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(tag), |tag| tag.rsplit_once('-').map(|(shorter, _)| shorter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_says_only_what_is_different_there() {
        let list =
            |tag| Wordlist::parse(LANGUAGES.iter().find(|(it, _)| *it == tag).unwrap().1).unwrap();
        let words = list("pt-PT").over(list("pt")).complete().unwrap();
        assert_eq!((&*words.reminder, &*words.unsubscribe), ("Lembrete", "Cancelar subscrição"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let list =
            Wordlist::parse(r#"{"reminder": "Påminnelse", "why": "Du bad om det."}"#).unwrap();
        assert_eq!(list.complete().unwrap_err(), ["openLink", "unsubscribe"]);
    }

    #[test]
    fn a_wordlist_has_no_other_keys_and_no_blank_words() {
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
    fn a_tag_falls_back_on_what_it_begins_with() {
        assert_eq!(lookup("zh-Hant-TW").collect::<Vec<_>>(), ["zh-Hant-TW", "zh-Hant", "zh"]);
    }
}
