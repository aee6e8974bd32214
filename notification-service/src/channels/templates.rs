//! Templates of the texts of messages, built in or from a mounted folder, in each language.
//!
//! A folder is read, checked and rendered once, at the start, which fails with a list of all
//! faults. If one of its templates still fails for a message, the built-in template is used, so
//! that no reminder is lost.

mod check;
mod engine;
mod fault;
mod folder;
mod lazy_time;
mod localized;
mod samples;

use std::{collections::BTreeMap, path::Path};

use chrono::{DateTime, Utc};
use icu_locale_core::Locale;
use minijinja::Environment;
use time_zone::Zone;

use super::translations::{self, Words};
pub use fault::{Fault, Faults};
use folder::Folder;
pub use localized::{LocalizedTemplates, PushText, Texts};
pub use samples::{Sample, UNSUBSCRIBE_URL, samples};

/// Text of a message that a template renders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Subject of an e-mail.
    EmailSubject,
    /// Plain text of an e-mail.
    EmailText,
    /// HTML of an e-mail.
    EmailHtml,
    /// Heading of a push.
    PushTitle,
    /// Text of a push.
    PushBody,
}

impl Part {
    /// All texts.
    pub const ALL: [Part; 5] =
        [Part::EmailSubject, Part::EmailText, Part::EmailHtml, Part::PushTitle, Part::PushBody];

    /// Returns the file name of its template.
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

    /// Returns the built-in template.
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

/// Content of a message, on any channel.
#[derive(Debug, Clone, Copy)]
pub struct Notice<'a> {
    /// Heading by the user. `None`: the word for a reminder in the reader's language.
    pub title: Option<&'a str>,
    /// Text by the user.
    pub message: &'a str,
    /// URL that the reminder links to. Only a web address is shown.
    pub url: Option<&'a str>,
    /// Date of the reminder.
    pub date: DateTime<Utc>,
    /// Time zone in which the date is formatted.
    pub time_zone: Zone,
    /// BCP 47 locale of the texts around the message and of the date.
    pub locale: Option<&'a str>,
}

/// Templates and translations of every language.
#[derive(Debug, Clone)]
pub struct Templates {
    built_in: Environment<'static>,
    /// Templates by their path in the folder: `email.html`, `de/email.html`.
    custom: Environment<'static>,
    /// Languages by tag.
    languages: BTreeMap<String, Language>,
    fallback: Language,
}

/// Language, possibly with a region.
#[derive(Debug, Clone)]
struct Language {
    tag: String,
    words: Words,
    /// Name of the folder's template in place of the built-in one, for each part.
    custom: [Option<String>; Part::ALL.len()],
}

impl Templates {
    /// Loads the built-in templates.
    ///
    /// # Errors
    /// If one of them is broken, which a test rules out.
    pub fn built_in() -> Result<Self, Faults> {
        Self::over_built_in(&Folder::default()).map_err(Faults::sorted)
    }

    /// Loads the templates and translations of a folder, and the built-in ones for those it lacks.
    ///
    /// # Errors
    /// All faults of the folder.
    pub fn load(folder: &Path) -> Result<Self, Faults> {
        let (folder, mut faults) = Folder::read(folder);
        match Self::over_built_in(&folder) {
            Ok(templates) if faults.is_empty() => return Ok(templates),
            Ok(_) => {}
            Err(more) => faults.extend(more),
        }
        Err(Faults::sorted(faults))
    }

    fn over_built_in(folder: &Folder) -> Result<Self, Vec<Fault>> {
        let (mut built_in, mut custom) = (engine::built_in(), engine::custom());
        let mut faults = Vec::new();
        for part in Part::ALL {
            faults.extend(check::add(&mut built_in, part.file_name(), part.built_in()));
        }
        for (path, text) in &folder.templates {
            faults.extend(check::add(&mut custom, path, text));
        }
        let mut languages = BTreeMap::new();
        for tag in folder.tags() {
            match folder.words(&tag) {
                Ok(words) => {
                    let custom = Part::ALL.map(|part| folder.best_template(part, &tag));
                    languages.insert(tag.clone(), Language { tag, words, custom });
                }
                Err(fault) => faults.push(fault),
            }
        }
        let fallback = find(&languages, &translations::FALLBACK).cloned();
        let Some(fallback) = fallback.filter(|_| faults.is_empty()) else { return Err(faults) };
        let templates = Self { built_in, custom, languages, fallback };
        let faults = check::rendered(&templates);
        if faults.is_empty() { Ok(templates) } else { Err(faults) }
    }

    /// Returns the tags of all translated languages.
    pub fn languages(&self) -> impl Iterator<Item = &str> {
        self.languages.keys().map(String::as_str)
    }

    /// Returns the templates for a reader's locale, or for the fallback if the locale is unknown.
    #[must_use]
    pub fn for_locale(&self, locale: Option<&str>) -> LocalizedTemplates<'_> {
        let asked = locale.and_then(|tag| tag.parse::<Locale>().ok());
        let known = asked.and_then(|asked| Some((find(&self.languages, &asked)?, asked)));
        let (language, locale) = known.unwrap_or((&self.fallback, translations::FALLBACK));
        LocalizedTemplates::new(self, language, locale)
    }

    /// Returns the texts of a message. `unsubscribe_url` unsubscribes its reader from e-mails.
    #[must_use]
    pub fn texts(&self, notice: &Notice<'_>, unsubscribe_url: Option<&str>) -> Texts<'_> {
        self.for_locale(notice.locale).texts(notice, unsubscribe_url)
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
