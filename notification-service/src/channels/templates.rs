//! What the messages say: the templates of their texts, ours or those of a mounted folder, in each language.
//!
//! A folder is read, checked and rendered once, at the start; a broken one stops it with all its faults. Should one of
//! its templates still fail for a message, ours takes its place: a reminder is not lost to its wrapping.

mod check;
mod engine;
mod fault;
mod folder;
mod samples;
mod times;

use std::{collections::BTreeMap, path::Path};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use icu_locale_core::Locale;
use minijinja::{Environment, Value, context};

use super::wording::{self, Words, WrittenTime};
pub use fault::{Fault, Faults};
use folder::Folder;
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
    pub const ALL: [Part; 5] = [Part::EmailSubject, Part::EmailText, Part::EmailHtml, Part::PushTitle, Part::PushBody];

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
        let fallback = find(&languages, &wording::FALLBACK).cloned();
        let Some(fallback) = fallback.filter(|_| faults.is_empty()) else { return Err(faults) };
        let templates = Self { own, custom, languages, fallback };
        let faults = check::rendered(&templates);
        if faults.is_empty() { Ok(templates) } else { Err(faults) }
    }

    /// The tags of the languages there are words in.
    pub fn languages(&self) -> impl Iterator<Item = &str> {
        self.languages.keys().map(String::as_str)
    }

    /// The words and the way to write times for a reader's locale, if the reader has one that we know.
    #[must_use]
    pub fn edition(&self, locale: Option<&str>) -> Edition<'_> {
        let asked = locale.and_then(|tag| tag.parse::<Locale>().ok());
        let known = asked.and_then(|asked| Some((find(&self.languages, &asked)?, asked)));
        let (language, locale) = known.unwrap_or((&self.fallback, wording::FALLBACK));
        Edition { templates: self, language, locale }
    }

    /// The texts of a message; `unsubscribe_url` is where its reader stops such mails.
    #[must_use]
    pub fn texts(&self, notice: &Notice<'_>, unsubscribe_url: Option<&str>) -> Texts<'_> {
        self.edition(notice.locale).texts(notice, unsubscribe_url)
    }
}

fn find<'a>(languages: &'a BTreeMap<String, Language>, locale: &Locale) -> Option<&'a Language> {
    wording::lookup(&locale.id.to_string()).find_map(|tag| languages.get(tag))
}

/// The words, the templates and the way to write times for one reader.
#[derive(Debug)]
pub struct Edition<'a> {
    templates: &'a Templates,
    language: &'a Language,
    locale: Locale,
}

impl<'a> Edition<'a> {
    /// The tag of the language whose words are used.
    #[must_use]
    pub fn language(&self) -> &'a str {
        &self.language.tag
    }

    /// The heading: the user's, else the word for a reminder.
    #[must_use]
    pub fn title<'b>(&self, title: Option<&'b str>) -> &'b str
    where
        'a: 'b,
    {
        title.filter(|title| !title.trim().is_empty()).unwrap_or(&self.language.words.reminder)
    }

    /// Writes a time in its zone.
    #[must_use]
    pub fn write(&self, at: DateTime<Utc>, time_zone: Tz) -> WrittenTime {
        wording::write(&at.with_timezone(&time_zone), &self.locale)
    }

    fn texts(&self, notice: &Notice<'_>, unsubscribe_url: Option<&str>) -> Texts<'a> {
        let at = notice.date.with_timezone(&notice.time_zone);
        let context = context! {
            title => self.title(notice.title),
            message => notice.message,
            url => notice.url.filter(|url| url.starts_with("https://") || url.starts_with("http://")),
            timeZone => notice.time_zone.name(),
            locale => self.locale.to_string(),
            language => self.language.tag,
            direction => self.language.words.direction.as_str(),
            unsubscribeUrl => unsubscribe_url,
            words => Value::from_serialize(&self.language.words),
            ..times::unwritten(at, self.locale.clone())
        };
        Texts { templates: self.templates, language: self.language, context }
    }
}

/// The texts of one message.
#[derive(Debug)]
pub struct Texts<'a> {
    templates: &'a Templates,
    language: &'a Language,
    context: Value,
}

impl Texts<'_> {
    /// Renders a text. If a template of the folder fails, ours is rendered instead.
    ///
    /// # Errors
    /// When ours fails as well, which a test rules out.
    pub fn render(&self, part: Part) -> Result<String, minijinja::Error> {
        if let Some(name) = self.language.custom(part) {
            match self.custom(name) {
                Ok(text) => return Ok(text),
                // The error names the template and its line, and quotes nothing of the message.
                Err(error) => tracing::warn!(
                    template = name,
                    line = error.line(),
                    error = %error.kind(),
                    "a template failed for a message; ours is used"
                ),
            }
        }
        self.templates.own.get_template(part.file_name())?.render(&self.context)
    }

    fn custom(&self, name: &str) -> Result<String, minijinja::Error> {
        self.templates.custom.get_template(name)?.render(&self.context)
    }

    /// Renders what a push shows, which is never blank.
    #[must_use]
    pub fn push(&self, message: &str) -> PushText {
        PushText {
            title: self.line(Part::PushTitle).unwrap_or_else(|| self.language.words.reminder.clone()),
            body: self.line(Part::PushBody).unwrap_or_else(|| message.to_owned()),
        }
    }

    fn line(&self, part: Part) -> Option<String> {
        let text = self.render(part).ok()?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

/// What a push shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushText {
    /// The heading.
    pub title: String,
    /// The text.
    pub body: String,
}

impl Language {
    fn custom(&self, part: Part) -> Option<&str> {
        self.custom[part as usize].as_deref()
    }
}

#[cfg(test)]
mod tests;
