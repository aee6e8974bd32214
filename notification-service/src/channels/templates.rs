//! What the messages say: the templates of their texts, ours or those of a mounted folder, in each
//! language.
//!
//! A folder is read, checked and rendered once, at the start; a broken one stops it with all its
//! faults. Should one of its templates still fail for a message, ours takes its place: a reminder
//! is not lost to its wrapping.

mod check;
mod engine;
mod fault;
mod folder;
mod lazy_time;
mod localized;
mod samples;

use std::{collections::BTreeMap, path::Path};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use icu_locale_core::Locale;
use minijinja::Environment;

use super::translations::{self, Words};
pub use fault::{Fault, Faults};
use folder::Folder;
pub use localized::{Edition, PushText, Texts};
pub use samples::{Sample, UNSUBSCRIBE_URL, samples};

/// A text of a message, made by a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The subject of a mail.
    EmailSubject,
    /// A mail's plain text.
    EmailText,
    /// A mail's HTML.
    EmailHtml,
    /// The heading of a push.
    PushTitle,
    /// The text of a push.
    PushBody,
}

impl Part {
    /// All of them.
    pub const ALL: [Part; 5] =
        [Part::EmailSubject, Part::EmailText, Part::EmailHtml, Part::PushTitle, Part::PushBody];

    /// The name of its template's file.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Part::EmailSubject => "email.subject.txt",
            Part::EmailText => "email.txt",
            Part::EmailHtml => "email.html",
            Part::PushTitle => "push.title.txt",
            Part::PushBody => "push.body.txt",
        }
    }

    /// Our own template.
    fn built_in(self) -> &'static str {
        match self {
            Part::EmailSubject => include_str!("../../templates/email.subject.txt"),
            Part::EmailText => include_str!("../../templates/email.txt"),
            Part::EmailHtml => include_str!("../../templates/email.html"),
            Part::PushTitle => include_str!("../../templates/push.title.txt"),
            Part::PushBody => include_str!("../../templates/push.body.txt"),
        }
    }
}

/// What a message tells its reader, on any channel.
#[derive(Debug, Clone, Copy)]
pub struct Notice<'a> {
    /// The user's heading; none: the word for a reminder in the reader's language.
    pub title: Option<&'a str>,
    /// The user's text.
    pub message: &'a str,
    /// What it is about; only a web address is shown.
    pub url: Option<&'a str>,
    /// The time it reminds of.
    pub date: DateTime<Utc>,
    /// The zone in which that time is written.
    pub time_zone: Tz,
    /// BCP 47 locale of our own words and of the time.
    pub locale: Option<&'a str>,
}

/// The templates and words of every language.
#[derive(Debug, Clone)]
pub struct Templates {
    own: Environment<'static>,
    /// By path in their folder: `email.html`, `de/email.html`.
    custom: Environment<'static>,
    /// By tag.
    languages: BTreeMap<String, Language>,
    fallback: Language,
}

/// A language, or a language as it is written in a region.
#[derive(Debug, Clone)]
struct Language {
    tag: String,
    words: Words,
    /// The name of the template in place of ours, for each part.
    custom: [Option<String>; Part::ALL.len()],
}

impl Templates {
    /// Our own templates.
    ///
    /// # Errors
    /// When one of them is broken, which a test rules out.
    pub fn built_in() -> Result<Self, Faults> {
        Self::over_ours(&Folder::default()).map_err(Faults::sorted)
    }

    /// The templates and words of a folder, and ours where it has none.
    ///
    /// # Errors
    /// Everything that is wrong with the folder.
    pub fn load(folder: &Path) -> Result<Self, Faults> {
        let (folder, mut faults) = Folder::read(folder);
        match Self::over_ours(&folder) {
            Ok(templates) if faults.is_empty() => return Ok(templates),
            Ok(_) => {}
            Err(more) => faults.extend(more),
        }
        Err(Faults::sorted(faults))
    }

    fn over_ours(folder: &Folder) -> Result<Self, Vec<Fault>> {
        let (mut own, mut custom) = (engine::ours(), engine::custom());
        let mut faults = Vec::new();
        for part in Part::ALL {
            faults.extend(check::add(&mut own, part.file_name(), part.built_in()));
        }
        for (path, text) in &folder.templates {
            faults.extend(check::add(&mut custom, path, text));
        }
        let mut languages = BTreeMap::new();
        for tag in folder.tags() {
            match folder.words(&tag) {
                Ok(words) => {
                    let custom = Part::ALL.map(|part| folder.best(part, &tag));
                    languages.insert(tag.clone(), Language { tag, words, custom });
                }
                Err(fault) => faults.push(fault),
            }
        }
        let fallback = find(&languages, &translations::FALLBACK).cloned();
        let Some(fallback) = fallback.filter(|_| faults.is_empty()) else { return Err(faults) };
        let templates = Self { own, custom, languages, fallback };
        let faults = check::rendered(&templates);
        if faults.is_empty() { Ok(templates) } else { Err(faults) }
    }

    /// The tags of the languages there are words in.
    pub fn languages(&self) -> impl Iterator<Item = &str> {
        self.languages.keys().map(String::as_str)
    }

    /// The words and the way to write times for a reader's locale, if the reader has one that we
    /// know.
    #[must_use]
    pub fn edition(&self, locale: Option<&str>) -> Edition<'_> {
        let asked = locale.and_then(|tag| tag.parse::<Locale>().ok());
        let known = asked.and_then(|asked| Some((find(&self.languages, &asked)?, asked)));
        let (language, locale) = known.unwrap_or((&self.fallback, translations::FALLBACK));
        Edition::new(self, language, locale)
    }

    /// The texts of a message; `unsubscribe_url` is where its reader stops such mails.
    #[must_use]
    pub fn texts(&self, notice: &Notice<'_>, unsubscribe_url: Option<&str>) -> Texts<'_> {
        self.edition(notice.locale).texts(notice, unsubscribe_url)
    }
}

fn find<'a>(languages: &'a BTreeMap<String, Language>, locale: &Locale) -> Option<&'a Language> {
    translations::lookup(&locale.id.to_string()).find_map(|tag| languages.get(tag))
}

impl Language {
    fn custom(&self, part: Part) -> Option<&str> {
        self.custom[part as usize].as_deref()
    }
}

#[cfg(test)]
mod tests;
