//! Templates for one locale, and the texts of one message rendered with them.

use chrono::{DateTime, Utc};
use icu_locale_core::Locale;
use minijinja::{Value, context};
use time_zone::Zone;

use super::{Language, Notice, Part, Templates, lazy_time};
use crate::channels::translations::{self, WrittenTime};

/// Templates, translations and format of times for one locale.
#[derive(Debug)]
pub struct LocalizedTemplates<'a> {
    templates: &'a Templates,
    language: &'a Language,
    locale: Locale,
}

impl<'a> LocalizedTemplates<'a> {
    pub(super) fn new(templates: &'a Templates, language: &'a Language, locale: Locale) -> Self {
        LocalizedTemplates { templates, language, locale }
    }

    /// Returns the tag of the language of the translations.
    #[must_use]
    pub fn language(&self) -> &'a str {
        &self.language.tag
    }

    /// Returns the heading: the user's, or the word for a reminder.
    #[must_use]
    pub fn title<'b>(&self, title: Option<&'b str>) -> &'b str
    where
        'a: 'b,
    {
        title.filter(|title| !title.trim().is_empty()).unwrap_or(&self.language.words.reminder)
    }

    /// Formats a time in a time zone.
    #[must_use]
    pub fn write(&self, at: DateTime<Utc>, time_zone: Zone) -> WrittenTime {
        translations::write(at, time_zone, &self.locale)
    }

    pub(super) fn texts(&self, notice: &Notice<'_>, unsubscribe_url: Option<&str>) -> Texts<'a> {
        let context = context! {
            title => self.title(notice.title),
            message => notice.message,
            url => notice.url.filter(|url| is_web_url(url)),
            timeZone => notice.time_zone.name(),
            locale => self.locale.to_string(),
            language => self.language.tag,
            direction => self.language.words.direction.as_str(),
            unsubscribeUrl => unsubscribe_url,
            words => Value::from_serialize(&self.language.words),
            ..lazy_time::lazy_time(notice.date, notice.time_zone, self.locale.clone())
        };
        Texts { templates: self.templates, language: self.language, context }
    }
}

/// Returns `true` for an http or https URL.
fn is_web_url(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

/// Texts of one message.
#[derive(Debug)]
pub struct Texts<'a> {
    templates: &'a Templates,
    language: &'a Language,
    context: Value,
}

impl Texts<'_> {
    /// Renders a text. If a template of the folder fails, the built-in one is rendered instead.
    ///
    /// # Errors
    /// If the built-in template fails as well, which a test rules out.
    pub fn render(&self, part: Part) -> Result<String, minijinja::Error> {
        if let Some(name) = self.language.custom(part) {
            match self.custom(name) {
                Ok(text) => return Ok(text),
                // The error names the template and its line, and does not quote the message.
                Err(error) => tracing::warn!(
                    template = name,
                    line = error.line(),
                    error = %error.kind(),
                    "template failed to render, the built-in template is used"
                ),
            }
        }
        self.templates.built_in.get_template(part.file_name())?.render(&self.context)
    }

    /// Renders a template of the folder. The template may fail.
    pub(super) fn custom(&self, name: &str) -> Result<String, minijinja::Error> {
        self.templates.custom.get_template(name)?.render(&self.context)
    }

    /// Renders the texts of a push, which are never blank.
    #[must_use]
    pub fn push(&self, message: &str) -> PushText {
        PushText {
            title: self
                .line(Part::PushTitle)
                .unwrap_or_else(|| self.language.words.reminder.clone()),
            body: self.line(Part::PushBody).unwrap_or_else(|| message.to_owned()),
        }
    }

    fn line(&self, part: Part) -> Option<String> {
        let text = self.render(part).ok()?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

/// Texts of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushText {
    /// Heading.
    pub title: String,
    /// Text.
    pub body: String,
}
